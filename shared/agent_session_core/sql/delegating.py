"""A database that is another one, but for what its reads and writes do besides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Dialect

from agent_session_core.sql.engine import Database

T = TypeVar("T")

__all__ = ["DelegatingDatabase", "FirstDatabase"]


class DelegatingDatabase:
    """Hands everything on to ``database``, and is equal to another of its kind that does the same."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), id(self.database)))

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        return self.database.dialect

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self.database.url

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work``; with ``snapshot`` everything it reads is of one moment."""
        return self.database.read(work, snapshot=snapshot)

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction of its own, durable on return."""
        return self.database.write(work, again=again, one_statement=one_statement)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`, without blocking the event loop."""
        return await self.database.aread(work, snapshot=snapshot)

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """As :meth:`write`, without blocking the event loop."""
        return await self.database.awrite(work, again=again, one_statement=one_statement)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool, in the caller's context variables."""
        return await self.database.in_thread(work)

    def purge(self) -> bool:
        """Leave nothing of what was deleted in the files of the database; whether that was possible just now."""
        return self.database.purge()

    def close(self) -> None:
        """Close what was opened there."""
        self.database.close()

    async def aclose(self) -> None:
        """As :meth:`close`, from an event loop."""
        await self.database.aclose()


class FirstDatabase(DelegatingDatabase, ABC):
    """Another database, each of whose writes begins with something else on its connection."""

    @abstractmethod
    def first(self, conn: Connection) -> None:
        """What it begins with."""

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,  # noqa: ARG002  # what comes first is another one
    ) -> T:
        """Run ``work`` in a write transaction of its own, durable on return."""
        return self.database.write(self.after_it(work), again=None if again is None else self.after_it(again))

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,  # noqa: ARG002  # as above
    ) -> T:
        """As :meth:`write`, without blocking the event loop."""
        return await self.database.awrite(self.after_it(work), again=None if again is None else self.after_it(again))

    def after_it(self, work: Callable[[Connection], T]) -> Callable[[Connection], T]:
        """``work``, with what comes before it."""

        def both(conn: Connection) -> T:
            self.first(conn)
            return work(conn)

        return both
