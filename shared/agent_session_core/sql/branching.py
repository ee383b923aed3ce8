"""Statements of fork and rewind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, insert, literal, literal_column, select, update

from agent_session_core.sql.messages import BEGINS_TURN
from agent_session_core.sql.records import Place, RecordRow, Stamp
from agent_session_core.sql.tables import ARCHIVED, LIVE, REMOVED, messages, records, sessions

_m, _r = messages.c, records.c
_IS_PASSAGE = func.coalesce(_m.origin, "").startswith("file/")


def _shown(session: int, run: int) -> ColumnElement[bool]:
    return (_m.session == session) & (_m.run == run) & (_m.state <= ARCHIVED)


def taken(conn: Connection, tenant: str, name: str) -> bool:
    """Whether the tenant has a session of this name, whoever owns it."""
    return (
        conn.execute(select(sessions.c.id).where(sessions.c.tenant == tenant, sessions.c.session_id == name)).first()
        is not None
    )


def run_at(conn: Connection, session: int, seq: int) -> int:
    """The run in which the number ``seq`` was given."""
    statement = select(_m.run).where(_m.session == session, _m.seq <= seq).order_by(_m.seq.desc()).limit(1)
    return int(conn.execute(statement).scalar() or 1)


def before_run(conn: Connection, session: int, run: int) -> int:
    """The last number that was given before the run; 0 for the first."""
    return _last(conn, (_m.session == session) & (_m.run < run))


def last_shown(conn: Connection, session: int, run: int, seq: int) -> int:
    """The last message at or before ``seq`` that the run shows or has set aside; 0 where there is none."""
    return _last(conn, _shown(session, run) & (_m.seq <= seq))


def is_turn_end(conn: Connection, session: int, run: int, seq: int) -> bool:
    """Whether a turn ends at ``seq``: the next message of the run, if there is one, begins another."""
    following = select(case((BEGINS_TURN, 1), else_=0)).where(_shown(session, run), _m.seq > seq)
    return conn.execute(following.order_by(_m.seq).limit(1)).scalar() in (None, 1)


def turn_start(conn: Connection, session: int, run: int, seq: int) -> int:
    """The user's message at or before ``seq`` with which its turn begins; 0 where there is none."""
    return _last(conn, _shown(session, run) & (_m.seq <= seq) & BEGINS_TURN)


def before_next(conn: Connection, session: int, seq: int) -> int | None:
    """The number before the next message after ``seq``, whatever became of it; None where there is no next one.

    What was written between two messages has numbers of its own where it is a file with searchable text.
    """
    statement = select(_m.seq).where(_m.session == session, _m.seq > seq, ~_IS_PASSAGE).order_by(_m.seq).limit(1)
    found = conn.execute(statement).scalar()
    return None if found is None else int(found) - 1


def shows_after(conn: Connection, session: int, run: int, cut: int) -> bool:
    """Whether the run shows or has set aside a message after ``cut``."""
    return conn.execute(select(_m.seq).where(_shown(session, run), _m.seq > cut).limit(1)).first() is not None


def set_aside_after(conn: Connection, session: int, run: int, cut: int) -> list[int]:
    """The messages of the run after ``cut`` that a framework has set aside."""
    statement = select(_m.seq).where(_m.session == session, _m.run == run, _m.seq > cut, _m.state == ARCHIVED)
    return [int(seq) for seq in conn.execute(statement.order_by(_m.seq)).scalars()]


def take_back(conn: Connection, session: int, run: int, cut: int, revision: int) -> None:
    """Mark the messages of the run after ``cut`` removed, by the change with this revision."""
    statement = update(messages).where(_shown(session, run), _m.seq > cut)
    conn.execute(statement.values(state=REMOVED, changed_at_revision=revision))


def bring_back(conn: Connection, session: int, taken_at: int, revision: int) -> None:
    """Make the messages live again that the change with the revision ``taken_at`` took back."""
    statement = update(messages).where(_m.session == session, _m.state == REMOVED, _m.changed_at_revision == taken_at)
    conn.execute(statement.values(state=LIVE, changed_at_revision=revision))


def newest_record(conn: Connection) -> int:
    """The highest number any record has."""
    return int(conn.execute(select(func.max(_r.id))).scalar() or 0)


def copy_messages(conn: Connection, source: int, target: int, cut: int) -> None:
    """Copy what can be read of a session up to ``cut``, and its files' passages, to the same places of another.

    A message that was taken back keeps its place, without what it said: it tells what was written before and after it.
    """
    kept = (_m.state <= ARCHIVED) | _IS_PASSAGE
    columns = [column for column in messages.columns if column.name != "session"]
    _copy(conn, {column.name: column for column in columns}, source, target, (_m.seq <= cut) & kept)
    place = {column.name: column for column in (_m.seq, _m.run, _m.state, _m.id, _m.role, _m.created_at)}
    _copy(conn, {**place, "text": literal("")}, source, target, (_m.seq <= cut) & ~kept)


def _copy(
    conn: Connection, columns: Mapping[str, ColumnElement[Any]], source: int, target: int, which: ColumnElement[bool]
) -> None:
    copied = select(literal(target), *columns.values()).where(_m.session == source, which)
    conn.execute(insert(messages).from_select(["session", *columns], copied))


def copy_records(conn: Connection, tenant: str, source: int, target: int, kinds: Sequence[str], cut: int) -> None:
    """Copy the versions of a session's records up to ``cut``; of each key the newest of them is the current one.

    Of a tool call that had begun by then, everything that is known of it is copied.
    """
    fixed: dict[str, Any] = {"subject": literal(str(target)), "session": literal(target), "current": literal(0)}
    names = [column.name for column in records.columns if column.name != "id"]
    here = (_r.tenant == tenant) & (_r.scope == "session") & _r.kind.in_(kinds)
    begun = select(_r.key).where(here, _r.kind == "call", _r.subject == str(source), _r.seq <= cut)
    copied = select(*(fixed.get(name, _r[name]) for name in names)).where(
        here, _r.subject == str(source), (_r.seq <= cut) | ((_r.kind == "call") & _r.key.in_(begun))
    )
    conn.execute(insert(records).from_select(names, copied.order_by(_r.id)))
    mine = here & (_r.subject == str(target))
    newest = select(func.max(_r.id)).where(mine).group_by(_r.kind, _r.key)
    conn.execute(update(records).where(_r.id.in_(newest)).values(current=1))


def newest_of_each(conn: Connection, place: Place) -> dict[str, RecordRow]:
    """Of every key, deleted or not, the newest version that is no deletion."""
    newest = select(func.max(_r.id)).where(_at(place), _r.value.is_not(None)).group_by(_r.key)
    rows = conn.execute(select(*(_r[name] for name in RecordRow._fields)).where(_r.id.in_(newest)))
    return {row.key: RecordRow(*row) for row in rows}


def write_again(conn: Connection, place: Place, numbers: Sequence[int], stamp: Stamp, *, deleted: bool = False) -> None:
    """Make what the records with these numbers say the newest version of their keys, or the deletion of those."""
    given = {**stamp._asdict(), "current": 1, **({"value": None, "blob": None} if deleted else {})}
    names = [column.name for column in records.columns if column.name != "id"]
    columns = [literal(given[name], _r[name].type) if name in given else _r[name] for name in names]
    for start in range(0, len(numbers), 500):
        chosen = _at(place) & _r.id.in_(numbers[start : start + 500])
        keys = conn.execute(select(_r.key).where(chosen)).scalars().all()  # PostgreSQL would seek them again and again
        current = _at(place) & (_r.current == literal_column("1")) & _r.key.in_(keys)
        conn.execute(update(records).where(current).values(current=0))
        conn.execute(insert(records).from_select(names, select(*columns).where(chosen).order_by(_r.id)))


def _at(place: Place) -> ColumnElement[bool]:
    return and_(*(_r[name] == value for name, value in place.params().items()))


def _last(conn: Connection, clause: ColumnElement[bool]) -> int:
    return int(conn.execute(select(_m.seq).where(clause).order_by(_m.seq.desc()).limit(1)).scalar() or 0)
