"""Stores for the contract suite: one for each way to drive them, all on one database file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent_session_core import Session, SessionStore
from tests.contract.drivers import DRIVERS, Driver


@pytest.fixture(scope="session")
def database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that all tests of the suite share, each as a tenant of its own."""
    path = tmp_path_factory.mktemp("contract") / "sessions.db"
    SessionStore.open(f"sqlite:///{path}", index="off").close()
    return path


@pytest.fixture(params=DRIVERS, ids=[driver.name for driver in DRIVERS])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each way to drive a store."""
    chosen: Driver = request.param
    return chosen


@pytest.fixture
def open_store(driver: Driver, database_file: Path) -> Iterator[Callable[..., SessionStore]]:
    """What opens a store, for a tenant of its own or the one that is named."""
    with driver.opening(database_file) as opened:
        yield opened


@pytest.fixture
def store(open_store: Callable[..., SessionStore]) -> SessionStore:
    """An empty store."""
    return open_store()


@pytest.fixture
def session(store: SessionStore) -> Session:
    """A session without messages."""
    return store.session("trip")


@pytest.fixture(params=[DRIVERS[0], DRIVERS[4], DRIVERS[8]], ids=lambda driver: driver.name)
def main_session(request: pytest.FixtureRequest, database_file: Path) -> Iterator[Session]:
    """A session without messages, for long tables: in the sync form, in threads, and natively."""
    with request.param.opening(database_file) as opened:
        yield opened().session("trip")
