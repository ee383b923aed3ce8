"""What a search reads: the standing of the index, the sessions of a scope, their entries, and the messages found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, Integer, bindparam, func, literal_column, select

from agent_session_core.content import COLUMNS, from_row
from agent_session_core.models import Message
from agent_session_core.search.entries import Entry
from agent_session_core.sql.filters import meets
from agent_session_core.sql.messages import BEGINS_TURN
from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import (
    ATTACHED,
    REMOVED,
    index_info,
    index_messages,
    index_sessions,
    messages,
    sessions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_session_core.filters import Filter

__all__ = [
    "END",
    "FORMAT",
    "NOT_REMOVED",
    "SPOKEN",
    "IndexRow",
    "Info",
    "SessionMark",
    "Title",
    "around",
    "entries_of",
    "info",
    "key_of",
    "marks",
    "matching",
    "message_at",
    "numbers_of",
    "status_of",
]

FORMAT = 1
"""What the rows of ``index_messages`` mean; another number means an index that must be made anew."""
END = (1 << 32) - 1
"""A seq that no message reaches."""

_s, _i, _x, _m = sessions.c, index_sessions.c, index_messages.c, messages.c
NOT_REMOVED = _m.state != literal_column(str(REMOVED))
"""Written out: bound to a value, SQLite would plan the statement anew at every run, for the partial index on it."""

SPOKEN = NOT_REMOVED & (_m.state != literal_column(str(ATTACHED)))
"""Messages alone: what stands around one is what was said, not the passages of files."""


class Info(NamedTuple):
    """What a tenant's index was made with; see ``index_info``."""

    slot: int
    generation: int
    building: bool
    format: int
    analyzer: str
    embedding: str
    dimensions: int | None


class IndexRow(NamedTuple):
    """A row of ``index_messages``."""

    id: int
    vector: bytes | None
    chunks: bytes
    stems: bytes
    weights: bytes
    role: int
    name: str | None
    author: str | None
    created_at: int
    digest: int

    @property
    def entry(self) -> Entry:
        """The row but for its id and vector."""
        return Entry(*self[2:])


class SessionMark(NamedTuple):
    """A session of a scope, and how far its index has come."""

    session: int
    status: str
    updated_at: int
    last_seq: int
    epoch: int


class Title(NamedTuple):
    """What callers know a session by."""

    session_id: str
    title: str | None


def key_of(session: int, seq: int, slot: int = 0) -> int:
    """The id of an entry."""
    return slot << 62 | session << 32 | seq


_INFO = Statement(
    select(*(index_info.c[name] for name in Info._fields)).where(index_info.c.tenant == bindparam("tenant"))
)
_MARKS = (
    select(_s.id, _s.status, _s.updated_at, _i.last_seq, _i.epoch)
    .join_from(sessions, index_sessions, _i.session == _s.id)
    .where(_s.tenant == bindparam("tenant"), _i.slot == bindparam("slot"))
)
_MARKS_OF_TENANT = Statement(_MARKS)
_MARKS_OF_USER = Statement(_MARKS.where(_s.user_id == bindparam("user_id")))
_ENTRIES = Statement(
    select(*(_x[name] for name in IndexRow._fields))
    .where(_x.id.between(bindparam("first"), bindparam("last")))
    .order_by(_x.id)
)
_MESSAGE = (
    select(_s.session_id, _s.title, _m.seq, _m.run, *(_m[name] for name in COLUMNS))
    .join_from(sessions, messages, _m.session == _s.id)
    .where(
        _s.id == bindparam("session"),
        _s.tenant == bindparam("tenant"),
        _m.seq == bindparam("seq"),
        NOT_REMOVED,
    )
)
_STATUS = Statement(select(_s.status).where(_s.id == bindparam("session")))
_NUMBER = Statement(select(_s.id).where(_s.tenant == bindparam("tenant"), _s.session_id == bindparam("session_id")))
_HERE = (_m.session == bindparam("session")) & (_m.run == bindparam("run")) & SPOKEN
_COUNT = bindparam("count", type_=Integer)
_BEFORE = Statement(select(_m.seq).where(_HERE, _m.seq < bindparam("seq")).order_by(_m.seq.desc()).limit(_COUNT))
_AFTER = Statement(select(_m.seq).where(_HERE, _m.seq > bindparam("seq")).order_by(_m.seq).limit(_COUNT))
_TURN = Statement(select(func.max(_m.seq)).where(_HERE, _m.seq <= bindparam("seq"), BEGINS_TURN))
_NEXT_TURN = Statement(select(func.min(_m.seq)).where(_HERE, _m.seq > bindparam("seq"), BEGINS_TURN))
_BETWEEN = Statement(
    select(_m.seq)
    .where(_HERE, _m.seq.between(bindparam("first"), bindparam("last")), _m.seq != bindparam("seq"))
    .order_by(_m.seq)
)
_MESSAGE_OF_TENANT = Statement(_MESSAGE)
_MESSAGE_OF_USER = Statement(_MESSAGE.where(_s.user_id == bindparam("user_id")))


def info(conn: Connection, tenant: str, *, building: bool = False) -> Info | None:
    """What the tenant's index (or the one being built) was made with; None where there is none."""
    for row in _INFO.all(conn, {"tenant": tenant}):
        if bool(row[2]) == building:
            return Info(*row)
    return None


def marks(conn: Connection, slot: int, tenant: str, user_id: str | None) -> list[SessionMark]:
    """The indexed sessions of a tenant, or of one user of it."""
    if user_id is None:
        rows = _MARKS_OF_TENANT.all(conn, {"tenant": tenant, "slot": slot})
    else:
        rows = _MARKS_OF_USER.all(conn, {"tenant": tenant, "slot": slot, "user_id": user_id})
    return list(map(SessionMark._make, rows))


def entries_of(conn: Connection, slot: int, session: int, first: int, last: int = END) -> list[IndexRow]:
    """The entries of a session's messages ``first`` to ``last``, in order; their ids without the slot."""
    bounds = {"first": key_of(session, first, slot), "last": key_of(session, last, slot)}
    rows = _ENTRIES.all(conn, bounds)
    if slot:
        base = slot << 62
        return [IndexRow(row[0] - base, *row[1:]) for row in rows]
    return list(map(IndexRow._make, rows))


def numbers_of(conn: Connection, tenant: str, session_ids: Iterable[str]) -> set[int]:
    """The internal ids of those of ``session_ids`` that the tenant has."""
    found = [_NUMBER.one(conn, {"tenant": tenant, "session_id": name}) for name in session_ids]
    return {row[0] for row in found if row is not None}


def status_of(conn: Connection, session: int) -> str:
    """The status of a session that is there."""
    return str(_STATUS.all(conn, {"session": session})[0][0])


def message_at(
    conn: Connection, tenant: str, user_id: str | None, session: int, seq: int
) -> tuple[Title, Message] | None:
    """A message and what its session is known by; None where it was taken back or is another tenant's or user's."""
    key = {"tenant": tenant, "user_id": user_id, "session": session, "seq": seq}
    row = (_MESSAGE_OF_TENANT if user_id is None else _MESSAGE_OF_USER).one(conn, key)
    return None if row is None else (Title(row[0], row[1]), from_row(row[2:]))


def matching(
    conn: Connection, tenant: str, user_id: str | None, condition: Filter | None, max_length: int | None
) -> list[int]:
    """The keys of the messages whose metadata meets ``condition`` and that have at most so many characters."""
    statement = (
        select(_m.session, _m.seq)
        .join_from(sessions, messages, _m.session == _s.id)
        .where(_s.tenant == tenant, NOT_REMOVED)
    )
    if condition is not None:
        statement = statement.where(meets(conn, condition, _m.metadata))
    if max_length is not None:
        statement = statement.where(func.length(_m.text) <= max_length)
    if user_id is not None:
        statement = statement.where(_s.user_id == user_id)
    return [key_of(session, seq) for session, seq in conn.execute(statement)]


def around(conn: Connection, session: int, seq: int, run: int, count: int) -> list[int]:
    """The seqs of ``count`` messages on each side of ``seq`` in its run, made up to whole turns; without its own."""
    here = {"session": session, "seq": seq, "run": run, "count": count}
    first = min([seq, *(row[0] for row in _BEFORE.all(conn, here))])
    last = max([seq, *(row[0] for row in _AFTER.all(conn, here))])
    turn = _TURN.all(conn, {**here, "seq": first})[0][0]
    next_turn = _NEXT_TURN.all(conn, {**here, "seq": last})[0][0]
    bounds = {"first": first if turn is None else turn, "last": END if next_turn is None else next_turn - 1}
    return [row[0] for row in _BETWEEN.all(conn, {**here, **bounds})]
