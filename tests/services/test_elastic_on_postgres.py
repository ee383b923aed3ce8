"""Elasticsearch beside PostgreSQL: the outbox of a server, shared by several workers at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest
from elasticsearch import Elasticsearch

from agent_session_core import ElasticsearchIndex, Message, SessionNotActive, SessionStore
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
