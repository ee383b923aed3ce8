"""What every test may ask for: the addresses of real services."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, Engine, create_engine

from agent_session_core import SessionStore
from agent_session_core.sql.tables import metadata

settings.register_profile("machine-independent", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("machine-independent")

SERVICES = {
    "postgres_url": "POSTGRES_URL",
    "elasticsearch_url": "ELASTICSEARCH_URL",
    "elasticsearch9_url": "ELASTICSEARCH9_URL",
}
"""Each fixture that names a service, and the environment variable with its address."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for a service, so that ``-m "not services"`` leaves it out."""
    for item in items:
        if isinstance(item, pytest.Function) and not SERVICES.keys().isdisjoint(item.fixturenames):
            item.add_marker("services")


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
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid.uuid4().hex}"
    with server.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    yield server.url.set(database=name)
    with server.connect() as conn:
        conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture(scope="session")
def _scratch(postgres_database: URL) -> Iterator[Engine]:
    """A second database on the server, with the tables in it."""
    server = create_engine(postgres_database, isolation_level="AUTOCOMMIT")
    name = f"{postgres_database.database}_scratch"
    with server.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    scratch = create_engine(postgres_database.set(database=name))
    SessionStore.open(scratch, index="off").close()
    yield scratch
    scratch.dispose()
    with server.connect() as conn:
        conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


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
