"""The async form on an async driver's own connections: what databases of both kinds have in common.

An engine belongs to one event loop. Each loop gets one, made in it when it is first needed and disposed when the loop
shuts its generators down. Sync methods, and what need not run in an event loop at all, go to the thread form.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agent_session_core.errors import StorageUnavailable
from agent_session_core.sql.engine import Database

T = TypeVar("T")
Loop = asyncio.AbstractEventLoop

__all__ = ["Life", "NativeDatabase"]


class Life(NamedTuple):
    """What belongs to one event loop: its engine, its writers' queue, and what ends with it."""

    engine: AsyncEngine
    turn: asyncio.Lock
    living: AsyncGenerator[AsyncEngine, None]


class NativeDatabase(ABC):
    """A database behind an async driver, with its thread form for everything else.

    Args:
        threads: the same database, opened for threads.
        url: the async URL, for the engines made here.
        engine: the caller's own engine, bound to the caller's loop; then none is made, or closed, here.
    """

    def __init__(self, threads: Database, url: URL, *, engine: AsyncEngine | None = None) -> None:
        self._threads = threads
        self._url = url
        self._given = engine
        self._lives: WeakKeyDictionary[Loop, Life] = WeakKeyDictionary()
        self._checked = engine is None
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

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction, by the thread form."""
        return self._threads.write(work, again=again, one_statement=one_statement)

    @abstractmethod
    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work`` on a connection of the async driver."""

    @abstractmethod
    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction of its own. Cancelled before the commit, it did nothing."""

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool."""
        return await self._threads.in_thread(work)

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

    @abstractmethod
    def _make_engine(self) -> AsyncEngine:
        """An engine of our own, for the running loop."""

    @abstractmethod
    def _check(self, conn: Connection) -> None:
        """Refuse a caller's connection that could lose an acknowledged message."""

    async def _life(self) -> Life:
        """What belongs to the running event loop."""
        if self._closed:
            raise StorageUnavailable(f"{self.url}: the store is closed; open another with SessionStore.open()")
        loop = asyncio.get_running_loop()
        if loop not in self._lives:
            living = self._living(loop)
            engine = await anext(living)
            self._lives[loop] = Life(engine, asyncio.Lock(), living)
        return self._lives[loop]

    async def _living(self, loop: Loop) -> AsyncGenerator[AsyncEngine, None]:
        """An engine for as long as its event loop lives: the loop closes this generator when it shuts down."""
        engine = self._make_engine() if self._given is None else self._given
        try:
            yield engine
        finally:
            self._lives.pop(loop, None)  # or the generator's own hooks would keep the loop for ever
            if engine is not self._given:
                await engine.dispose()

    async def _check_once(self, conn: AsyncConnection) -> None:
        if not self._checked:
            await conn.run_sync(self._check)
            await conn.rollback()
            self._checked = True
