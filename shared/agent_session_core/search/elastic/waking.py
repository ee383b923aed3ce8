"""A database that tells the index when something was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from agent_session_core.sql.delegating import DelegatingDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agent_session_core.sql.engine import Database

T = TypeVar("T")

__all__ = ["WakingDatabase"]


class WakingDatabase(DelegatingDatabase):
    """Another database, with ``wake`` called after each write.

    Args:
        database: the other one.
        wake: takes no time.
    """

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        super().__init__(database)
        self._wake = wake

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction, durable on return."""
        result = self.database.write(work, again=again, one_statement=one_statement)
        self._wake()
        return result

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """As :meth:`write`, without blocking the event loop."""
        result = await self.database.awrite(work, again=again, one_statement=one_statement)
        self._wake()
        return result
