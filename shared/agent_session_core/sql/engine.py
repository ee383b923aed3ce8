"""Where the rest of the core meets a database: run a function in a read or a write, from any thread or event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Dialect

T = TypeVar("T")

__all__ = ["Database"]


class Database(Protocol):
    """A database of sessions. The functions given to it get a connection, do not commit, and may be run again."""

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        ...

    @property
    def url(self) -> str:
        """The address, without its password."""
        ...

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work``; with ``snapshot`` everything it reads is of one moment."""
        ...

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction of its own (or a savepoint of a shared one), durable on return.

        ``again`` is run where the connection to a server was lost in the commit, and nobody knows what became of it;
        it finds out. Without one that is an error. ``one_statement`` says that ``work`` runs a single one, and does
        not need a transaction round it.
        """
        ...

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`, without blocking the event loop."""
        ...

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """As :meth:`write`, without blocking the event loop. Cancelled, it did all or nothing."""
        ...

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool, in the caller's context variables."""
        ...

    def purge(self) -> bool:
        """Leave nothing of what was deleted in the files of the database; whether that was possible just now."""
        ...

    def close(self) -> None:
        """Close what was opened here."""
        ...

    async def aclose(self) -> None:
        """As :meth:`close`, from an event loop."""
        ...
