"""PostgreSQL by an async driver, asyncpg or psycopg, without threads of ours between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agent_session_core.sql.native import NativeDatabase
from agent_session_core.sql.outages import CommitLost, Freshness, Outages
from agent_session_core.sql.postgres import (
    CONNECTIONS,
    READING,
    SNAPSHOT,
    WRITING,
    PostgresDatabase,
    check_settings,
    needing_driver,
    prepare,
)

T = TypeVar("T")

__all__ = ["NativePostgres"]


class NativePostgres(NativeDatabase):
    """A PostgreSQL database behind asyncpg or psycopg."""

    def __init__(self, threads: PostgresDatabase, url: URL, *, engine: AsyncEngine | None = None) -> None:
        super().__init__(threads, url, engine=engine)
        self._fresh = Freshness()
        dialect = (engine if engine is not None else self._make_engine()).dialect  # an engine connects when asked to
        self._outages = Outages(dialect, self.url)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work`` on a connection of the async driver."""

        async def once() -> T:
            async with self._connection(SNAPSHOT if snapshot else READING) as conn:
                return await conn.run_sync(work)

        with self._outages.translated():
            return await self._outages.arun(once)

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction of its own. Cancelled before the commit, it did nothing.

        It is run again where another transaction was in its way or the connection was lost before the commit.
        """

        async def once(work: Callable[[Connection], T]) -> T:
            async with self._connection(WRITING) as conn:
                transaction = await conn.begin()
                result = await conn.run_sync(work)
                with self._outages.committing(conn.sync_connection):
                    await transaction.commit()
                return result

        async def at_once(work: Callable[[Connection], T]) -> T:
            async with self._connection(READING) as conn:
                with self._outages.committing(conn.sync_connection):
                    return await conn.run_sync(work)

        with self._outages.translated():
            try:
                return await self._outages.arun(partial(at_once if one_statement else once, work))
            except CommitLost:
                if again is None:
                    raise
                self._fresh.lost()
                return await self._outages.arun(partial(once, again), lost_commits=True)

    @asynccontextmanager
    async def _connection(self, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        life = await self._life()
        async with life.engine.connect() as conn:
            await self._check_once(conn)
            await conn.execution_options(**options)
            try:
                yield conn
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) or self._outages.is_lost(error):
                    await conn.invalidate()  # in the middle of a statement, whose answer nobody awaits
                    self._fresh.lost()
                raise

    def _make_engine(self) -> AsyncEngine:
        with needing_driver(self._url):
            engine = create_async_engine(self._url, pool_size=CONNECTIONS, max_overflow=0)
        event.listen(engine.sync_engine, "connect", prepare)
        self._fresh.watch(engine.sync_engine)
        return engine

    def _check(self, conn: Connection) -> None:
        check_settings(conn, self.url)
