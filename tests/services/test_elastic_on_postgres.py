"""Elasticsearch beside PostgreSQL: the outbox of a server, shared by several workers at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch
from sqlalchemy import create_engine

from agent_session_core import ElasticsearchIndex, IndexUnavailable, Message, SessionNotActive, SessionStore
from agent_session_core.search.elastic import delivering
from tests.services.conftest import Open, index_of, remove
from tests.services.test_elastic_delivery import WORDS, change, waiting

pytestmark = pytest.mark.parametrize("url", ["postgres"], indirect=True)


@pytest.fixture
def open_store(server: str, client: Elasticsearch, url: str) -> Iterator[Open]:
    """What opens stores on one database."""
    stores: list[SessionStore] = []

    def opened() -> SessionStore:
        index = ElasticsearchIndex(server, timeout=30.0, follow=False)
        stores.append(SessionStore.open(url, index=index))
        return stores[-1]

    yield opened
    remove(client, stores[0])
    for store in stores:
        store.close()


def test_writers_and_workers_at_once(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """While several write and several deliver, and sessions come and go, the index ends up as the store is."""
    monkeypatch.setattr(delivering, "BATCH", 7)
    stores = [open_store() for _ in range(3)]
    done = threading.Event()
    failures: list[Exception] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            try:
                change(stores[seed], chance)
            except (SessionNotActive, ValueError, LookupError):
                continue  # another one took back, closed or deleted what this one meant

    def work(store: SessionStore) -> None:
        while not done.is_set():
            try:
                index_of(store).drain("default")
            except Exception as error:  # noqa: BLE001  # told below
                failures.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    workers = [threading.Thread(target=work, args=(store,)) for store in stores[:2]]
    for thread in (*writers, *workers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in workers:
        thread.join()
    assert not failures
    index_of(stores[0]).drain("default")
    assert waiting(stores[0]) == 0
    assert stores[0].verify().consistent


def test_a_process_that_stands_still_while_it_takes_changes(open_store: Open, url: str) -> None:
    """Searches keep their time, deletions are told by the receipt alone, and workers say why they do not go on."""
    store = open_store()
    index_of(store)._settings.timeout = 2.0
    store.session("s", user_id="ana").append(Message.user("apple"))
    assert len(store.search("apple", wait=True)) == 1
    store.session("s", user_id="ana").append(Message.user("an apple more"))
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended('agent_session elasticsearch', 0))")
        start = time.monotonic()
        with pytest.raises(IndexUnavailable, match="stands still"):
            store.search("apple", wait=True)
        assert len(store.search("apple", wait=True, on_outage="keyword")) == 2
        receipt = store.session("s", user_id="ana").delete()
        assert not receipt.complete
        assert time.monotonic() - start < 25
    engine.dispose()
    assert not store.search("apple", wait=True)
    assert store.receipt(receipt.id).complete


def test_searching(open_store: Open) -> None:
    """What is stored in PostgreSQL is found by Elasticsearch, in its scope and by its filters."""
    store = open_store()
    for user in ("ana", "ben"):
        store.session(f"of {user}", user_id=user).append(
            [Message.user(f"{word} for {user}", metadata={"word": word}) for word in WORDS]
        )
    (hit,) = store.search("apple", user_id="ana", wait=True, metadata={"word": "apple"}, explain=True)
    assert hit.message.text == "apple for ana"
    assert store.reindex() == 24
    assert store.verify().consistent
    assert store.erase(user_id="ben").complete
    assert not store.search("apple", user_id="ben", wait=True)
