"""A database that tells the index when something was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect

    from agent_session_core.sql.engine import Database

T = TypeVar("T")

__all__ = ["WakingDatabase"]


class WakingDatabase:
    """Another database, with ``wake`` called after each write.

    Args:
        database: the other one.
        wake: takes no time.
    """

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        return self._database.dialect

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self._database.url

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work``; with ``snapshot`` everything it reads is of one moment."""
        return self._database.read(work, snapshot=snapshot)

    def write(self, work: Callable[[Connection], T], *, again: Callable[[Connection], T] | None = None) -> T:
        """Run ``work`` in a write transaction, durable on return."""
        result = self._database.write(work, again=again)
        self._wake()
        return result

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`, without blocking the event loop."""
        return await self._database.aread(work, snapshot=snapshot)

    async def awrite(self, work: Callable[[Connection], T], *, again: Callable[[Connection], T] | None = None) -> T:
        """As :meth:`write`, without blocking the event loop."""
        result = await self._database.awrite(work, again=again)
        self._wake()
        return result

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool, in the caller's context variables."""
        return await self._database.in_thread(work)

    def purge(self) -> bool:
        """Leave nothing of what was deleted in the files of the database; whether that was possible just now."""
        return self._database.purge()

    def close(self) -> None:
        """Close what was opened there."""
        self._database.close()

    async def aclose(self) -> None:
        """As :meth:`close`, from an event loop."""
        await self._database.aclose()
