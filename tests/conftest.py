"""What every test may ask for: the addresses of real services."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, create_engine

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
def elasticsearch_url() -> str:
    """The address of an Elasticsearch 8 node that tests may write to."""
    return _address(SERVICES["elasticsearch_url"])


@pytest.fixture(scope="session")
def elasticsearch9_url() -> str:
    """The address of an Elasticsearch 9 node that tests may write to."""
    return _address(SERVICES["elasticsearch9_url"])
