"""Search while it hurts: a server that is slow, refuses, fails in part, is gone, or came back empty."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from elasticsearch import Elasticsearch

from agent_session_core import (
    ElasticsearchIndex,
    EmbeddingChanged,
    IndexUnavailable,
    InvalidInput,
    Message,
    SessionStore,
)
from agent_session_core.search.elastic import follower, outbox
from tests.services.conftest import Open, index_of
from tests.services.proxy import Proxy, closed_address, partly_failing, refusing, resetting, slow
from tests.services.test_elastic_delivery import sentence, until, waiting

SECRET = "hunter2"  # noqa: S105  # of nobody


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    """A proxy before the server."""
    with Proxy(server).running() as running:
        yield running


@pytest.fixture
def store(proxy: Proxy, open_own: Open, monkeypatch: pytest.MonkeyPatch) -> SessionStore:
    """A store with some messages in its index, which it reaches through the proxy."""
    monkeypatch.setattr(follower, "REST", (0.1, 0.5))
    store = open_own(proxy.address, settings={"timeout": 3.0})
    store.session("s", user_id="ana").append(
        Message.user("A red apple."), Message.assistant("A green pear.", metadata={"kind": "fruit"})
    )
    until(lambda: waiting(store) == 0)
    until(lambda: len(store.search("apple", user_id="ana")) == 2)
    return store


Break = Callable[[Proxy], None]
TROUBLES: dict[str, tuple[Break, str]] = {
    "refusing": (lambda proxy: setattr(proxy, "trouble", refusing), "429"),
    "slow": (lambda proxy: setattr(proxy, "trouble", slow(6)), "did not answer in time"),
    "reset": (lambda proxy: setattr(proxy, "trouble", resetting), "cannot be reached"),
    "partly": (lambda proxy: setattr(proxy, "change", partly_failing), "1 of its shards failed"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_search_names_the_cause_in_time(store: SessionStore, proxy: Proxy, trouble: str) -> None:
    """A search fails in time and names the cause, or answers from the database, marked; then it recovers."""
    bring_about, cause = TROUBLES[trouble]
    bring_about(proxy)
    start = time.monotonic()
    with pytest.raises(IndexUnavailable, match=cause):
        store.search("apple", user_id="ana")
    assert time.monotonic() - start < 5
    found = store.search("apple", user_id="ana", on_outage="keyword")
    assert found[0].message.text == "A red apple."
    assert cause in (found.degraded or "")
    (pear,) = store.search("pear", metadata={"kind": "fruit"}, on_outage="keyword")
    assert pear.message.text == "A green pear."
    assert not store.search("pear", user_id="ben", on_outage="keyword")
    start = time.monotonic()
    store.session("s", user_id="ana").append(Message.user("A blue apple."))
    assert time.monotonic() - start < 2.5  # an append never waits for the index, whose searches take 3 s to give up
    proxy.trouble = proxy.change = None
    assert len(store.search("apple", user_id="ana", wait=True)) == 3
    assert store.verify().consistent


def test_waiting_has_an_end(store: SessionStore, proxy: Proxy) -> None:
    """A search that waits gives up within its timeout where changes cannot be delivered."""
    proxy.trouble = lambda path, body: refusing(path, body) if "_bulk" in path else None
    store.session("s", user_id="ana").append(Message.user("A blue apple."))
    start = time.monotonic()
    with pytest.raises(IndexUnavailable):
        store.search("apple", user_id="ana", wait=True)
    assert time.monotonic() - start < 6
    assert len(store.search("apple", user_id="ana")) == 2


def test_documents_that_are_refused_for_a_moment(store: SessionStore, proxy: Proxy) -> None:
    """Documents that get a 429 each are sent again, and nothing is set aside."""
    chance = random.Random(3)

    def partly_refused(path: str, body: bytes) -> bytes:
        if "_bulk" not in path or chance.random() < 0.5:
            return body
        told = json.loads(body)
        for item in told["items"][::2]:
            item["index"] = {
                "_id": item["index"]["_id"],
                "status": 429,
                "error": {"type": "es_rejected", "reason": "full"},
            }
        return json.dumps(told | {"errors": True}).encode()

    proxy.change = partly_refused
    for number in range(10):
        store.session(f"s{number}").append([Message.user(sentence(chance)) for _ in range(20)])
    until(lambda: waiting(store) == 0)
    proxy.change = None
    assert store.verify().consistent


def test_a_server_that_is_away_while_messages_come(server: str, open_own: Open, client: Elasticsearch) -> None:
    """Appends go on while nobody answers, a deletion too (its receipt says so), and all is there afterwards."""
    away = open_own(closed_address(), settings={"timeout": 1.0})
    away.session("s").append([Message.user(f"apple {number}") for number in range(50)])
    with pytest.raises(IndexUnavailable, match="cannot be reached"):
        away.search("apple")
    assert len(away.search("apple", limit=100, on_outage="keyword")) == 50
    away.close()
    store = open_own(server)
    assert len(store.search("apple", limit=100, wait=True)) == 50
    store.close()
    away = open_own(closed_address(), settings={"timeout": 1.0})
    receipt = away.session("s").delete()
    assert not receipt.complete
    away.close()
    store = open_own(server)
    assert not store.search("apple", wait=True)
    until(lambda: store.receipt(receipt.id).complete)


def test_a_server_that_came_back_empty(open_own: Open, client: Elasticsearch) -> None:
    """An index that is missing is no empty answer but an error with the remedy, and nothing is written by the way."""
    store = open_own(settings={"follow": False})
    store.session("s").append(Message.user("apple"))
    assert len(store.search("apple", wait=True)) == 1
    index = index_of(store)
    for name in client.indices.get(index=f"{index._indexes.name}-*"):
        client.indices.delete(index=name)
    for asking in (lambda: store.search("apple"), lambda: store.search("apple", wait=True), store.verify):
        with pytest.raises(IndexUnavailable, match=r"missing there.*reindex"):
            asking()
    store.session("s").append(Message.user("an apple more"))
    with pytest.raises(IndexUnavailable, match="missing there"):
        index.drain("default")
    assert not client.indices.get(index=f"{index._indexes.name}*").body
    assert store.search("apple", on_outage="keyword").degraded
    assert store.repair().consistent
    assert len(store.search("apple", wait=True)) == 2


def test_reindexing_while_messages_come(open_own: Open, client: Elasticsearch) -> None:
    """A new index is made while others write and search; afterwards it alone is there, and holds everything."""
    store = open_own()
    for number in range(20):
        store.session(f"s{number}").append([Message.user(f"apple {number} {place}") for place in range(30)])
    assert len(store.search("apple", limit=1_000, wait=True)) == 600
    done = threading.Event()
    found: list[int] = []
    written: list[list[Message]] = []

    def write() -> None:
        while not done.is_set():
            written.append(store.session(f"s{len(written) % 20}").append(Message.user(f"pear {len(written)}")))
            time.sleep(0.01)

    def search() -> None:
        while not done.is_set():
            hits = store.search("apple", limit=1_000)
            found.append(sum(hit.message.text.startswith("apple") for hit in hits))
            time.sleep(0.02)

    threads = [threading.Thread(target=work) for work in (write, search)]
    for thread in threads:
        thread.start()
    before = store._database.read(outbox.indexes)
    assert store.reindex() >= 600
    after = store._database.read(outbox.indexes)
    done.set()
    for thread in threads:
        thread.join()
    assert [one.generation for one in before] != [one.generation for one in after]
    assert len(after) == 1
    assert found
    assert set(found) == {600}
    assert len(written) > 10
    pears = store.search("pear", limit=1_000, wait=True)
    assert sum(hit.message.text.startswith("pear") for hit in pears) == len(written)
    assert store.verify().consistent
    names = client.indices.get(index=f"{index_of(store)._indexes.name}-*")
    assert len(names) == 1
    assert client.indices.exists_alias(name=index_of(store)._indexes.name)


class Other:
    """An embedder of another space."""

    name = "other"

    def embed_documents(self, texts: Any) -> Any:
        """Vectors of three dimensions."""
        return np.array([[len(text) % 7 + 1, text.count("e") + 1, 1] for text in texts], dtype=np.float32)

    def embed_query(self, text: str) -> Any:
        """As of a document."""
        return self.embed_documents([text])[0]


def test_changing_the_embedding(open_own: Open) -> None:
    """Another embedding is refused until reindex; from then on the old one is, and its changes wait for the new."""
    old = open_own(settings={"follow": False})
    old.session("s").append([Message.user(f"apple {number}") for number in range(20)])
    assert len(old.search("apple", wait=True, limit=100)) == 20
    new = open_own(settings={"follow": False}, embedder=Other())
    with pytest.raises(EmbeddingChanged, match="reindex"):
        new.search("apple")
    assert len(new.search("apple", mode="keyword", limit=100)) == 20
    old.session("s").append(Message.user("an apple more"))
    new.reindex()
    assert len(new.search("apple", wait=True, limit=100)) == 21
    assert new.verify().consistent
    with pytest.raises(EmbeddingChanged):
        old.search("apple")
    old.session("s").append(Message.user("one apple more"))
    assert index_of(old).drain("default") == 0  # it waits for those who can
    assert len(new.search("apple", wait=True, limit=100)) == 22


def test_there_and_back(open_own: Open, tmp_path: Path) -> None:
    """A database goes from its own index to Elasticsearch and back; the wrong one says so, and misses nothing."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    with SessionStore.open(url) as embedded:
        embedded.session("s").append(Message.user("apple"))
        assert len(embedded.search("apple")) == 1
        store = open_own(settings={"follow": False})
        assert len(store.search("apple", wait=True)) == 1
        with pytest.raises(IndexUnavailable, match="Elasticsearch"):
            embedded.search("apple")
        store.session("s").append(Message.user("an apple more"))
        with pytest.raises(IndexUnavailable, match="Elasticsearch"):
            embedded._index.drain("default")  # type: ignore[union-attr]  # it has one
        embedded.reindex()
        with pytest.raises(IndexUnavailable, match=r"brought back.*store.reindex"):
            store.search("apple", wait=True)
        assert len(embedded.search("apple")) == 2
        assert embedded.verify().consistent
        store.reindex()
        assert len(store.search("apple", wait=True)) == 2
        with pytest.raises(IndexUnavailable, match="Elasticsearch"):
            embedded.search("apple")


@pytest.mark.parametrize(("shards", "routing"), [(3, None), (3, "tenant"), (3, "user")])
def test_shards_and_routing(open_own: Open, shards: int, routing: str | None) -> None:
    """With several shards, routed or not, everything is found, taken back and erased as with one."""
    store = open_own(settings={"follow": False, "shards": shards, "routing": routing})
    for user in ("ana", "ben", None):
        session = store.session(f"of {user}", user_id=user)
        session.append([Message.user(f"{word} for {user}") for word in ("apple", "pear", "plum")])
    assert len(store.search("apple", wait=True)) == 9
    assert store.search("apple", user_id="ana", mode="keyword")[0].message.text == "apple for ana"
    store.session("of ana", user_id="ana").pop_turn()
    assert store.session("of ben", user_id="ben").delete().complete
    found = {hit.message.text for hit in store.search("apple pear plum", wait=True)}
    assert found == {"apple for ana", "pear for ana", "apple for None", "pear for None", "plum for None"}
    assert store.verify().consistent
    assert store.repair().consistent


def test_an_index_keeps_its_own_rule(open_own: Open) -> None:
    """Who opens it without settings, as a worker does, writes and finds by the index's own, and so makes the next."""
    app = open_own(settings={"follow": False, "shards": 3, "routing": "user"})
    app.session("first", user_id="ana").append(Message.user("apple"))
    assert len(app.search("apple", wait=True)) == 1
    worker = open_own(settings={"follow": False})
    users = [f"user {number}" for number in range(8)]
    for user in users:
        app.session(f"of {user}", user_id=user).append([Message.user(f"apple {number}") for number in range(10)])
    with worker.index_worker() as delivering:
        delivering.catch_up()
    for store in (app, worker):
        assert [len(store.search("apple", user_id=user, limit=100, wait=True)) for user in users] == [10] * 8
        assert store.verify().consistent
    worker.reindex()
    (current,) = worker._database.read(outbox.indexes)
    assert (current.shards, current.routing) == (3, "user")
    open_own(settings={"follow": False, "shards": 1, "routing": "none"}).reindex()
    (current,) = worker._database.read(outbox.indexes)
    assert (current.shards, current.routing) == (1, None)
    assert len(app.search("apple", user_id="user 3", limit=100, wait=True)) == 10


def test_a_first_search_keeps_its_time(proxy: Proxy, open_own: Open) -> None:
    """Also where the index must be made first, and the server takes the request and never answers."""
    proxy.trouble = slow(20)
    store = open_own(proxy.address, settings={"timeout": 1.0, "follow": False})
    store.session("s").append(Message.user("apple"))
    for wait in (False, True):
        start = time.monotonic()
        with pytest.raises(IndexUnavailable, match="did not answer in time"):
            store.search("apple", wait=wait)
        assert time.monotonic() - start < 8
    assert store.search("apple", on_outage="keyword")[0].message.text == "apple"
    proxy.trouble = None


def test_an_answer_that_is_none(proxy: Proxy, store: SessionStore) -> None:
    """What is no answer of Elasticsearch's is told as an outage, or answered from the database."""
    proxy.change = lambda path, body: b"{}"
    for asking in (lambda: store.search("apple"), store.verify):
        with pytest.raises(IndexUnavailable, match="cannot be read"):
            asking()
    assert store.search("apple", user_id="ana", on_outage="keyword")[0].message.text == "A red apple."
    proxy.change = None


def test_damage_is_seen_and_mended(open_own: Open, client: Elasticsearch) -> None:
    """What is missing, stale or orphaned is counted and named, and gone after a repair."""
    store = open_own(settings={"follow": False})
    for name in ("a", "b"):
        store.session(name).append([Message.user(f"apple {number}") for number in range(10)])
    index = index_of(store)
    index.drain("default")
    assert store.verify().consistent
    (current,) = store._database.read(outbox.indexes)
    target = index._indexes.target(current.generation)
    client.delete(index=target, id="1:3:0")
    stale = client.get(index=target, id="2:5:0")["_source"]
    client.index(index=target, id="2:5:0", document=stale | {"checksum": 1})
    client.index(index=target, id="77:1:0", document=stale | {"session": 77, "seq": 1})
    store._database.write(
        lambda conn: conn.exec_driver_sql("UPDATE messages SET state = 2 WHERE session = 2 AND seq = 10")
    )
    report = store.verify()
    assert (report.missing, report.stale, report.orphaned, report.pending) == (1, 1, 2, 0)
    assert {one[1:] for one in report.sample} == {(3, "missing"), (5, "stale"), (10, "orphaned"), (1, "orphaned")}
    assert store.repair().consistent


def test_no_password_is_shown(server: str, tmp_path: Path) -> None:
    """Neither a repr nor an error shows a password or key."""
    address = closed_address().replace("http://", f"http://ana:{SECRET}@")
    index = ElasticsearchIndex(address, timeout=0.5, follow=False)
    with SessionStore.open(f"sqlite:///{tmp_path / 'x.db'}", index=index) as store:
        with pytest.raises(IndexUnavailable) as error:
            store.search("apple")
        assert SECRET not in repr(index) + repr(store) + str(error.value)
    keyed = ElasticsearchIndex(closed_address(), api_key=SECRET)
    assert SECRET not in repr(keyed)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"shards": 0}, "shards"), ({"replicas": -1}, "replicas"), ({"routing": "session"}, "routing"),
        ({"refresh": 0}, "refresh"), ({"timeout": "soon"}, "timeout"), ({"lease": True}, "lease"),
        ({"follow": 1}, "follow"), ({"no_such_option": 1}, "no_such_option"), ({"target": 5}, "an address"),
        ({"target": "not an address"}, "the address"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(server: str, options: dict[str, Any], named: str) -> None:
    """A bad setting is refused by its name."""
    with pytest.raises(InvalidInput, match=named):
        ElasticsearchIndex(**{"target": server, **options})


def test_a_callers_client_stays_open(server: str, tmp_path: Path, client: Elasticsearch) -> None:
    """A client of the caller's is used, and not closed."""
    with SessionStore.open(f"sqlite:///{tmp_path / 'x.db'}", index=client) as store:
        store.session("s").append(Message.user("apple"))
        assert len(store.search("apple", wait=True)) == 1
        name = index_of(store)._indexes.name
    for index in client.indices.get(index=f"{name}-*"):
        client.indices.delete(index=index)
