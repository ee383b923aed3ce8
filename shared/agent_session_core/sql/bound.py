"""A database as one connection of the caller's shows it: inside the caller's own transaction."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Dialect

from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput
from agent_session_core.sql.engine import Database
from agent_session_core.sql.faults import translating
from agent_session_core.sql.outages import Outages

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection
    from typing_extensions import TypeIs

T = TypeVar("T")

__all__ = ["BoundDatabase"]

_IDENTITY = "SELECT value FROM database WHERE key = 'identity'"


class BoundDatabase:
    """Reads and writes on one connection, and neither begins, commits nor closes anything but savepoints.

    Args:
        connection: a connection, or an AsyncConnection; then only the async forms can be used.
        database: the database that it must be of.

    Raises:
        InvalidInput: when it is no connection.
    """

    def __init__(self, connection: Connection | AsyncConnection, database: Database) -> None:
        if isinstance(connection, Connection):
            self._sync: Connection | None = connection
            self._async: AsyncConnection | None = None
        elif _is_async(connection):
            self._sync, self._async = connection.sync_connection, connection
        else:
            raise InvalidInput(
                f"connection: expected a SQLAlchemy Connection or AsyncConnection, got {shown(connection)}; "
                "open one with engine.connect()"
            )
        if self._sync is None or self._sync.closed:
            raise InvalidInput("connection: it is closed; bind one that is open")
        if self._sync.dialect.name != database.dialect.name:
            raise InvalidInput(f"connection: it is of {self._sync.dialect.name}, the store of {database.dialect.name}")
        self._database = database
        self._identity: str | None = None

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        return self._database.dialect

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self._database.url

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:  # noqa: ARG002  # the caller's choice
        """Run ``work`` in the caller's transaction; it decides of which moment that reads."""
        return self._read(self._usable(), work)

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,  # noqa: ARG002
        one_statement: bool = False,  # noqa: ARG002
    ) -> T:
        """Run ``work`` in the caller's transaction, under a savepoint: durable when the caller commits."""
        return self._write(self._usable(), work)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:  # noqa: ARG002
        """As :meth:`read`."""
        return await self._usable_async().run_sync(self._read, work)

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,  # noqa: ARG002
        one_statement: bool = False,  # noqa: ARG002
    ) -> T:
        """As :meth:`write`."""
        return await self._usable_async().run_sync(self._write, work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread; it must not touch the connection."""
        return await self._database.in_thread(work)

    def purge(self) -> bool:
        """Nothing is gone before the caller commits."""
        return False

    def close(self) -> None:
        """The connection is the caller's."""

    async def aclose(self) -> None:
        """The connection is the caller's."""

    def _usable(self) -> Connection:
        if self._async is not None or self._sync is None:
            raise InvalidInput("connection: it is an AsyncConnection; use the methods with the prefix a")
        return self._sync

    def _usable_async(self) -> AsyncConnection:
        if self._async is None:
            raise InvalidInput("connection: it is no AsyncConnection; use the methods without the prefix a")
        return self._async

    def _read(self, conn: Connection, work: Callable[[Connection], T]) -> T:
        with self._told(conn):
            self._check(conn)
            return work(conn)

    def _write(self, conn: Connection, work: Callable[[Connection], T]) -> T:
        with self._told(conn):
            self._check(conn)
            _begin(conn)
            with conn.begin_nested():
                return work(conn)

    def _check(self, conn: Connection) -> None:
        """Refuse a connection to another database, where the sessions are others."""
        if self._identity is None:
            if not conn.dialect.has_table(conn, "database"):
                raise InvalidInput("connection: its database has no sessions; bind a connection to the store's own")
            found = conn.exec_driver_sql(_IDENTITY).scalar()
            own = self._database.read(lambda own: own.exec_driver_sql(_IDENTITY).scalar())
            if found != own:
                raise InvalidInput("connection: it is of another database; bind a connection to the store's own")
            self._identity = str(own)

    def _told(self, conn: Connection) -> AbstractContextManager[None]:
        if conn.dialect.name == "sqlite":
            return translating(self.url)
        return Outages(conn.dialect, self.url).translated()


def _begin(conn: Connection) -> None:
    """Begin the caller's transaction where the caller has not: a first savepoint of SQLite's would be one by itself."""
    if not conn.in_transaction():
        conn.begin()
    driver: Any = conn.connection.driver_connection
    if conn.dialect.name == "sqlite" and not driver.in_transaction:
        conn.exec_driver_sql("BEGIN IMMEDIATE")


def _is_async(connection: object) -> TypeIs[AsyncConnection]:
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    return asyncio is not None and isinstance(connection, asyncio.AsyncConnection)
