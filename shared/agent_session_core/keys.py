"""What every statement about one session names, and what every change of one begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import now, to_microseconds
from agent_session_core.errors import SessionNotActive, SessionNotFound, TurnTaken
from agent_session_core.sql import leases
from agent_session_core.sql.delegating import FirstDatabase
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sessions import SessionRow, bump, get

T = TypeVar("T")

__all__ = ["Key", "KeyedDatabase", "check_turn", "require", "require_active", "take_numbers"]


@dataclass(frozen=True, slots=True)
class Key:
    """What every statement about one session names: its row, its tenant, its owner and its name.

    The row's number alone does not tell: SQLite gives that of a session whose transaction was rolled back to the next.
    """

    session: int
    tenant: str
    owner: str | None
    name: str
    database: int = 0  # tells apart the databases that this process has open
    turn: int | None = None  # the token of the turn in which it writes

    def params(self) -> dict[str, Any]:
        """The bound values."""
        return {"session": self.session, "tenant": self.tenant, "owner": self.owner, "session_id": self.name}


def require(conn: Connection, key: Key, *, held: bool = False) -> SessionRow:
    """The session's row; ``held``, nobody else changes the session until the transaction ends.

    Raises:
        SessionNotFound: when it has been deleted.
    """
    row = get(conn, key.params(), held=held)
    if row is None:
        raise SessionNotFound(
            f"session {_checks.shown(key.name)}: not found; it was deleted, make it anew with store.session()"
        )
    return row


def require_active(conn: Connection, key: Key, *, held: bool = False) -> SessionRow:
    """The session's row, for writing; ``held`` as in :func:`require`.

    Raises:
        SessionNotFound: when it has been deleted.
        SessionNotActive: when it is closed, expired or archived.
    """
    row = require(conn, key, held=held)
    status = row.status_at(to_microseconds(now()))
    if status != "active":
        raise SessionNotActive(
            f"session {_checks.shown(key.name)}: it is {status} and can only be read; restore() makes it active again"
        )
    return row


def check_turn(conn: Connection, key: Key) -> None:
    """Refuse the write of a worker whose turn another one has taken over.

    Raises:
        SessionNotFound: when the session has been deleted.
        TurnTaken: when its turn is another worker's.
    """
    if key.turn is not None and leases.token(conn, key.session, "turn") != key.turn:
        require(conn, key)
        raise TurnTaken(
            f"session {_checks.shown(key.name)}: another worker took over its turn; "
            "read the session anew before you go on"
        )


def take_numbers(conn: Connection, key: Key, count: int) -> tuple[int, int, int]:
    """Count one change of the session, and take ``count`` seqs: the last of them, the run and the revision.

    Raises:
        SessionNotFound, SessionNotActive: as :func:`require_active`.
        TurnTaken: as :func:`check_turn`.
    """
    taken = bump(conn, key.params(), count=count, now=to_microseconds(now()))
    check_turn(conn, key)  # with the session's row held: nobody takes the turn over from here on
    if taken is None:
        require_active(conn, key)
        raise SessionNotFound(f"session {_checks.shown(key.name)}: not found")
    return taken


class KeyedDatabase(FirstDatabase):
    """A database for one session's handle, where the session may be undone: each work first sees that it is there.

    What stands beside a session names its row's number alone, which is another session's once the transaction that
    made this one was rolled back.
    """

    def __init__(self, database: Database, key: Key) -> None:
        super().__init__(database)
        self.key = key

    def first(self, conn: Connection) -> None:
        """See that the session is there."""
        require(conn, self.key)

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As the database's, of the session."""
        return self.database.read(self.after_it(work), snapshot=snapshot)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`."""
        return await self.database.aread(self.after_it(work), snapshot=snapshot)
