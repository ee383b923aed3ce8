"""Stores for the contract suite: one for each way to drive them, all on one database file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_session_core import Session, SessionStore
from tests.contract.drivers import DRIVERS, Opened


@pytest.fixture(scope="session")
def database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that all tests of the suite share, each as a tenant of its own."""
    path = tmp_path_factory.mktemp("contract") / "sessions.db"
    SessionStore.open(f"sqlite:///{path}", index="off").close()
    return path


@pytest.fixture(scope="session", params=DRIVERS, ids=[driver.name for driver in DRIVERS])
def opened(request: pytest.FixtureRequest, database_file: Path) -> Iterator[Opened]:
    """The database, opened in each of the ways to drive it."""
    with request.param.opening(database_file) as opened:
        yield opened


@pytest.fixture
def store(opened: Opened) -> SessionStore:
    """An empty store."""
    return opened.store()


@pytest.fixture
def session(store: SessionStore) -> Session:
    """A session without messages."""
    return store.session("trip")


@pytest.fixture(scope="module", params=[DRIVERS[0], DRIVERS[4], DRIVERS[8]], ids=lambda driver: driver.name)
def main_opened(request: pytest.FixtureRequest, database_file: Path) -> Iterator[Opened]:
    """The database opened in the main ways alone: the sync form, threads, and natively."""
    with request.param.opening(database_file) as opened:
        yield opened


@pytest.fixture
def main_session(main_opened: Opened) -> Session:
    """A session without messages, for long tables."""
    return main_opened.store().session("trip")
