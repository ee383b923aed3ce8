"""Statements about messages: add, read, take back. Rows in, rows out; nothing here commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, literal_column, select, tuple_, update
from sqlalchemy.sql.elements import ColumnElement

from agent_session_core.content import COLUMNS, StoredMessage, from_row
from agent_session_core.models import Message
from agent_session_core.sql.sessions import IS_ITS
from agent_session_core.sql.statement import Row, Statement
from agent_session_core.sql.tables import ARCHIVED, ATTACHED, LIVE, REMOVED, elastic_indexes, messages, outbox, sessions

_m = messages.c
_READ = [_m.seq, _m.run, *(_m[name] for name in COLUMNS)]  # what content.from_row takes
_ALWAYS = ("session", "seq", "run", "id", "role", "created_at", "text")
_DEFAULTS = frozenset((None, 0))
MAX_PAGE = 8 * 1024 * 1024
"""Characters of messages read at a time, about."""
_SOMETIMES = ("state", *(name for name in COLUMNS if name not in _ALWAYS))
_ANNOUNCE = Statement(
    insert(outbox).values(
        tenant=bindparam("tenant"),
        session=bindparam("session"),
        first_seq=bindparam("first_seq"),
        last_seq=bindparam("last_seq"),
    )
)
NOT_REMOVED = _m.state != literal_column(str(REMOVED))
"""States stand in the SQL as numbers: with a bound one SQLite plans anew at every run, because of the partial index."""

BEGINS_TURN = (_m.role == literal_column("'user'")) & (
    _m.payload.is_(None) | ~_m.payload.contains('{"type":"tool_result"', autoescape=True)
)
"""Whether a turn begins with a message: a user's, unless it brings tools' results, as some providers' do."""

_OF_SESSION = (_m.session == bindparam("session")) & (_m.session == sessions.c.id) & IS_ITS


def add(
    conn: Connection, session: int, run: int, first_seq: int, rows: Sequence[StoredMessage], state: int = LIVE
) -> None:
    """Insert ``rows`` with the numbers from ``first_seq`` on.

    Columns that hold nothing in any of them are left out of the statement: binding all of them costs twice the insert.
    """
    given = ("session", "seq", "run", "state", *COLUMNS)
    values = [(session, seq, run, state, *row) for seq, row in enumerate(rows, first_seq)]
    used = tuple(name for name in _SOMETIMES if not _DEFAULTS.issuperset(map(itemgetter(given.index(name)), values)))
    names = (*_ALWAYS, *used)
    pick = itemgetter(*map(given.index, names))
    _insert(names).run_many(conn, names, list(map(pick, values)))


@cache
def _insert(names: tuple[str, ...]) -> Statement:
    return Statement(insert(messages).values({name: bindparam(name) for name in names}))


def announce_status(conn: Connection, tenant: str, sessions_of: Sequence[int]) -> None:
    """Have the index look at whole sessions again whose status has changed, where it holds that with each message."""
    if conn.execute(select(elastic_indexes.c.generation).limit(1)).first():
        of_these = (sessions.c.tenant == tenant) & sessions.c.id.in_(sessions_of) & (sessions.c.last_seq > 0)
        told = select(sessions.c.tenant, sessions.c.id, literal_column("1"), sessions.c.last_seq).where(of_these)
        conn.execute(insert(outbox).from_select(["tenant", "session", "first_seq", "last_seq"], told))


def announce(conn: Connection, tenant: str, session: int, first_seq: int, last_seq: int) -> None:
    """Tell the index that the messages ``first_seq`` to ``last_seq`` changed."""
    _ANNOUNCE.run(conn, {"tenant": tenant, "session": session, "first_seq": first_seq, "last_seq": last_seq})


def by_ids(conn: Connection, session: int, ids: Iterable[str]) -> dict[str, Row]:
    """The rows (seq, run, then COLUMNS) of the messages with these ids that are not taken back."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), 500):  # within every database's limit of bound values
        statement = select(*_READ).where(_m.session == session, _m.id.in_(wanted[start : start + 500]), NOT_REMOVED)
        found.update((row.id, tuple(row)) for row in conn.execute(statement))
    return found


def by_seqs(conn: Connection, session: int, seqs: Sequence[int]) -> dict[int, Row]:
    """The rows (seq, run, then COLUMNS) at these places, in whatever state."""
    found: dict[int, Row] = {}
    for start in range(0, len(seqs), 500):
        statement = select(*_READ).where(_m.session == session, _m.seq.in_(seqs[start : start + 500]))
        found.update((row.seq, tuple(row)) for row in conn.execute(statement))
    return found


def newest(conn: Connection, session: int) -> int:
    """The place of the newest message, in whatever state; 0 where there is none."""
    return int(conn.execute(select(func.max(_m.seq)).where(_m.session == session)).scalar() or 0)


def page(conn: Connection, session: int, *, after: int, last: int, limit: int) -> list[Row]:
    """Rows (state, changed_at_revision, seq, run, then COLUMNS) of every state and run, by place, from ``after`` on.

    Fewer than ``limit`` where they are large.
    """
    statement = select(_m.state, _m.changed_at_revision, *_READ).where(
        _m.session == session, _m.seq > after, _m.seq <= last
    )
    rows: list[Row] = []
    characters = 0
    for row in conn.execute(statement.order_by(_m.seq).limit(limit)):
        rows.append(tuple(row))
        characters += len(row.text) + len(row.payload or "") + len(row.origin_data or "")
        if characters > MAX_PAGE:
            break
    return rows


def restore(conn: Connection, session: int, rows: Sequence[tuple[int, int, int, int | None, StoredMessage]]) -> None:
    """Insert messages at their places: seq, run, state, changed_at_revision and columns of each."""
    names = ("session", "seq", "run", "state", "changed_at_revision", *COLUMNS)
    conn.execute(
        insert(messages),
        [dict(zip(names, (session, *place, *row), strict=True)) for *place, row in rows],
    )


def by_keys(conn: Connection, keys: Sequence[tuple[int, int]]) -> list[Message]:
    """The messages at (session, seq), in that order; those that are gone are left out."""
    found: dict[tuple[int, int], Message] = {}
    for start in range(0, len(keys), 250):
        statement = select(_m.session, *_READ).where(tuple_(_m.session, _m.seq).in_(keys[start : start + 250]))
        for session, *row in conn.execute(statement):
            found[session, row[0]] = from_row(row)
    return [found[key] for key in keys if key in found]


class View:
    """Which messages of a session are looked at: by state and run (the current one by default)."""

    __slots__ = ("_clauses", "archived", "run")

    def __init__(self, *, archived: bool | None = False, run: int | None = None) -> None:
        self.archived = archived
        self.run = run
        self._clauses: dict[tuple[bool, bool, bool], Statement] = {}

    def where(self) -> ColumnElement[bool]:
        """The condition on ``messages`` joined with ``sessions``."""
        if self.archived is None:
            state = _m.state <= literal_column(str(ARCHIVED))
        else:
            state = _m.state == literal_column(str(ARCHIVED if self.archived else LIVE))
        return _OF_SESSION & state & (_m.run == (sessions.c.run if self.run is None else bindparam("run")))

    def cold(self, *, newest_first: bool, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
        """As :meth:`statement` for what is asked rarely: with further conditions, compiled at each call."""
        clause = select(*_READ).where(self.where(), *conditions)
        return clause.order_by(_m.seq.desc() if newest_first else _m.seq)

    def statement(self, *, newest_first: bool, limited: bool, after: bool) -> Statement:
        """The statement that reads it, made once: seq at most ``:below`` - 1 and, where asked, more than ``:after``."""
        key = (newest_first, limited, after)
        if key not in self._clauses:
            clause = select(*_READ).where(self.where(), _m.seq < bindparam("below"))
            if after:
                clause = clause.where(_m.seq > bindparam("after"))
            clause = clause.order_by(_m.seq.desc() if newest_first else _m.seq)
            if limited:
                clause = clause.limit(bindparam("limit")).offset(bindparam("offset"))
            self._clauses[key] = Statement(clause)
        return self._clauses[key]


END = 2**62
"""A seq that no message reaches."""

_VIEWS = {
    (archived, by_run): View(archived=archived, run=0 if by_run else None)
    for archived in (False, True, None)
    for by_run in (False, True)
}


def view(archived: bool | None, run: int | None) -> View:
    """The view of this state and run."""
    return _VIEWS[archived, run is not None]


def count(conn: Connection, key: dict[str, Any], looked_at: View) -> int:
    """How many messages the view has."""
    statement = select(func.count()).select_from(messages.join(sessions, _m.session == sessions.c.id))
    return int(conn.execute(statement.where(looked_at.where()), key).scalar_one())


def end_of(conn: Connection, session: int) -> int:
    """The place of the newest message of the current run that is live or set aside; 0 where there is none."""
    clause = (_m.session == session) & (_m.session == sessions.c.id) & (_m.run == sessions.c.run)
    shown = _m.state <= literal_column(str(ARCHIVED))
    found = conn.execute(select(_m.seq).where(clause, shown).order_by(_m.seq.desc()).limit(1)).scalar()
    return int(found or 0)


def last_turn(conn: Connection, key: dict[str, Any]) -> int | None:
    """The seq of the live message in the current run with which its last turn begins."""
    statement = select(_m.seq).where(view(False, None).where(), BEGINS_TURN).order_by(_m.seq.desc()).limit(1)
    found = conn.execute(statement, key).scalar()
    return None if found is None else int(found)


def attached(conn: Connection, session: int, name: str) -> list[int]:
    """The seqs of a file's passages that are searchable."""
    statement = select(_m.seq).where(
        _m.session == session, _m.name == name, _m.state == ATTACHED, _m.origin.startswith("file/")
    )
    return [int(seq) for seq in conn.execute(statement.order_by(_m.seq)).scalars()]


def passages(conn: Connection, session: int) -> list[Row]:
    """Every passage of the session's files, searchable or not: seq, the file's name, origin and state, by seq."""
    statement = select(_m.seq, _m.name, _m.origin, _m.state).where(_m.session == session, _m.origin.startswith("file/"))
    return [tuple(row) for row in conn.execute(statement.order_by(_m.seq))]


def set_state(conn: Connection, session: int, seqs: Sequence[int], state: int, revision: int | None) -> None:
    """Mark messages live, archived or removed; ``revision`` is the session's with which that came."""
    for start in range(0, len(seqs), 500):
        chosen = seqs[start : start + 500]
        conn.execute(
            update(messages)
            .where(_m.session == session, _m.seq.in_(chosen))
            .values(state=state, changed_at_revision=revision)
        )


def taken_back_last(conn: Connection, session: int, run: int, revision: int) -> list[Row]:
    """The rows of the run (as for content.from_row) that the session's newest change took back."""
    statement = select(*_READ).where(
        _m.session == session, _m.run == run, _m.state == REMOVED, _m.changed_at_revision == revision
    )
    return [tuple(row) for row in conn.execute(statement.order_by(_m.seq))]


def with_calls(conn: Connection, session: int) -> list[Message]:
    """Messages with tool calls, whatever their state or run."""
    statement = select(*_READ).where(_m.session == session, _m.payload.contains('"tool_call"', autoescape=True))
    return [from_row(tuple(row)) for row in conn.execute(statement)]
