"""PostgreSQL: an append as one statement, which counts the session up, adds the messages and tells the index.

A transaction of four statements waits for the server five times; this waits once (docs/decisions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, column, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from agent_session_core.content import COLUMNS, StoredMessage
from agent_session_core.sql.sessions import TOUCH
from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import messages, outbox, sessions

__all__ = ["append"]

_ALWAYS = ("id", "role", "created_at", "text")
_EMPTY = frozenset((None, 0))


def append(
    conn: Connection, key: Mapping[str, Any], rows: Sequence[StoredMessage], *, now: int, state: int
) -> tuple[int, int] | None:
    """Add messages to an active session: its last seq and run afterwards.

    None, and nothing has happened, where the session is not active.
    """
    by_column = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    names = tuple(name for name in COLUMNS if name in _ALWAYS or not _EMPTY.issuperset(by_column[name]))
    values = {name: by_column[name] for name in names}
    row = _statement(names).one(conn, {**key, **values, "count": len(rows), "now": now, "state": state})
    return None if row is None else (int(row[0]), int(row[1]))


@cache
def _statement(names: tuple[str, ...]) -> Statement:
    told = (sessions.c.id, sessions.c.tenant, sessions.c.last_seq, sessions.c.run)
    touched = TOUCH.returning(*told).cte("touched")
    given = (
        func.unnest(*(bindparam(name, type_=ARRAY(messages.c[name].type)) for name in names))
        .table_valued(*(column(name, messages.c[name].type) for name in names), with_ordinality="place", name="given")
        .render_derived()
    )
    count = bindparam("count", type_=sessions.c.last_seq.type)
    first = touched.c.last_seq - count
    added = (
        insert(messages)
        .from_select(
            ["session", "seq", "run", "state", *names],
            select(
                touched.c.id,
                first + given.c.place,
                touched.c.run,
                bindparam("state", type_=messages.c.state.type),
                *(given.c[name] for name in names),
            ).select_from(touched.join(given, literal(True))),
            include_defaults=False,
        )
        .cte("added")
    )
    announced = (
        insert(outbox)
        .from_select(
            ["tenant", "session", "first_seq", "last_seq"],
            select(touched.c.tenant, touched.c.id, first + 1, touched.c.last_seq),
            include_defaults=False,
        )
        .cte("announced")
    )
    return Statement(select(touched.c.last_seq, touched.c.run).add_cte(added, announced))
