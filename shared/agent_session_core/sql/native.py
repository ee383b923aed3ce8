"""The async form on an async driver: the same functions, run by the driver in the event loop.

An engine belongs to the event loop in which it was made; each loop gets its own, disposed when that loop shuts down.
The sync form, and what must not run in an event loop at all, go to the database's thread form.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Dialect, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from agent_session_core.errors import InvalidInput, StorageUnavailable
from agent_session_core.sql.faults import translated
from agent_session_core.sql.filelock import FileLock
from agent_session_core.sql.sqlite import SqliteDatabase, prepare, settle

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop


class NativeDatabase:
    """A SQLite file behind aiosqlite, with its thread form for everything else.

    Args:
        threads: the same file, opened for threads.
        url: the async URL, for the engines made here.
        engine: the caller's own engine, bound to the caller's loop; then none is made, or closed, here.
    """

    def __init__(self, threads: SqliteDatabase, url: URL, *, engine: AsyncEngine | None = None) -> None:
        self._threads = threads
        self._url = url
        self._given = engine
        self._lives: WeakKeyDictionary[Loop, _Life] = WeakKeyDictionary()
        self._checked = False
        self._closed = False

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        return self._threads.dialect

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self._url.render_as_string(hide_password=True)

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work``, by the thread form."""
        return self._threads.read(work, snapshot=snapshot)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a write transaction, by the thread form."""
        return self._threads.write(work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool."""
        return await self._threads.in_thread(work)

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

    async def awrite(self, work: Callable[[Connection], T]) -> T:
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

    def purge(self) -> bool:
        """Leave nothing of what was deleted in the files of the database, by the thread form."""
        return self._threads.purge()

    def close(self) -> None:
        """Close the thread form. Engines of other event loops are closed by those, when they shut down."""
        self._closed = True
        self._threads.close()

    async def aclose(self) -> None:
        """Close this event loop's engine and the thread form."""
        self._closed = True
        found = self._lives.get(asyncio.get_running_loop())
        if found is not None:
            await found.living.aclose()
        await self._threads.aclose()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        if self._closed:
            raise StorageUnavailable(f"{self.url}: the store is closed; open another with SessionStore.open()")
        try:
            life = await self._life()
            async with life.engine.connect() as conn:
                if self._given is not None and not self._checked:
                    await self._check(conn)
                yield conn
        except Exception as error:
            told = translated(error, self.url)
            if told is error:
                raise
            raise told from error

    async def _life(self) -> _Life:
        """What belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._lives:
            living = self._living(loop)
            engine = await anext(living)
            self._lives[loop] = _Life(engine, asyncio.Lock(), living)
        return self._lives[loop]

    async def _living(self, loop: Loop) -> AsyncGenerator[AsyncEngine, None]:
        """An engine for as long as its event loop lives: the loop closes this generator when it shuts down."""
        engine = self._given
        if engine is None:
            engine = create_async_engine(self._url, connect_args={"isolation_level": None})
            event.listen(engine.sync_engine, "connect", prepare)
        try:
            yield engine
        finally:
            self._lives.pop(loop, None)  # or the generator's own hooks would keep the loop for ever
            if engine is not self._given:
                await engine.dispose()

    async def _check(self, conn: AsyncConnection) -> None:
        synchronous = (await conn.exec_driver_sql("PRAGMA synchronous")).scalar()
        await conn.rollback()
        if not isinstance(synchronous, int) or synchronous < 2:
            raise InvalidInput(
                f"url: the engine's connections have PRAGMA synchronous={synchronous}, with which a power cut loses "
                "acknowledged messages; set it to FULL when they connect"
            )
        self._checked = True

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the file's lock between processes; waiting for it takes a thread, not the event loop."""
        lock = self._threads.file_lock
        acquiring = self._threads.submit(lock.acquire)  # no future of the loop's, which may be gone when the lock comes
        try:
            held = await asyncio.wrap_future(acquiring)
        except asyncio.CancelledError:
            acquiring.add_done_callback(partial(_let_go, lock))
            raise
        try:
            yield
        finally:
            lock.release(held)


class _Life(NamedTuple):
    """What belongs to one event loop: its engine, its writers' queue, and what ends with it."""

    engine: AsyncEngine
    turn: asyncio.Lock
    living: AsyncGenerator[AsyncEngine, None]


def _let_go(lock: FileLock, acquired: Future[int | None]) -> None:
    """Release a lock that came when nobody waited for it any more."""
    if not acquired.cancelled() and acquired.exception() is None:
        lock.release(acquired.result())
