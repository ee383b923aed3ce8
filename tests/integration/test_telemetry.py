"""Spans and metrics: what is told of an append, a search and the index, to whom, and what is kept from them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import URL, Connection, create_engine

from agent_session_core import (
    IndexUnavailable,
    InvalidInput,
    Message,
    MessageConflict,
    SessionNotFound,
    SessionStore,
    Telemetry,
    telemetry,
)
from agent_session_core.models import SearchResults
from tests.telling import Told

SECRETS = ("canary", "tenant-7", "ana-the-user", "hunter2")


@pytest.fixture
def told() -> Told:
    """One that nothing was told yet."""
    return Told()


@pytest.fixture
def store(told: Told, tmp_path: Path) -> Iterator[SessionStore]:
    """A watched store."""
    with SessionStore.open(f"sqlite:///{tmp_path / 'trips.db'}", telemetry=told.telemetry) as opened:
        yield opened


def test_an_append_is_a_span(store: SessionStore, told: Told) -> None:
    """Named by the conventions for databases, with the session and the agent by those for generative AI."""
    store.session("trip", agent_id="planner").append(Message.user("We fly on the 4th."))
    (span,) = told.spans()
    assert (span.name, span.kind, span.status.status_code) == ("append messages", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "db.system.name": "sqlite",
        "db.namespace": "trips.db",
        "db.collection.name": "messages",
        "db.operation.name": "append",
        "gen_ai.operation.name": "create_memory",
        "gen_ai.conversation.id": "trip",
        "gen_ai.agent.id": "planner",
        "gen_ai.memory.record.count": 1,
    }


def test_several_messages_are_a_batch(store: SessionStore, told: Told) -> None:
    """As the conventions have it, by the name of the operation and its size."""
    store.session("trip").append(Message.user("We fly."), [Message.assistant("When?")])
    attributes = told.last("BATCH append messages").attributes or {}
    assert attributes["db.operation.name"] == "BATCH append"
    assert attributes["db.operation.batch.size"] == 2
    assert "gen_ai.agent.id" not in attributes


def test_a_search_is_a_span_round_what_it_indexes(store: SessionStore, told: Told) -> None:
    """A search tells how many it found; the batches it first brought to the index stand under it."""
    store.session("trip").append(Message.user("We fly on the 4th."), Message.assistant("Noted."))
    found = store.search("fly", mode="keyword")
    search, index = told.last("search messages"), told.last("BATCH index messages")
    assert search.attributes is not None
    assert search.attributes["gen_ai.operation.name"] == "search_memory"
    assert search.attributes["gen_ai.memory.record.count"] == len(found)
    assert search.context is not None
    assert index.parent is not None
    assert index.parent.span_id == search.context.span_id
    assert index.attributes is not None
    assert index.attributes["db.operation.batch.size"] == 2


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_spans_stand_under_the_callers_own(scheme: str, told: Told, tmp_path: Path) -> None:
    """In the plain and in the async form, where tasks of one loop run at the same time and work hops to threads."""
    tracer = told.tracers.get_tracer("the application")

    async def ask(store: SessionStore, name: str) -> None:
        with tracer.start_as_current_span(name):
            await (await store.asession(name)).aappend(Message.user(f"Hello, I am {name}."))
            await store.asearch(name, mode="keyword")

    async def both(store: SessionStore) -> None:
        await asyncio.gather(ask(store, "one"), ask(store, "two"))
        await store.aclose()

    asyncio.run(both(SessionStore.open(f"{scheme}:///{tmp_path / 'trips.db'}", telemetry=told.telemetry)))
    with SessionStore.open(f"sqlite:///{tmp_path / 'trips.db'}", telemetry=told.telemetry) as store:
        third = store.session("three")
        with tracer.start_as_current_span("three"):
            third.append(Message.user("Hello."))
            store.search("hello", mode="keyword")
    ids = {span.context.span_id: span for span in told.spans() if span.context is not None}
    mine = [span for span in told.spans() if span.name in ("append messages", "search messages")]
    under = sorted((ids[span.parent.span_id].name, span.name) for span in mine if span.parent is not None)
    assert under == [
        (name, what) for name in ("one", "three", "two") for what in ("append messages", "search messages")
    ]
    for span in mine:
        assert span.attributes is not None
        assert span.parent is not None
        said = span.attributes.get("gen_ai.conversation.id", ids[span.parent.span_id].name)
        assert said == ids[span.parent.span_id].name


def test_an_error_is_told_by_its_type_alone(store: SessionStore, told: Told) -> None:
    """In the span's status and ``error.type``, and in the duration; its text may quote what was said."""
    session = store.session("trip")
    session.append(Message.user("canary", id="m1"))
    with pytest.raises(MessageConflict):
        session.append(Message.user("canary two", id="m1"))
    span = told.last("append messages")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert (span.attributes or {})["error.type"] == "MessageConflict"
    assert not span.events
    session.delete()
    with pytest.raises(SessionNotFound):
        asyncio.run(session.aappend(Message.user("canary")))
    assert (told.last("append messages").attributes or {})["error.type"] == "SessionNotFound"
    types = {point.attributes.get("error.type") for point in told.points("db.client.operation.duration")}
    assert types == {None, "MessageConflict", "SessionNotFound"}
    assert told.value("agent_session.messages.stored") == 1
    assert "canary" not in told.everything()


def test_an_index_that_fails_is_told(store: SessionStore, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that fails has an error, one that makes do is marked; neither says why in the caller's words."""
    index = store._required_index()

    def fail(_: object) -> SearchResults:
        raise IndexUnavailable("canary")

    monkeypatch.setattr(index, "search", fail)
    with pytest.raises(IndexUnavailable):
        asyncio.run(store.asearch("canary"))
    assert (told.last("search messages").attributes or {})["error.type"] == "IndexUnavailable"
    monkeypatch.setattr(index, "search", lambda _: SearchResults(degraded="canary"))
    store.search("canary")
    assert (told.last("search messages").attributes or {})["agent_session.search.degraded"] is True
    assert "canary" not in told.everything()


@pytest.mark.parametrize("asked_for", [False, True])
def test_nothing_private_is_told(asked_for: bool, tmp_path: Path) -> None:
    """No text, question, tenant, user or folder; the question of a search where the caller has asked for it."""
    told = Told(capture_content=asked_for)
    folder = tmp_path / "hunter2"
    folder.mkdir()
    where = f"sqlite:///{folder / 'trips.db'}"
    with SessionStore.open(where, tenant="tenant-7", telemetry=told.telemetry) as store:
        mine = store.for_user("ana-the-user")
        mine.session("trip", title="canary", metadata={"canary": 1}).append(Message.user("canary", name="canary"))
        mine.search("canary question", mode="keyword", author="canary")
        sent = told.everything()
        question = (told.last("search messages").attributes or {}).get("gen_ai.memory.query.text")
    assert question == ("canary question" if asked_for else None)
    assert len(told.spans()) == 3
    assert not [secret for secret in SECRETS if secret in sent.replace("canary question", "")]


def test_the_metrics(store: SessionStore, told: Told) -> None:
    """Durations in seconds with the buckets of the conventions, messages stored, and how far the index is behind."""
    session = store.session("trip")
    session.append(Message.user("One."), Message.user("Two."))
    session.append(Message.user("Three."))
    (batch, single) = sorted(
        told.points("db.client.operation.duration"), key=lambda point: str(point.attributes["db.operation.name"])
    )
    assert (batch.count, single.count) == (1, 1)
    assert 0 < single.sum < 60
    assert single.explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
    assert dict(single.attributes) == {
        "db.system.name": "sqlite",
        "db.namespace": "trips.db",
        "db.collection.name": "messages",
        "db.operation.name": "append",
    }
    assert told.value("agent_session.messages.stored") == 3
    assert told.value("agent_session.index.pending") == 2
    assert 0 < told.value("agent_session.index.lag") < 60
    store.search("one", mode="keyword")
    assert told.value("agent_session.index.pending") == 0
    assert told.value("agent_session.index.lag") == 0


def test_the_lag_is_that_of_the_oldest_change(store: SessionStore, told: Told) -> None:
    """A session that is written to again and again does not hide how long its first change has waited."""
    session = store.session("trip")
    session.append(Message.user("One."))
    time.sleep(0.3)
    session.append(Message.user("Two."))
    assert 0.3 <= told.value("agent_session.index.lag") < 30


def test_the_lag_is_looked_at_when_it_is_collected_and_no_longer_than_the_store_is_open(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One figure for a database, of all its tenants; a store that is opened twice counts once."""
    url = f"sqlite:///{tmp_path / 'trips.db'}"
    looked: list[str] = []
    counted = telemetry._pending

    def look(conn: Connection, tenant: str | None) -> float:
        looked.append(str(tenant))
        return counted(conn, tenant)

    monkeypatch.setattr(telemetry, "_pending", look)
    with caplog.at_level(logging.WARNING):
        first, again = (SessionStore.open(url, telemetry=told.telemetry) for _ in range(2))
        other = SessionStore.open(url, tenant="other", telemetry=Telemetry(told.tracers, told.meters))
        for store in (first, other):
            store.session().append(Message.user("Hello."))
        assert looked == []
        assert told.value("agent_session.index.pending") == 2
        assert sorted(looked) == ["default", "other"]
        first.close()
        asyncio.run(other.aclose())
        assert told.value("agent_session.index.pending") == 1
        again.close()
        assert told.points("agent_session.index.pending") == []
    assert caplog.records == []


def test_a_bound_store_tells_too(told: Told, tmp_path: Path) -> None:
    """An append within the caller's own transaction is a span as any other."""
    url = f"sqlite:///{tmp_path / 'trips.db'}"
    engine = create_engine(url)
    with SessionStore.open(url, telemetry=told.telemetry) as store, engine.begin() as conn:
        store.bind(conn).session("trip").append(Message.user("Hello."))
    engine.dispose()
    assert [span.name for span in told.spans()] == ["append messages"]


def test_off_imports_nothing() -> None:
    """A store that is not watched has nothing of OpenTelemetry in the process, whatever it does."""
    script = (
        "import sys\n"
        "from agent_session_core import Message, SessionStore\n"
        "with SessionStore.open('sqlite://') as store:\n"
        "    store.session('a').append(Message.user('hello'))\n"
        "    assert store.search('hello')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_true_takes_the_global_providers() -> None:
    """Also those that are set after the store was opened."""
    script = (
        "from opentelemetry import metrics, trace\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "from agent_session_core import Message, SessionStore\n"
        "first = SessionStore.open('sqlite://', telemetry=True)\n"
        "spans, reader = InMemorySpanExporter(), InMemoryMetricReader()\n"
        "tracers = TracerProvider()\n"
        "tracers.add_span_processor(SimpleSpanProcessor(spans))\n"
        "trace.set_tracer_provider(tracers)\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "with first, SessionStore.open('sqlite://', telemetry=True) as second:\n"
        "    for store in (first, second):\n"
        "        store.session('a').append(Message.user('hello'))\n"
        "    told = reader.get_metrics_data().to_json(indent=None)\n"
        "print(len(spans.get_finished_spans()), told.count('agent_session.index.pending'), '\"value\": 2' in told)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "1", "True"]


def test_what_is_missing_or_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the remedy, and before a database is opened."""
    for wrong in (1, "yes", TracerProvider):
        with pytest.raises(InvalidInput, match=r"telemetry: .* is no Telemetry; give True, or Telemetry\("):
            SessionStore.open("sqlite://", telemetry=wrong)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidInput, match=r"meter_provider: .* is no MeterProvider"):
        Telemetry(meter_provider="x")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidInput, match="capture_content"):
        Telemetry(capture_content=1)  # type: ignore[arg-type]  # that is the point
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidInput, match=r"pip install 'agent-session-core\[telemetry\]'"):
        SessionStore.open("sqlite://", telemetry=True)


def test_on_postgresql(told: Told, postgres_database: URL) -> None:
    """The database by its name, the server by its address, and no password."""
    with SessionStore.open(postgres_database, telemetry=told.telemetry, lease=timedelta(seconds=5)) as store:
        store.session("trip").append(Message.user("Hello."))
        assert told.value("agent_session.index.pending") == 1
        assert told.value("agent_session.index.lag") > 0
    attributes = told.last("append messages").attributes or {}
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["db.namespace"] == postgres_database.database
    assert attributes["server.address"] == postgres_database.host
    assert attributes.get("server.port") == postgres_database.port
