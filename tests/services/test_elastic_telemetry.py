"""What a store tells of an index on a real Elasticsearch."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from agent_session_core import IndexUnavailable, Message
from tests.services.conftest import Open
from tests.telling import Told


def test_searches_and_deliveries_name_the_server_of_the_index(open_own: Open, server: str) -> None:
    """And appends the database."""
    told, address = Told(), urlsplit(server)
    store = open_own(telemetry=told.telemetry, settings={"follow": False})
    store.session("trip").append(Message.user("We fly on the 4th."))
    assert store.search("fly", wait=True)
    for name in ("search messages", "index messages"):
        attributes = told.last(name).attributes or {}
        assert attributes["db.system.name"] == "elasticsearch"
        assert attributes["server.address"] == address.hostname
        assert attributes["server.port"] == address.port
    assert (told.last("append messages").attributes or {})["db.system.name"] == "sqlite"
    assert told.value("agent_session.index.pending") == 0


def test_a_worker_tells_of_all_tenants(open_own: Open) -> None:
    """How far the index of all of them is behind, each counted once, also where stores of some are open here."""
    told = Told()
    by_hand = {"telemetry": told.telemetry, "settings": {"follow": False}}
    for tenant in ("default", "other"):
        open_own(tenant=tenant, **by_hand).session("trip").append(Message.user("We fly on the 4th."))
    assert told.value("agent_session.index.pending") == 2
    with open_own(tenant="third", **by_hand).index_worker() as worker:
        assert told.value("agent_session.index.pending") == 2
        worker.catch_up()
    assert told.value("agent_session.index.pending") == told.value("agent_session.index.lag") == 0


def test_a_delivery_that_fails_is_told(open_own: Open, server: str) -> None:
    """Its changes are pending until it succeeds."""
    told = Told()
    store = open_own(telemetry=told.telemetry, settings={"follow": False})
    store.session("trip").append(Message.user("We fly on the 4th."))
    index = store._required_index()
    index.drain("default")
    store.session("trip").append(Message.user("canary"))
    deliverer = index._deliverer  # type: ignore[attr-defined]  # a fault from inside

    def fail(*_: object) -> None:
        raise IndexUnavailable(f"{server}: canary")

    deliverer._send = fail
    with pytest.raises(IndexUnavailable):
        index.drain("default")
    assert (told.last("index messages").attributes or {})["error.type"] == "IndexUnavailable"
    assert told.value("agent_session.index.pending") == 1
    assert "canary" not in told.everything()
