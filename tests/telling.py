"""A telemetry that keeps what it is told, for tests to look at."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent_session_core import Telemetry


class Told:
    """What a telemetry told."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(self.tracers, self.meters, **options)

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in that order."""
        return list(self._exporter.get_finished_spans())

    def last(self, name: str) -> ReadableSpan:
        """The last of that name."""
        return [span for span in self.spans() if span.name == name][-1]

    def points(self, name: str) -> list[Any]:
        """The data points of a metric, collected now."""
        collected = self._reader.get_metrics_data()
        if collected is None:
            return []
        metrics = [m for r in collected.resource_metrics for s in r.scope_metrics for m in s.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def value(self, name: str) -> float:
        """The value of a metric with a single point."""
        (point,) = self.points(name)
        return float(point.value)

    def everything(self) -> str:
        """Spans and metrics, as they would be sent."""
        collected = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans()) + ("" if collected is None else collected.to_json())
