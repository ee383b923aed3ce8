"""Statements about leases: what one process holds for a while."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, insert, select, update

from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import leases

_l = leases.c
_ONE = Statement(
    select(_l.token, _l.expires_at).where(_l.session == bindparam("session"), _l.name == bindparam("name"))
)


def held(conn: Connection, session: int) -> dict[str, int]:
    """The name of each lease of the session, and when it ends."""
    return {
        row.name: row.expires_at for row in conn.execute(select(_l.name, _l.expires_at).where(_l.session == session))
    }


def token(conn: Connection, session: int, name: str) -> int | None:
    """The token of the newest holder, whether its lease has ended or not; None where there never was one."""
    row = _ONE.one(conn, {"session": session, "name": name})
    return None if row is None else int(row[0])


def take(conn: Connection, session: int, name: str, *, at: int, until: int) -> int | None:
    """Take the lease, if it is free or has ended: the holder's token; None while another one holds it."""
    row = _ONE.one(conn, {"session": session, "name": name})
    if row is None:
        conn.execute(insert(leases).values(session=session, name=name, token=1, expires_at=until))
        return 1
    if row[1] > at:
        return None
    taken = int(row[0]) + 1
    conn.execute(update(leases).where(_l.session == session, _l.name == name).values(token=taken, expires_at=until))
    return taken


def prolong(conn: Connection, holds: Iterable[tuple[int, str, int]], until: int) -> None:
    """Move the end of leases (session, name, token) that are still their holder's; 0 gives them back, for good."""
    for session, name, held_token in holds:
        conn.execute(
            update(leases)
            .where(_l.session == session, _l.name == name, _l.token == held_token, _l.expires_at > 0)
            .values(expires_at=until)
        )
