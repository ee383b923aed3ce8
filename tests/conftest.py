"""What every test may ask for: the addresses of real services."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, Engine, create_engine

from agent_session_core import ElasticsearchIndex, SessionStore
from agent_session_core.search.elastic.follower import THREAD_NAME as FOLLOWING
from agent_session_core.sql.tables import metadata
from tests.databases import new_database

settings.register_profile("machine-independent", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine-independent")

Searched: TypeAlias = tuple[URL, Callable[[], ElasticsearchIndex]]
"""A database, and what makes the settings of its index on Elasticsearch."""

SERVICES = {
    "postgres_url": "POSTGRES_URL",
    "elasticsearch_url": "ELASTICSEARCH_URL",
    "elasticsearch9_url": "ELASTICSEARCH9_URL",
}
"""Each fixture that names a service, and the environment variable with its address."""


def pytest_configure() -> None:
    """Have processes that tests start end at Ctrl-C, also where the run was started in the background, to ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for a service, so that ``-m "not services"`` leaves it out.

    Tests with many random examples count no lines: others run the same lines, and counting takes twice the time.
    """
    for item in items:
        if isinstance(item, pytest.Function) and not SERVICES.keys().isdisjoint(item.fixturenames):
            item.add_marker("services")
        if isinstance(item, pytest.Function) and getattr(item.function, "is_hypothesis_test", False):
            item.add_marker("no_cover")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was skipped in one line a reason, so that what failed stays in sight."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped")
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number:,} skipped: {reason}")


def _address(variable: str) -> str:
    """The address in ``variable``. Without one the test is skipped; on CI, where it must not be missing, it fails."""
    if address := os.environ.get(variable):
        return address
    reason = f"{variable} is unset: name a running service in it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The address of a PostgreSQL server that tests may write to."""
    return _address(SERVICES["postgres_url"])


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> Iterator[URL]:
    """An empty database of this test run's own on that server, by the driver psycopg."""
    with new_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def _scratch(postgres_database: URL) -> Iterator[Engine]:
    """A second database on the server, with the tables in it."""
    with new_database(postgres_database) as url:
        scratch = create_engine(url)
        SessionStore.open(scratch, index="off").close()
        yield scratch
        scratch.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of the test's own: a file, and then a server's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    scratch: Engine = request.getfixturevalue("_scratch")
    with scratch.begin() as conn:
        for table in reversed(metadata.sorted_tables):
            if table.name != "database":
                conn.execute(table.delete())
    return scratch.url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def elasticsearch_url() -> str:
    """The address of an Elasticsearch 8 node that tests may write to."""
    return _address(SERVICES["elasticsearch_url"])


@pytest.fixture(scope="session")
def elasticsearch9_url() -> str:
    """The address of an Elasticsearch 9 node that tests may write to."""
    return _address(SERVICES["elasticsearch9_url"])


@pytest.fixture(scope="session")
def elasticsearch(postgres_database: URL, elasticsearch_url: str) -> Iterator[Searched]:
    """A database whose index is on Elasticsearch 8."""
    yield from _searched(postgres_database, elasticsearch_url)


@pytest.fixture(scope="session")
def elasticsearch9(postgres_database: URL, elasticsearch9_url: str) -> Iterator[Searched]:
    """A database whose index is on Elasticsearch 9."""
    yield from _searched(postgres_database, elasticsearch9_url)


def _searched(database: URL, server: str) -> Iterator[Searched]:
    """A database and its index; both are gone afterwards."""
    with new_database(database) as url:
        yield url, partial(ElasticsearchIndex, server, follow=False, refresh=0.1, timeout=30)
        with SessionStore.open(url, index="off") as store:
            identity = store._database.read(
                lambda conn: conn.exec_driver_sql("SELECT value FROM database WHERE key = 'identity'").scalar_one()
            )
    with Elasticsearch(server) as client:
        for name in client.indices.get(index=f"*{identity}*"):
            client.indices.delete(index=name)


def _waiting(search: Any) -> Any:
    """A search that waits for what was stored before, whatever it is told."""

    @wraps(search)
    def waiting(store: SessionStore, *arguments: Any, **options: Any) -> Any:
        return search(store, *arguments, **{**options, "wait": True})

    return waiting


_SERVERS = [pytest.param(name, marks=pytest.mark.services) for name in ("postgres", "elasticsearch", "elasticsearch9")]


@pytest.fixture(autouse=True)
def _nobody_follows() -> Iterator[None]:
    """No test leaves a store behind that goes on bringing changes to a server."""
    yield
    for thread in threading.enumerate():
        if thread.name == FOLLOWING:
            thread.join(40)
            assert not thread.is_alive(), "a store that follows was not closed"


@pytest.fixture(params=["sqlite", *_SERVERS])
def open_indexed(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], SessionStore]:
    """Opens an empty store with its index: in a file, on PostgreSQL, and there with Elasticsearch beside it."""
    tenant = str(uuid.uuid4())
    if request.param == "sqlite":
        return lambda: SessionStore.open(f"sqlite:///{tmp_path / 'indexed.db'}")
    if request.param == "postgres":
        database: URL = request.getfixturevalue("postgres_database")
        return lambda: SessionStore.open(database, tenant=tenant)
    url, made = request.getfixturevalue(request.param)
    for name in ("search", "asearch"):
        monkeypatch.setattr(SessionStore, name, _waiting(getattr(SessionStore, name)))
    return lambda: SessionStore.open(url, index=made(), tenant=tenant)
