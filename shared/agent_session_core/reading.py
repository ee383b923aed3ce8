"""Reading a session's messages: cuts that never leave a tool's result without its call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from agent_session_core.content import from_row, to_microseconds
from agent_session_core.keys import Key, require
from agent_session_core.models import Message
from agent_session_core.sql import messages as sql
from agent_session_core.sql.statement import Row
from agent_session_core.sql.tables import messages
from agent_session_core.turns import are_paired, calls, places_of_calls, unanswerable, without_orphans

STEP = 64
"""Messages read at a time on the way back to a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Which messages a read asks for; the arguments of ``Session.messages``, checked."""

    last: int | None = None
    after: int = 0
    since: datetime | None = None
    roles: tuple[str, ...] | None = None
    run: int | None = None
    archived: bool | None = False
    offset: int = 0
    limit: int | None = None

    @property
    def cuts(self) -> bool:
        """Whether something that stands before what is read may be left out."""
        return bool(self.last is not None or self.after or self.since is not None or self.offset)


def read(conn: Connection, key: Key, asked: Reading) -> list[Message]:
    """The messages asked for, oldest first. A cut inside a turn reaches back to the call of its first result.

    Where the call is not in the view (another run, taken back, filtered out by role), its result is left out. A
    result whose call was never given to the session is shown as it was given.

    Raises:
        SessionNotFound: when the session has been deleted.
    """
    params = key.params() | {"below": sql.END}
    if asked.run is not None:
        params["run"] = asked.run
    rows = _rows(conn, asked, params)
    if not rows:
        require(conn, key)
        return []
    found = [from_row(row) for row in rows]
    if not any(_answers(row) for row in rows):
        return found
    if asked.cuts and asked.roles is None and (missing := unanswerable(found)):
        found = _reaching_back(found, missing, _before(conn, asked, params, rows[0][0]))
    return visible(conn, key, found)


def visible(conn: Connection, key: Key, found: list[Message]) -> list[Message]:
    """``found`` without results whose call was given to the session and does not stand before them."""
    return found if are_paired(found) else with_own_calls(conn, key, found)


def with_own_calls(conn: Connection, key: Key, found: list[Message]) -> list[Message]:
    """As :func:`visible`, by the calls of the whole session, also where each result could have a call before it."""
    return without_orphans(found, places_of_calls(sql.with_calls(conn, key.session)))


def _rows(conn: Connection, asked: Reading, params: dict[str, Any]) -> list[Row]:
    view = sql.view(asked.archived, asked.run)
    newest_first = asked.last is not None
    limit = asked.last if asked.last is not None else asked.limit
    if asked.since is None and asked.roles is None:
        limited = limit is not None or asked.offset > 0
        statement = view.statement(newest_first=newest_first, limited=limited, after=asked.after > 0)
        more = {"after": asked.after, "offset": asked.offset, "limit": sql.END if limit is None else limit}
        rows = statement.all(conn, params | more)
    else:
        conditions = [messages.c.seq > asked.after]
        if asked.since is not None:
            conditions.append(messages.c.created_at >= to_microseconds(asked.since))
        if asked.roles is not None:
            conditions.append(messages.c.role.in_(asked.roles))
        clause = view.cold(newest_first=newest_first, conditions=conditions).offset(asked.offset)
        rows = [tuple(row) for row in conn.execute(clause if limit is None else clause.limit(limit), params)]
    if newest_first:
        rows.reverse()
    return rows


def _answers(row: Row) -> bool:
    """Whether the row holds a tool's result, told without decoding it."""
    return row[5] is not None or (row[10] is not None and '"tool_result"' in row[10])


def _before(conn: Connection, asked: Reading, params: dict[str, Any], seq: int) -> Iterator[Message]:
    """The messages of the view before ``seq``, newest first, read as far as they are asked for."""
    statement = sql.view(asked.archived, asked.run).statement(newest_first=True, limited=True, after=False)
    while rows := statement.all(conn, params | {"below": seq, "offset": 0, "limit": STEP}):
        yield from map(from_row, rows)
        seq = rows[-1][0]


def _reaching_back(found: Sequence[Message], missing: set[str], before: Iterator[Message]) -> list[Message]:
    """``found`` with what stands before it, from the first call on that its results need."""
    window, passed = list(found), []
    for message in before:
        passed.append(message)
        if not missing.isdisjoint(calls(message)):
            window[:0] = reversed(passed)
            passed.clear()
            missing = unanswerable(window)
            if not missing:
                break
    return window
