"""Sessions out of a store and into one, with everything in them, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import StoredMessage, from_row, now, same_content, to_microseconds, to_row
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import Entry, MessageEntry, Problem, SessionEntry
from agent_session_core.exchange.records import STATES
from agent_session_core.models import SessionRecord
from agent_session_core.sql import messages as sql
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sessions import Scope, SessionRow

__all__ = ["LoadReport", "export", "load"]

BATCH = 500
"""Messages read, or written in one commit, at a time."""
MOST_SEQ = 2**31 - 1
"""The highest place a message may be loaded at: the index packs places into 32 bits."""
MOST_PROBLEMS = 1_000
"""Problems that a report lists; further ones are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load did.

    Attributes:
        sessions: how many sessions were made.
        messages: how many messages were stored.
        repeated: how many messages were there already, with the same content.
        problems: what could not be loaded: where it stands and why; at most 1,000 are listed.
        problem_count: how many there were.
    """

    sessions: int = 0
    messages: int = 0
    repeated: int = 0
    problems: tuple[Problem, ...] = field(default=())
    problem_count: int = 0


def export(database: Database, scope: Scope, session_ids: Iterable[str] | None) -> Iterator[Entry]:
    """Each session with its messages, oldest first, in whatever state they are.

    Raises:
        SessionNotFound: for one of ``session_ids`` that is not there.
    """
    for session in _sessions(database, scope, session_ids):
        yield SessionEntry(record=session.record(), last_seq=session.last_seq)
        after = 0
        while rows := database.read(partial(sql.page, session=session.id, after=after, limit=BATCH)):
            for state, *row in rows:
                yield MessageEntry(session_id=session.session_id, message=from_row(row), state=STATES[state])
            after = rows[-1][1]


def _sessions(database: Database, scope: Scope, session_ids: Iterable[str] | None) -> Iterator[SessionRow]:
    if session_ids is not None:
        for name in session_ids:
            found = database.read(partial(sql_sessions.find, scope=scope, name=name))
            if found is None:
                raise InvalidInput(f"session_ids: {_checks.shown(name)} is not found; leave it out")
            yield found
        return
    after = 0
    while page := database.read(partial(sql_sessions.by_number, scope=scope, after=after, limit=100)):
        yield from page
        after = page[-1].id


class _Loading:
    """A load under way: what it has counted so far."""

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database = database
        self._scope = scope
        self._refused: set[str] = set()
        self.sessions = self.messages = self.repeated = self.problem_count = 0
        self.problems: list[Problem] = []

    def problem(self, where: str, reason: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(where or "an entry", reason))

    def session(self, entry: SessionEntry) -> None:
        record = entry.record
        try:
            _checks.identifier(record.id, "session_id")
            values = _columns(record)
        except InvalidInput as error:
            self._refused.add(record.id)
            self.problem(entry.where, str(error))
            return
        owner = self._scope.user_id if self._scope.user_id is not None else record.user_id
        scope = replace(self._scope, user_id=owner)
        made = self._database.write(partial(_make, scope=scope, name=record.id, values=values))
        if made is None:
            self._refused.add(record.id)
            self.problem(
                entry.where, f"session {_checks.shown(record.id)}: its id is not to be had; load it under another"
            )
        else:
            self.sessions += made

    def batch(self, name: str, entries: list[MessageEntry]) -> None:
        if name in self._refused:
            return
        at = to_microseconds(now())
        rows: list[tuple[MessageEntry, StoredMessage]] = []
        for entry in entries:
            try:
                rows.append((entry, to_row(entry.message, at=at)))
                if entry.message.id is not None:
                    _checks.identifier(entry.message.id, "id")
                for field, number in (("seq", entry.message.seq), ("run", entry.message.run)):
                    if number is not None:
                        _checks.whole(number, field, most=MOST_SEQ)
            except InvalidInput as error:
                if rows and rows[-1][0] is entry:
                    rows.pop()
                self.problem(entry.where, str(error))
        stored, repeated, problems = self._database.write(partial(_store, scope=self._scope, name=name, rows=rows))
        self.messages += stored
        self.repeated += repeated
        for where, reason in problems:
            self.problem(where, reason)


def load(database: Database, scope: Scope, entries: Iterable[Entry | Problem]) -> LoadReport:
    """Store the sessions and messages of ``entries`` in ``scope``; what is there already stays as it is.

    A load that was broken off is resumed by loading the same again. A message with a place (seq) keeps it, a message
    without comes at the end of its session.
    """
    loading = _Loading(database, scope)
    for name, group in groupby(entries, key=lambda e: e.session_id if isinstance(e, MessageEntry) else None):
        if name is None:
            for entry in group:
                if isinstance(entry, SessionEntry):
                    loading.session(entry)
                elif isinstance(entry, Problem):
                    loading.problem(entry.where, entry.reason)
            continue
        batch: list[MessageEntry] = []
        for entry in group:
            if isinstance(entry, MessageEntry):
                batch.append(entry)
            if len(batch) == BATCH:
                loading.batch(name, batch)
                batch = []
        if batch:
            loading.batch(name, batch)
    return LoadReport(
        sessions=loading.sessions,
        messages=loading.messages,
        repeated=loading.repeated,
        problems=tuple(loading.problems),
        problem_count=loading.problem_count,
    )


def _columns(record: SessionRecord) -> dict[str, object]:
    return {
        "agent_id": _checks.optional_identifier(record.agent_id, "agent_id"),
        "title": _checks.title(record.title),
        "metadata": _checks.json_object(record.metadata, "metadata"),
        "status": record.status,
        "run": record.run,
        "revision": record.revision,
        "created_at": to_microseconds(record.created_at),
        "updated_at": to_microseconds(record.updated_at),
    }


def _make(conn: Connection, scope: Scope, name: str, values: dict[str, object]) -> bool | None:
    """Make the session: True where it is new, False where it was there, None where it is somebody else's."""
    if sql_sessions.find(conn, scope, name) is not None:
        return False
    sql_sessions.create(conn, scope, name, values)
    return True if sql_sessions.find(conn, scope, name) is not None else None


def _store(
    conn: Connection, scope: Scope, name: str, rows: list[tuple[MessageEntry, StoredMessage]]
) -> tuple[int, int, list[tuple[str, str]]]:
    """Store messages of one session: how many are new, how many were there, and what is wrong with the others."""
    session = sql_sessions.find(conn, scope, name)
    if session is None:
        return (
            0,
            0,
            [(entry.where, f"session {_checks.shown(name)}: not there; its line is missing") for entry, _ in rows],
        )
    there = sql.by_seqs(conn, session.id, [entry.message.seq for entry, _ in rows if entry.message.seq is not None])
    named = sql.by_ids(conn, session.id, [row.id for entry, row in rows if entry.message.id is not None])
    problems: list[tuple[str, str]] = []
    new: list[tuple[int, int, int, StoredMessage]] = []
    repeated, last, taken = 0, session.last_seq, set(named)
    for entry, row in rows:
        seq, removed = entry.message.seq, entry.state == "removed"
        stored = there.get(seq) if seq is not None else named.get(row.id)
        if stored is not None and stored[2] == row.id and same_content(row, stored[2:], with_time=False):
            repeated += 1
        elif stored is not None:
            what = f"place {seq}" if seq is not None else f"id {_checks.shown(row.id)}"
            problems.append(
                (entry.where, f"session {_checks.shown(name)}: {what} is taken by a message with other content")
            )
        elif seq is not None and seq <= last:
            problems.append((entry.where, f"session {_checks.shown(name)}: place {seq} lies before the session's end"))
        elif not removed and row.id in taken:
            problems.append((entry.where, f"session {_checks.shown(name)}: id {_checks.shown(row.id)} is taken"))
        else:
            last = seq if seq is not None else last + 1
            new.append((last, entry.message.run or session.run, STATES.index(entry.state), row))
            if not removed:
                taken.add(row.id)
    if new:
        sql.restore(conn, session.id, new)
        sql_sessions.change(conn, {"session": session.id, "tenant": scope.tenant}, {"last_seq": last})
        sql.announce(conn, scope.tenant, session.id, new[0][0], last)
    return len(new), repeated, problems
