"""Databases on a real PostgreSQL server, for as long as a test needs them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, create_engine

__all__ = ["new_database"]


@contextmanager
def new_database(server: str | URL) -> Iterator[URL]:
    """An empty database on the server of this address, until the block ends."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid.uuid4().hex}"
    with engine.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    yield engine.url.set(database=name)
    with engine.connect() as conn:
        conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()
