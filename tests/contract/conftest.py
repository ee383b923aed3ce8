"""Stores for the contract suite: one for each way to drive them, all on one database file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import Session, SessionStore
from tests.contract.drivers import DRIVERS, Driver, Opened


@pytest.fixture(scope="session")
def database_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that all tests of the suite share, each as a tenant of its own."""
    path = tmp_path_factory.mktemp("contract") / "sessions.db"
    SessionStore.open(f"sqlite:///{path}", index="off").close()
    return path


MEASURED = ("sync", "async", "native", "postgres", "postgres-asyncpg-fresh-loops")
"""The drivers whose tests count the lines they run; the others run the same, and counting takes twice the time."""


def ways(*names: str) -> list[Any]:
    """Parameters for the drivers with these names, or for all; those that need a service are marked so."""
    return [
        pytest.param(driver, id=driver.name, marks=_marks(driver))
        for driver in DRIVERS
        if not names or driver.name in names
    ]


def _marks(driver: Driver) -> list[pytest.MarkDecorator]:
    services = [pytest.mark.services] if driver.place == "postgres_database" else []
    return [*services, *([] if driver.name in MEASURED else [pytest.mark.no_cover])]


@pytest.fixture(scope="session", params=ways())
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The database, opened in each of the ways to drive it."""
    with request.param.opening(request.getfixturevalue(request.param.place)) as opened:
        yield opened


@pytest.fixture
def store(opened: Opened) -> SessionStore:
    """An empty store."""
    return opened.store()


@pytest.fixture
def session(store: SessionStore) -> Session:
    """A session without messages."""
    return store.session("trip")


@pytest.fixture(scope="module", params=ways("sync", "async", "native", "postgres"))
def main_opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The database opened in the main ways alone: the sync form, threads, natively, and on a server."""
    with request.param.opening(request.getfixturevalue(request.param.place)) as opened:
        yield opened


@pytest.fixture
def main_session(main_opened: Opened) -> Session:
    """A session without messages, for long tables."""
    return main_opened.store().session("trip")
