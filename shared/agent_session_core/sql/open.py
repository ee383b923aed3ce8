"""From an address or a caller's engine to a database."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sqlite import SqliteDatabase, is_in_memory, make_engine

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from typing_extensions import TypeIs


def open_database(target: object) -> Database:
    """Open what ``target`` names: a URL, or an engine, which stays the caller's.

    Raises:
        InvalidInput: when it is no address this package can open.
        StorageUnavailable: when it cannot be opened.
    """
    if _is_async_engine(target):
        url = _supported(target.url)
        if is_in_memory(url):
            raise InvalidInput(
                "url: an AsyncEngine of a database in memory cannot be shared with threads; open 'sqlite://'"
            )
        return _native(SqliteDatabase(make_engine(url.set(drivername="sqlite")), owned=True), url, target)
    if isinstance(target, Engine):
        _supported(target.url)
        return SqliteDatabase(target, owned=False)
    url = _supported(_parsed(target))
    database = SqliteDatabase(make_engine(url.set(drivername="sqlite")), owned=True)
    return database if url.get_driver_name() != "aiosqlite" or is_in_memory(url) else _native(database, url)


def _is_async_engine(target: object) -> TypeIs[AsyncEngine]:
    """Whether ``target`` is one, told without importing what makes them: a third of SQLAlchemy, which few need."""
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    return asyncio is not None and isinstance(target, asyncio.AsyncEngine)


def _native(database: SqliteDatabase, url: URL, engine: AsyncEngine | None = None) -> Database:
    from agent_session_core.sql.native import NativeDatabase

    return NativeDatabase(database, url, engine=engine)


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
    if url.get_backend_name() != "sqlite":
        raise InvalidInput(
            f"url: {url.get_backend_name()!r:.40} databases are not supported; use sqlite:///path/to/file.db"
        )
    if url.get_driver_name() not in ("pysqlite", "aiosqlite"):
        raise InvalidInput(
            f"url: the driver {url.get_driver_name()!r:.40} is not supported; use sqlite or sqlite+aiosqlite"
        )
    try:
        embedded_null = b"\x00" in (url.database or "").encode()
    except UnicodeEncodeError:
        embedded_null = True
    if embedded_null:
        raise InvalidInput(f"url: {_checks.shown(url.database)} is no path of a file; give another")
    return url


def _without_password(target: str) -> str:
    return _checks.shown(target if "@" not in target else f"...@{target.rsplit('@', 1)[1]}")
