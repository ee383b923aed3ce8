"""From an address or a caller's engine to a database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sqlite import SqliteDatabase, is_in_memory
from agent_session_core.sql.sqlite import make_engine as make_sqlite_engine

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from typing_extensions import TypeIs

DRIVERS = {"sqlite": ("pysqlite", "aiosqlite"), "postgresql": ("psycopg", "psycopg_async", "asyncpg")}
"""The databases and drivers that are known; the first of each is for threads, the others are native async ones."""


def open_database(target: object) -> Database:
    """Open what ``target`` names: a URL, or an engine, which stays the caller's.

    Raises:
        InvalidInput: when it is no address this package can open.
        StorageUnavailable: when it cannot be opened.
    """
    if _is_async_engine(target):
        url = _supported(target.url)
        return _postgres(url, target) if url.get_backend_name() == "postgresql" else _sqlite(url, target)
    if isinstance(target, Engine):
        url = _supported(target.url)
        if url.get_backend_name() == "postgresql":
            from agent_session_core.sql.postgres import PostgresDatabase

            return PostgresDatabase(target, owned=False)
        return SqliteDatabase(target, owned=False)
    url = _supported(_parsed(target))
    return _postgres(url) if url.get_backend_name() == "postgresql" else _sqlite(url)


def _sqlite(url: URL, engine: AsyncEngine | None = None) -> Database:
    if engine is not None and is_in_memory(url):
        raise InvalidInput(
            "url: an AsyncEngine of a database in memory cannot be shared with threads; open 'sqlite://'"
        )
    database = SqliteDatabase(make_sqlite_engine(url.set(drivername="sqlite")), owned=True)
    if engine is None and (url.get_driver_name() != "aiosqlite" or is_in_memory(url)):
        return database
    from agent_session_core.sql.sqlite_native import NativeSqlite

    return NativeSqlite(database, url, engine=engine)


def _postgres(url: URL, engine: AsyncEngine | None = None) -> Database:
    from agent_session_core.sql.postgres import PostgresDatabase, make_engine

    database = PostgresDatabase(make_engine(_for_threads(url)), owned=True)
    if engine is None and url.get_driver_name() == "psycopg":
        return database
    from agent_session_core.sql.postgres_native import NativePostgres

    return NativePostgres(database, url, engine=engine)


def _for_threads(url: URL) -> URL:
    """The same database by psycopg. Of asyncpg's own options the one for TLS has another name there."""
    if url.get_driver_name() != "asyncpg":
        return url.set(drivername="postgresql+psycopg")
    query = {name: value for name, value in url.query.items() if not name.startswith("prepared_statement")}
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")
    return url.set(drivername="postgresql+psycopg", query=query)


def _is_async_engine(target: object) -> TypeIs[AsyncEngine]:
    """Whether ``target`` is one, told without importing what makes them: a third of SQLAlchemy, which few need."""
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    return asyncio is not None and isinstance(target, asyncio.AsyncEngine)


def _parsed(target: object) -> URL:
    if isinstance(target, URL):
        return target
    if not isinstance(target, str):
        raise InvalidInput(
            f"url: expected a URL or an engine, got {type(target).__name__} {_checks.shown(target)}; "
            "for a file write sqlite:///path/to/file.db"
        )
    try:
        return make_url(target)
    except ArgumentError:
        raise InvalidInput(
            f"url: {_without_password(target)} is no database URL; for a file write sqlite:///path/to/file.db"
        ) from None


def _supported(url: URL) -> URL:
    backend, driver = url.drivername.partition("+")[::2]
    if backend not in DRIVERS:
        raise InvalidInput(
            f"url: {backend!r:.40} databases are not supported; use sqlite:///path/to/file.db or "
            "postgresql+psycopg://user:password@host/database"
        )
    if not driver:
        url = url.set(drivername=f"{backend}+{DRIVERS[backend][0]}")
    elif driver not in DRIVERS[backend]:
        known = ", ".join(f"{backend}+{name}" for name in DRIVERS[backend])
        raise InvalidInput(f"url: the driver {driver!r:.40} is not supported; use {known}")
    if backend == "sqlite" and (url.host or url.port or url.username or url.password):
        raise InvalidInput(f"url: a file is on no host ({_checks.shown(url.host)}); write sqlite:///path/to/file.db")
    try:
        embedded_null = b"\x00" in (url.database or "").encode()
    except UnicodeEncodeError:
        embedded_null = True
    if embedded_null:
        raise InvalidInput(f"url: {_checks.shown(url.database)} is no path of a file; give another")
    return url


def _without_password(target: str) -> str:
    return _checks.shown(target if "@" not in target else f"...@{target.rsplit('@', 1)[1]}")
