"""Who waits for whom where a database has many writers. SQLite has one at a time, and needs none of this."""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, Connection, bindparam, cast, func, select

from agent_session_core.sql.delegating import FirstDatabase
from agent_session_core.sql.engine import Database
from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import sessions

__all__ = ["alone", "alone_within", "hold", "holding"]

_HOLD = Statement(
    select(sessions.c.id)
    .where(sessions.c.id == bindparam("session"))
    .with_for_update(key_share=True)  # leases refer to the row, and may be added meanwhile
)
_WHAT = func.hashtextextended(bindparam("what"), cast(0, BigInteger))
_ALONE = Statement(select(func.pg_advisory_xact_lock(_WHAT)))
_TRY_ALONE = Statement(select(func.pg_try_advisory_xact_lock(_WHAT)))
LOOK_AGAIN = 0.02
"""Seconds between two looks at whether another one is still at something."""


def alone(conn: Connection, what: str) -> None:
    """Until this transaction ends, no other one is at ``what`` too; waits for one that is."""
    if conn.dialect.name != "sqlite":
        _ALONE.all(conn, {"what": f"agent_session {what}"})


def alone_within(conn: Connection, what: str, seconds: float) -> bool:
    """As :func:`alone`, but waits no longer than so many seconds; whether it came to that."""
    if conn.dialect.name == "sqlite":
        return True
    deadline = time.monotonic() + seconds
    while not (_TRY_ALONE.one(conn, {"what": f"agent_session {what}"}) or (False,))[0]:
        if time.monotonic() >= deadline:
            return False
        time.sleep(LOOK_AGAIN)
    return True


def hold(conn: Connection, session: int) -> None:
    """Until this transaction ends, no other one changes anything of the session (the row); waits for one that does."""
    if conn.dialect.name != "sqlite":
        _HOLD.all(conn, {"session": session})


def holding(database: Database, session: int) -> Database:
    """The database for a session's own writes: each of them has the session to itself.

    So what a write reads of the session still stands when it writes, as in SQLite.
    """
    return database if database.dialect.name == "sqlite" else _Holding(database, session)


class _Holding(FirstDatabase):
    """A database whose writes hold a session."""

    def __init__(self, database: Database, session: int) -> None:
        super().__init__(database)
        self.session = session

    def first(self, conn: Connection) -> None:
        """Hold it."""
        hold(conn, self.session)
