"""What the indexer reads and writes: the outbox, the messages that changed, and the entries of the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import (
    ClauseElement,
    Connection,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from agent_session_core.search.entries import Source
from agent_session_core.search.statements import END, SPOKEN, IndexRow, Info, key_of
from agent_session_core.sql.locks import alone
from agent_session_core.sql.statement import Insert, Statement
from agent_session_core.sql.tables import (
    index_info,
    index_messages,
    index_sessions,
    messages,
    outbox,
    sessions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ASIDE = 1 << 62
"""``leased_until`` of an outbox row that was set aside for good."""
FEW = 200
"""Waiting rows that are cheaper looked at one by one than looked for by session."""

_o, _s, _i, _x, _m = outbox.c, sessions.c, index_sessions.c, index_messages.c, messages.c


class Change(NamedTuple):
    """A row of the outbox."""

    id: int
    first_seq: int
    last_seq: int
    attempts: int
    queued_at: int


class Delayed(NamedTuple):
    """Messages to be looked at again later, or (``leased_until`` ASIDE) not by itself."""

    session: int
    first_seq: int
    last_seq: int
    leased_until: int
    attempts: int
    error: str
    queued_at: int


class Standing(NamedTuple):
    """A session's last seq, and how far its index has come (None where it has none)."""

    last_seq: int
    indexed: int | None
    epoch: int | None


class Waiting(NamedTuple):
    """What of a scope waits in the outbox.

    Attributes:
        due: sessions with changes that can be indexed now.
        reason: why others must wait, None where none do.
    """

    due: list[int]
    reason: str | None


_HERE = _o.tenant == bindparam("tenant")
_NOT_ASIDE = or_(_o.leased_until.is_(None), _o.leased_until < ASIDE)
_DUE = _HERE & or_(_o.leased_until.is_(None), _o.leased_until <= bindparam("now")) & (_o.id <= bindparam("newest"))
_OF_USER = (_s.tenant == bindparam("tenant")) & (_s.user_id == bindparam("user_id"))
_NEWEST = Statement(select(func.max(_o.id)))
_FIRST = Statement(
    select(_o.session, _o.leased_until, _o.error, _s.id, _s.user_id)
    .join_from(outbox, sessions, _s.id == _o.session, isouter=True)
    .where(_HERE, _NOT_ASIDE)
    .limit(FEW)
)
_DUE_OF_TENANT = Statement(select(_o.session).where(_DUE).distinct().limit(FEW))
_THEIRS = _o.session.in_(select(_s.id).where(_OF_USER))  # one look-up a session, however much waits of others
_DUE_OF_USER = Statement(select(_o.session).where(_DUE, _THEIRS).distinct().limit(FEW))
_DUE_AND_GONE = Statement(
    select(_o.session)
    .where(_HERE, _o.id <= bindparam("newest"), ~exists(select(literal(1)).where(_s.id == _o.session)))
    .distinct()
    .limit(FEW)
)
_WAITS_OF_TENANT = Statement(select(_o.error).where(_HERE, _NOT_ASIDE, _o.error.is_not(None)).limit(1))
_WAITS_OF_USER = Statement(select(_o.error).where(_HERE, _THEIRS, _NOT_ASIDE, _o.error.is_not(None)).limit(1))
_CHANGES = Statement(
    select(*(_o[name] for name in Change._fields))
    .where(_HERE, _o.session == bindparam("session"), _NOT_ASIDE)
    .order_by(_o.id)
    .limit(bindparam("limit"))
)
_STANDING = Statement(
    select(_s.last_seq, _i.last_seq, _i.epoch)
    .join_from(sessions, index_sessions, (_i.session == _s.id) & (_i.slot == bindparam("slot")), isouter=True)
    .where(_s.id == bindparam("session"), _s.tenant == bindparam("tenant"))
)
_OF_SESSION = _m.session == bindparam("session")
_THERE = SPOKEN & (_m.text != "")
_SOURCE = select(*(_m[name] for name in Source._fields))
_SOURCES = Statement(_SOURCE.where(_OF_SESSION, _m.seq.between(bindparam("first"), bindparam("last"))))
_BEFORE = Statement(_SOURCE.where(_OF_SESSION, _m.seq < bindparam("seq"), _THERE).order_by(_m.seq.desc()).limit(2))
_AFTER = Statement(_SOURCE.where(_OF_SESSION, _m.seq > bindparam("seq"), _THERE).order_by(_m.seq).limit(2))
_DELETE_ENTRIES = Statement(delete(index_messages).where(_x.id.between(bindparam("first"), bindparam("last"))))
_DELETE_MARK = Statement(
    delete(index_sessions).where(_i.session == bindparam("of_session"), _i.slot == bindparam("of_slot"))
)
_DELETE_CHANGE = Statement(delete(outbox).where(_o.id == bindparam("change")))
_DELETE_CHANGES = Statement(delete(outbox).where(_HERE, _o.session == bindparam("of_session")))
_SHORTEN_CHANGE = Statement(update(outbox).where(_o.id == bindparam("change")).values(first_seq=bindparam("start")))
_PUT_BACK_COLUMNS = ("tenant", "session", "first_seq", "last_seq", "leased_until", "attempts", "error", "queued_at")
_PUT_BACK = Statement(insert(outbox).values({name: bindparam(name) for name in _PUT_BACK_COLUMNS}))
_FORGET_ASIDE = Statement(
    delete(outbox).where(
        _HERE,
        _o.session == bindparam("of_session"),
        _o.leased_until == ASIDE,
        _o.first_seq.between(bindparam("first"), bindparam("last")),
    )
)
_WITHOUT_REST = Statement(
    select(_s.id)
    .join_from(sessions, index_sessions, (_i.session == _s.id) & (_i.slot == bindparam("slot")), isouter=True)
    .where(_s.tenant == bindparam("tenant"), _s.last_seq > func.coalesce(_i.last_seq, 0))
    .order_by(_s.id)
    .limit(FEW)
)
_IN_SLOT = Statement(
    select(_s.id)
    .join_from(sessions, index_sessions, _i.session == _s.id)
    .where(_s.tenant == bindparam("tenant"), _i.slot == bindparam("slot"))
    .limit(FEW)
)
_IS_ASIDE = _o.leased_until == literal_column(str(ASIDE))
_COUNTS = Statement(select(_IS_ASIDE, func.count()).where(_HERE).group_by(_IS_ASIDE))
_TRY_AGAIN = Statement(update(outbox).where(_HERE, _o.leased_until == ASIDE).values(leased_until=None))
_AFTER_SESSION = Statement(
    select(_s.id, _s.session_id)
    .where(_s.tenant == bindparam("tenant"), _s.id > bindparam("session"))
    .order_by(_s.id)
    .limit(FEW)
)
_LEFT_BEHIND = Statement(
    select(_i.session)
    .where(
        ~exists(select(literal(1)).where(_s.id == _i.session)),
        ~exists(select(literal(1)).where(_o.session == _i.session)),
    )
    .distinct()
    .limit(FEW)
)
_ASIDE_OF = Statement(select(_o.first_seq).where(_HERE, _o.session == bindparam("session"), _o.leased_until == ASIDE))
_DELETE_INFO = Statement(
    delete(index_info).where(index_info.c.tenant == bindparam("of_tenant"), index_info.c.slot == bindparam("of_slot"))
)


def _upsert(table: Table) -> Statement:
    """Insert into ``table`` or change what is there."""

    def made(insert_into: Insert) -> ClauseElement:
        statement = insert_into(table).values({column.name: bindparam(column.name) for column in table.c})
        keys = [column.name for column in table.primary_key]
        others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
        written: ClauseElement = statement.on_conflict_do_update(index_elements=keys, set_=others)
        return written

    return Statement(made)


_WRITE_ENTRY, _WRITE_MARK, _WRITE_INFO = map(_upsert, (index_messages, index_sessions, index_info))


def alone_in(conn: Connection, tenant: str) -> None:
    """Until this transaction ends, nobody else writes the tenant's index: what was looked at still stands then."""
    alone(conn, f"index of {tenant}")


def newest(conn: Connection) -> int:
    """The number of the newest change, 0 where there is none."""
    row = _NEWEST.one(conn, {})
    return 0 if row is None or row[0] is None else int(row[0])


def waiting(conn: Connection, tenant: str, user_id: str | None, now: int) -> Waiting:
    """What waits of a tenant, or of one user of it. What waits of sessions that are gone counts as anybody's."""
    rows = _FIRST.all(conn, {"tenant": tenant})
    if len(rows) < FEW:
        mine = [row for row in rows if user_id is None or row[3] is None or row[4] == user_id]
        reasons = [row[2] for row in mine if row[2] is not None]
        sessions_due = dict.fromkeys(row[0] for row in mine if row[1] is None or row[1] <= now)
        return Waiting(list(sessions_due), reasons[0] if reasons else None)
    return Waiting(due(conn, tenant, user_id, now, newest(conn)), why_waiting(conn, tenant, user_id))


def why_waiting(conn: Connection, tenant: str, user_id: str | None) -> str | None:
    """Why something of a tenant, or of one user of it, must wait; None where nothing must."""
    key = {"tenant": tenant, "user_id": user_id}
    found = (_WAITS_OF_TENANT if user_id is None else _WAITS_OF_USER).one(conn, key)
    return None if found is None else str(found[0])


def due(conn: Connection, tenant: str, user_id: str | None, now: int, up_to: int) -> list[int]:
    """Some sessions with changes up to number ``up_to`` that can be indexed now."""
    statement = _DUE_OF_TENANT if user_id is None else _DUE_OF_USER
    return [row[0] for row in statement.all(conn, {"tenant": tenant, "user_id": user_id, "now": now, "newest": up_to})]


def due_and_gone(conn: Connection, tenant: str, up_to: int) -> list[int]:
    """Some sessions with changes that are no longer there."""
    return [row[0] for row in _DUE_AND_GONE.all(conn, {"tenant": tenant, "newest": up_to})]


def changes(conn: Connection, tenant: str, session: int, limit: int) -> list[Change]:
    """The oldest changes of a session, in order; not those set aside."""
    return [Change(*row) for row in _CHANGES.all(conn, {"tenant": tenant, "session": session, "limit": limit})]


def standing(conn: Connection, tenant: str, session: int, slot: int) -> Standing | None:
    """How a session stands; None where it is gone."""
    row = _STANDING.one(conn, {"tenant": tenant, "session": session, "slot": slot})
    return None if row is None else Standing(*row)


def sources(conn: Connection, session: int, first: int, last: int, *, after: bool) -> list[Source]:
    """The messages ``first`` to ``last``, the two before them and (with ``after``) the two after them, in order.

    Passages of files are among the first alone: they are nobody's context.
    """
    rows = _SOURCES.all(conn, {"session": session, "first": first, "last": last})
    if first > 1:
        rows += _BEFORE.all(conn, {"session": session, "seq": first})
    if after:
        rows += _AFTER.all(conn, {"session": session, "seq": last})
    return sorted(Source(*row) for row in rows)


def write_entries(conn: Connection, slot: int, rows: Sequence[IndexRow]) -> None:
    """Insert or replace entries, given in the order of their ids, which are without the slot."""
    if rows:
        base = slot << 62
        slotted = [row._replace(id=base + row.id) for row in rows] if slot else rows
        _WRITE_ENTRY.run_many(conn, IndexRow._fields, slotted)


def delete_entries(conn: Connection, spans: Sequence[tuple[int, int]]) -> None:
    """Delete the entries with ids from the first to the last of each span."""
    if spans:
        _DELETE_ENTRIES.run_many(conn, ("first", "last"), spans)


def write_marks(conn: Connection, slot: int, marks: Sequence[tuple[int, int, int]]) -> None:
    """Set how far sessions are indexed, given as (session, last seq, epoch)."""
    if marks:
        rows = [(session, slot, last_seq, epoch) for session, last_seq, epoch in marks]
        _WRITE_MARK.run_many(conn, ("session", "slot", "last_seq", "epoch"), rows)


def delete_mark(conn: Connection, slot: int, session: int) -> None:
    """Forget that a session was indexed."""
    _DELETE_MARK.run(conn, {"of_session": session, "of_slot": slot})


def take(conn: Connection, taken: Sequence[int], shortened: Sequence[tuple[int, int]]) -> None:
    """Take changes out of the outbox; of others, given as (id, seq), what comes before that seq."""
    if taken:
        _DELETE_CHANGE.run_many(conn, ("change",), [(change,) for change in taken])
    for change, start in shortened:
        _SHORTEN_CHANGE.run(conn, {"change": change, "start": start})


def delete_changes(conn: Connection, tenant: str, session: int) -> None:
    """Take every change of a session out of the outbox."""
    _DELETE_CHANGES.run(conn, {"tenant": tenant, "of_session": session})


def put_back(conn: Connection, tenant: str, rows: Sequence[Delayed]) -> None:
    """Put changes into the outbox that must wait."""
    if rows:
        _PUT_BACK.run_many(conn, _PUT_BACK_COLUMNS, [(tenant, *row) for row in rows])


def forget_aside(conn: Connection, tenant: str, session: int, first: int, last: int) -> None:
    """Drop what was set aside of these messages: they are looked at anew."""
    _FORGET_ASIDE.run(conn, {"tenant": tenant, "of_session": session, "first": first, "last": last})


def write_info(conn: Connection, tenant: str, info: Info) -> None:
    """Set what the index in ``info.slot`` was made with."""
    _WRITE_INFO.run(conn, {"tenant": tenant, **info._asdict()})


def delete_info(conn: Connection, tenant: str, slot: int) -> None:
    """Forget that there is an index in ``slot``."""
    _DELETE_INFO.run(conn, {"of_tenant": tenant, "of_slot": slot})


def unfinished(conn: Connection, tenant: str, slot: int) -> list[int]:
    """Some sessions with messages that the index in ``slot`` has not come to."""
    return [row[0] for row in _WITHOUT_REST.all(conn, {"tenant": tenant, "slot": slot})]


def empty_some(conn: Connection, tenant: str, slot: int) -> bool:
    """Take some sessions out of the index in ``slot``; whether there were any."""
    found = [row[0] for row in _IN_SLOT.all(conn, {"tenant": tenant, "slot": slot})]
    delete_entries(conn, [(key_of(session, 0, slot), key_of(session, END, slot)) for session in found])
    for session in found:
        delete_mark(conn, slot, session)
    return bool(found)


def counts(conn: Connection, tenant: str) -> tuple[int, int]:
    """How many changes of a tenant are pending, and how many were set aside."""
    found = {bool(aside): count for aside, count in _COUNTS.all(conn, {"tenant": tenant})}
    return found.get(False, 0), found.get(True, 0)


def try_again(conn: Connection, tenant: str) -> None:
    """Put what was set aside back among what is pending."""
    _TRY_AGAIN.run(conn, {"tenant": tenant})


def sessions_after(conn: Connection, tenant: str, session: int) -> list[tuple[int, str]]:
    """Some sessions of a tenant in the order of their internal ids, after one of them: (internal id, id)."""
    return [(row[0], row[1]) for row in _AFTER_SESSION.all(conn, {"tenant": tenant, "session": session})]


def left_behind(conn: Connection) -> list[int]:
    """Some sessions that are indexed and gone, though nothing in the outbox says so."""
    return [row[0] for row in _LEFT_BEHIND.all(conn, {})]


def aside_of(conn: Connection, tenant: str, session: int) -> set[int]:
    """The seqs of a session's messages that were set aside."""
    return {row[0] for row in _ASIDE_OF.all(conn, {"tenant": tenant, "session": session})}
