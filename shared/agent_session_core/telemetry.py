"""Spans and metrics by OpenTelemetry, for a store that was opened with them; nothing of it is imported otherwise.

The names are those of the semantic conventions for databases and for generative AI. Nothing that was said, and nobody's
id but the session's and the agent's, stands in them unless it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import PurePath
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, func, make_url, or_, select

from agent_session_core import _checks
from agent_session_core.content import now, to_microseconds
from agent_session_core.errors import InvalidInput, SessionError
from agent_session_core.sql.tables import outbox

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from agent_session_core.models import SearchResults
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.sql.engine import Database

__all__ = ["Telemetry", "Watch", "indexing", "telemetry_of"]

SCOPE = "agent_session_core"
"""Whose spans and metrics they are: the instrumentation scope."""
SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""The buckets that the conventions ask of ``db.client.operation.duration``."""

Attributes: TypeAlias = dict[str, str | int | bool]
Lag: TypeAlias = Callable[[Connection, "str | None"], float]


class Telemetry:
    """Spans and metrics of a store's work: for ``SessionStore.open(telemetry=...)``; several stores may share it.

    Args:
        tracer_provider: makes the spans; without one, the application's global provider does.
        meter_provider: makes the metrics; likewise.
        capture_content: write the question of a search into its span.

    Raises:
        InvalidInput: when OpenTelemetry is not installed, or a provider is none.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        capture_content: bool = False,
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise InvalidInput(
                "telemetry: OpenTelemetry is not installed; pip install 'agent-session-core[telemetry]'"
            ) from None
        for given, argument, kind in (
            (tracer_provider, "tracer_provider", trace.TracerProvider),
            (meter_provider, "meter_provider", metrics.MeterProvider),
        ):
            if given is not None and not isinstance(given, kind):
                raise InvalidInput(
                    f"{argument}: {_checks.shown(given)} is no {kind.__name__}; give one of opentelemetry.sdk, or "
                    "leave it out for the global one"
                )
        self.capture_content = _checks.flag(capture_content, "capture_content")
        self.tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self.instruments = _instruments_of(meter_provider)


class Watch:
    """What one database's stores tell of their work.

    Args:
        telemetry: where to.
        database: where the sessions are.
        server: the addresses of the server that has the index; None where the database has it.
    """

    def __init__(self, telemetry: Telemetry, database: Database, server: str | None = None) -> None:
        from opentelemetry.trace import SpanKind, StatusCode

        self._telemetry = telemetry
        self._client, self._error = SpanKind.CLIENT, StatusCode.ERROR
        self._of_database: Attributes = {**_database(database.url), "db.collection.name": "messages"}
        self._of_index = self._of_database if server is None else {**_server(server), "db.collection.name": "messages"}

    @contextmanager
    def append(self, session_id: str, agent_id: str | None, count: int) -> Iterator[None]:
        """Messages are added to a session."""
        said: Attributes = {
            "gen_ai.operation.name": "create_memory",
            "gen_ai.conversation.id": session_id,
            "gen_ai.memory.record.count": count,
        }
        if agent_id is not None:
            said["gen_ai.agent.id"] = agent_id
        with self._operation("append", count, self._of_database, said):
            yield
        self._telemetry.instruments.stored.add(count, self._of_database)

    @contextmanager
    def search(self, request: SearchRequest) -> Iterator[Callable[[SearchResults], SearchResults]]:
        """A question is answered; what it gives is to be called with the answer."""
        said: Attributes = {"gen_ai.operation.name": "search_memory"}
        if self._telemetry.capture_content:
            said["gen_ai.memory.query.text"] = request.query
        with self._operation("search", 1, self._of_index, said) as span:

            def answered(results: SearchResults) -> SearchResults:
                span.set_attribute("gen_ai.memory.record.count", len(results))
                if results.degraded is not None:
                    span.set_attribute("agent_session.search.degraded", True)
                return results

            yield answered

    def index(self, count: int) -> AbstractContextManager[Span]:
        """Changes of so many messages, one batch, are brought to the index."""
        return self._operation("index", count, self._of_index, {})

    def follow(self, database: Database, tenant: str | None) -> None:
        """Tell from now on how far a tenant's index (None: that of all tenants) is behind, whenever it is collected."""
        self._telemetry.instruments.follow(self, _Behind(database, tenant, self._of_index))

    def close(self) -> None:
        """Tell no longer how far the index is behind."""
        self._telemetry.instruments.unfollow(self)

    @contextmanager
    def _operation(self, name: str, count: int, target: Attributes, said: Attributes) -> Iterator[Span]:
        if count != 1:
            name = f"BATCH {name}"
            said = {**said, "db.operation.batch.size": count}
        told: Attributes = {**target, "db.operation.name": name}
        begun = time.perf_counter()
        with self._telemetry.tracer.start_as_current_span(
            f"{name} messages",
            kind=self._client,
            attributes={**told, **said},
            record_exception=False,  # an error's text may quote what was said
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                told["error.type"] = type(error).__qualname__
                span.set_attribute("error.type", told["error.type"])
                span.set_status(self._error)
                raise
            finally:
                self._telemetry.instruments.duration.record(time.perf_counter() - begun, told)


def telemetry_of(given: Telemetry | bool | None) -> Telemetry | None:
    """What a caller gave for ``telemetry``.

    Raises:
        InvalidInput: when it is none, or OpenTelemetry is not installed.
    """
    if given is None or given is False:
        return None
    if given is True:
        return Telemetry()
    if isinstance(given, Telemetry):
        return given
    raise InvalidInput(f"telemetry: {_checks.shown(given)} is no Telemetry; give True, or Telemetry(...)")


def indexing(watch: Watch | None, count: int) -> AbstractContextManager[object]:
    """Around bringing one batch of changes to the index, watched or not."""
    return nullcontext() if watch is None else watch.index(count)


class _Behind:
    """How far the index of one tenant, or (None) of all of them, is behind."""

    def __init__(self, database: Database, tenant: str | None, target: Attributes) -> None:
        self._database = database
        self.tenant = tenant
        self.target = target
        self.place = database.url if target.get("db.namespace") != ":memory:" else str(id(database))

    def ask(self, lag: Lag) -> float | None:
        """How far, by one measure; None where the database does not answer."""
        try:
            return self._database.read(lambda conn: lag(conn, self.tenant))
        except SessionError:
            return None


class _Instruments:
    """The metrics of one provider, each made once, since a provider takes the first callback of a name only."""

    def __init__(self, provider: MeterProvider | None) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter(SCOPE, meter_provider=provider)
        self._observation: Callable[[float, Attributes], Observation] = metrics.Observation
        self._lock = Lock()
        self._followed: WeakKeyDictionary[Watch, _Behind] = WeakKeyDictionary()
        self.duration = meter.create_histogram(
            "db.client.operation.duration",
            unit="s",
            description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.stored = meter.create_counter(
            "agent_session.messages.stored",
            unit="{message}",
            description="Messages acknowledged as stored; one that was there already counts too.",
        )
        meter.create_observable_gauge(
            "agent_session.index.pending",
            [lambda options: self._observe(_pending, sum, options)],
            unit="{change}",
            description="Changes that the index has yet to take in.",
        )
        meter.create_observable_gauge(
            "agent_session.index.lag",
            [lambda options: self._observe(_age, max, options)],
            unit="s",
            description="How long the oldest of them has waited.",
        )

    def follow(self, watch: Watch, behind: _Behind) -> None:
        with self._lock:
            self._followed[watch] = behind

    def unfollow(self, watch: Watch) -> None:
        with self._lock:
            self._followed.pop(watch, None)

    def _observe(
        self, lag: Lag, together: Callable[[Iterable[float]], float], _: CallbackOptions
    ) -> Iterable[Observation]:
        """One figure for each database (and server), of all of its tenants that are open here."""
        with self._lock:
            open_here = {(behind.place, behind.tenant): behind for behind in self._followed.values()}
        whole = {place for place, tenant in open_here if tenant is None}
        figures: dict[frozenset[tuple[str, str | int | bool]], list[float]] = {}
        for behind in open_here.values():
            if behind.tenant is not None and behind.place in whole:
                continue  # counted with all of them
            figure = behind.ask(lag)
            if figure is not None:
                figures.setdefault(frozenset(behind.target.items()), []).append(figure)
        return [self._observation(together(many), dict(target)) for target, many in figures.items()]


class _Global:
    """Stands for the application's own provider, which may be set later."""


_GLOBAL = _Global()
_made: WeakKeyDictionary[object, _Instruments] = WeakKeyDictionary()
_making = Lock()


def _instruments_of(provider: MeterProvider | None) -> _Instruments:
    key = _GLOBAL if provider is None else provider
    with _making:
        if key not in _made:
            _made[key] = _Instruments(provider)
        return _made[key]


def _database(address: str) -> Attributes:
    """What the conventions say of a database: its file's name or its own, and its server."""
    url = make_url(address)
    system = url.get_backend_name()
    if system == "sqlite":
        named = PurePath(url.database or "").name
        return {"db.system.name": system, "db.namespace": named or ":memory:"}
    known = {"db.namespace": url.database, "server.address": url.host, "server.port": url.port}
    return {"db.system.name": system, **{name: value for name, value in known.items() if value}}


def _server(addresses: str) -> Attributes:
    """What they say of Elasticsearch: the server where it is one, not which of several will answer."""
    target: Attributes = {"db.system.name": "elasticsearch"}
    if "," not in addresses:
        url = make_url(addresses)
        known = {"server.address": url.host, "server.port": url.port}
        target |= {name: value for name, value in known.items() if value}
    return target


def _pending(conn: Connection, tenant: str | None) -> float:
    return int(conn.execute(select(func.count()).where(*_waiting(tenant))).scalar_one())


def _age(conn: Connection, tenant: str | None) -> float:
    """Seconds for which the oldest change has waited."""
    queued = conn.execute(select(func.min(outbox.c.queued_at)).where(*_waiting(tenant))).scalar()
    return 0.0 if queued is None else max(0.0, (to_microseconds(now()) - int(queued)) / 1e6)


def _waiting(tenant: str | None) -> list[ColumnElement[bool]]:
    from agent_session_core.search.changes import ASIDE

    until = outbox.c.leased_until
    clauses = [or_(until.is_(None), until < ASIDE)]
    return clauses if tenant is None else [*clauses, outbox.c.tenant == tenant]
