"""SQLite by aiosqlite, for callers who want no threads of ours between them and the driver.

Writers of one event loop queue for their turn; between loops, threads and processes the file's lock decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agent_session_core.sql.faults import translating
from agent_session_core.sql.filelock import FileLock
from agent_session_core.sql.native import NativeDatabase
from agent_session_core.sql.sqlite import SqliteDatabase, check_durability, prepare, settle

T = TypeVar("T")

__all__ = ["NativeSqlite"]


class NativeSqlite(NativeDatabase):
    """A SQLite file behind aiosqlite."""

    def __init__(self, threads: SqliteDatabase, url: URL, *, engine: AsyncEngine | None = None) -> None:
        super().__init__(threads, url, engine=engine)
        self._file = threads

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work`` on a connection of the async driver."""
        async with self._connection() as conn:
            if snapshot:
                await conn.run_sync(settle)
                await conn.exec_driver_sql("BEGIN")
            try:
                return await conn.run_sync(work)
            except asyncio.CancelledError:
                await conn.invalidate()  # a statement broken off holds its snapshot, from which nothing can be written
                raise

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,  # noqa: ARG002
        one_statement: bool = False,  # noqa: ARG002
    ) -> T:
        """Run ``work`` in a write transaction of its own. Cancelled before the commit, it did nothing."""
        turn = (await self._life()).turn  # before a connection: writers that wait leave some to the readers
        async with turn, self._connection() as conn, self._alone():
            await conn.run_sync(settle)
            await conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                result = await conn.run_sync(work)
                await conn.exec_driver_sql("COMMIT")
            except BaseException as error:
                await asyncio.shield(conn.rollback())
                if isinstance(error, asyncio.CancelledError):
                    await conn.invalidate()
                raise
            return result

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with translating(self.url):
            life = await self._life()
            async with life.engine.connect() as conn:
                await self._check_once(conn)
                yield conn

    def _make_engine(self) -> AsyncEngine:
        engine = create_async_engine(self._url, connect_args={"isolation_level": None})
        event.listen(engine.sync_engine, "connect", prepare)
        return engine

    def _check(self, conn: Connection) -> None:
        check_durability(conn)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the file's lock between processes; waiting for it takes a thread, not the event loop."""
        lock = self._file.file_lock
        acquiring = self._file.submit(lock.acquire)  # no future of the loop's, which may be gone when the lock comes
        try:
            held = await asyncio.wrap_future(acquiring)
        except asyncio.CancelledError:
            acquiring.add_done_callback(partial(_let_go, lock))
            raise
        try:
            yield
        finally:
            lock.release(held)


def _let_go(lock: FileLock, acquired: Future[int | None]) -> None:
    """Release a lock that came when nobody waited for it any more."""
    if not acquired.cancelled() and acquired.exception() is None:
        lock.release(acquired.result())
