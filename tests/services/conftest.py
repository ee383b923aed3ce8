"""Stores whose index is on a real Elasticsearch, of version 8 and of 9."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from elasticsearch import Elasticsearch

from agent_session_core import ElasticsearchIndex, SessionStore
from agent_session_core.search.elastic.index import ElasticIndex

Open = Callable[..., SessionStore]


class Waiting:
    """A store whose searches wait for what was stored before them."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def search(self, query: str, **options: Any) -> Any:
        """Search, and wait."""
        return self.store.search(query, **{"wait": True, **options})

    def for_user(self, user_id: str) -> Waiting:
        """As the store's."""
        return Waiting(self.store.for_user(user_id))


@pytest.fixture(scope="session", params=["elasticsearch_url", "elasticsearch9_url"], ids=["8", "9"])
def server(request: pytest.FixtureRequest) -> str:
    """The address of a server."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture(scope="session")
def client(server: str) -> Iterator[Elasticsearch]:
    """A client of the tests' own."""
    with Elasticsearch(server) as made:
        yield made


def index_of(store: SessionStore) -> ElasticIndex:
    """A store's index."""
    index = store._index
    assert isinstance(index, ElasticIndex)
    return index


def remove(client: Elasticsearch, store: SessionStore) -> None:
    """Delete what a store has on the server."""
    for name in client.indices.get(index=f"{index_of(store)._indexes.name}-*"):
        client.indices.delete(index=name)


@pytest.fixture(scope="session")
def shared(server: str, client: Elasticsearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """What opens stores of tenants of their own, all on one database: making an index takes a while."""
    url = f"sqlite:///{tmp_path_factory.mktemp('elastic') / 'sessions.db'}"
    stores: list[SessionStore] = []

    def opened(**options: Any) -> SessionStore:
        index = ElasticsearchIndex(server, timeout=30.0, follow=False)
        stores.append(SessionStore.open(url, index=index, tenant=str(uuid.uuid4()), **options))
        return cast("SessionStore", Waiting(stores[-1]))

    yield opened
    remove(client, stores[0])
    for store in stores:
        store.close()


@pytest.fixture
def open_own(server: str, client: Elasticsearch, tmp_path: Path) -> Iterator[Open]:
    """What opens stores on a database of this test's own."""
    stores: list[SessionStore] = []

    def opened(address: str = server, *, settings: dict[str, Any] | None = None, **options: Any) -> SessionStore:
        index = ElasticsearchIndex(address, **{"timeout": 30.0, "refresh": 0.1, **(settings or {})})
        stores.append(SessionStore.open(f"sqlite:///{tmp_path / 'sessions.db'}", index=index, **options))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()
    if stores:
        remove(client, stores[0])
