"""Fork and rewind: a session as it was at a message, messages, state, files, tasks and tool calls alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core._json import encode
from agent_session_core.content import now, to_microseconds
from agent_session_core.errors import InvalidInput, SessionExists
from agent_session_core.keys import Key, check_turn, require, require_active, take_numbers
from agent_session_core.passages import restore_passages
from agent_session_core.record_values import value_of
from agent_session_core.sql import branching as sql
from agent_session_core.sql import messages as sql_messages
from agent_session_core.sql import records as sql_records
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql.records import Place, RecordRow, Stamp
from agent_session_core.sql.sessions import Scope, SessionRow
from agent_session_core.sql.tables import ARCHIVED

__all__ = ["fork", "rewind", "undo_rewind"]

KINDS = ("state", "task", "call", "file")
"""What comes back with a fork or a rewind, beside the messages."""
REWIND = "rewind"


def fork(conn: Connection, key: Key, name: str, *, at: int | None) -> SessionRow:
    """A new session ``name`` with everything as it was at the message ``at``; the old one stays as it is.

    Raises:
        SessionNotFound: when the session has been deleted.
        SessionExists: when the name is taken.
    """
    source = require(conn, key)
    at = _behind_something(conn, key, at)
    run = source.run if at is None else sql.run_at(conn, key.session, at)
    cut = _cut(conn, key, source, run, at)
    if sql.taken(conn, key.tenant, name):
        raise SessionExists(f"session_id: {_checks.shown(name)} is taken; give the fork another id")
    moment = to_microseconds(now())
    values: dict[str, Any] = {
        "agent_id": source.agent_id,
        "title": source.title,
        "metadata": source.metadata,
        "run": run,
        "last_seq": cut.end,
        "created_at": moment,
        "updated_at": moment,
        "idle_timeout": source.idle_timeout,
        "due_at": None if source.idle_timeout is None else moment + source.idle_timeout,
        "parent_id": source.session_id,
        "forked_from": cut.message,
    }
    scope = Scope(key.tenant, key.owner)
    sql_sessions.create(conn, scope, name, values)
    made = sql_sessions.find(conn, scope, name)
    if made is None:
        raise SessionExists(f"session_id: {_checks.shown(name)} is taken; give the fork another id")
    sql.copy_messages(conn, key.session, made.id, cut.end)
    sql.copy_records(conn, key.tenant, key.session, made.id, (*KINDS, "key"), cut.end)
    new_key = replace(key, session=made.id, name=name, turn=None)
    _match_passages(conn, new_key)
    if cut.end:
        sql_messages.announce(conn, key.tenant, made.id, 1, cut.end)
    return made


def rewind(conn: Connection, key: Key, *, to: int) -> int:
    """Take back everything after the message ``to``; the seq of the last message that stays.

    Where there is nothing to take back nothing is written, so that the rewind before can still be undone.

    Raises:
        InvalidInput: when ``to`` is of an earlier run.
        SessionNotFound, SessionNotActive, TurnTaken: as any write.
    """
    source = require_active(conn, key)
    check_turn(conn, key)
    if 0 < to <= sql.before_run(conn, key.session, source.run):
        raise InvalidInput(
            f"to: {to} lies in an earlier run than the current one, {source.run}; "
            f"give 0 to take back all of this run, or look at the earlier one with fork(..., at={to})"
        )
    cut = _cut(conn, key, source, source.run, _behind_something(conn, key, to))
    changes = [_change(conn, place, _as_of(conn, place, cut.end)) for place in _places(key)]
    if not any(changes) and not sql.shows_after(conn, key.session, source.run, cut.end):
        return cut.message
    _, _, revision = take_numbers(conn, key, 0)
    undo = {
        "revision": revision,
        "record": sql.newest_record(conn),
        "end": cut.end,
        "aside": sql.set_aside_after(conn, key.session, source.run, cut.end),
    }
    sql.take_back(conn, key.session, source.run, cut.end, revision)
    for change in changes:
        _carry_out(conn, key, change, revision, source.last_seq)
    _match_passages(conn, key)
    stamp = Stamp(revision, key.session, source.last_seq, to_microseconds(now()))
    sql_records.write(conn, _place(key, REWIND), {"last": encode(undo, "rewind")}, stamp)
    if source.last_seq > cut.end:
        sql_messages.announce(conn, key.tenant, key.session, cut.end + 1, source.last_seq)
    return cut.message


def undo_rewind(conn: Connection, key: Key) -> int:
    """Bring back what the last rewind took; the seq of the last message that is there again.

    Raises:
        InvalidInput: when nothing was rewound, or something was written since.
        SessionNotFound, SessionNotActive, TurnTaken: as any write.
    """
    source = require_active(conn, key)
    check_turn(conn, key)
    found = sql_records.one(conn, _place(key, REWIND), "last")
    undo = None if found is None else value_of(REWIND, found)
    if undo is None or source.revision != undo["revision"]:
        why = "nothing was rewound" if undo is None else "something was written since the rewind"
        raise InvalidInput(
            f"session {_checks.shown(key.name)}: {why}, so there is nothing to undo; call it right after rewind()"
        )
    _, _, revision = take_numbers(conn, key, 0)
    sql.bring_back(conn, key.session, undo["revision"], revision)
    sql_messages.set_state(conn, key.session, undo["aside"], ARCHIVED, revision)
    for place in _places(key):
        change = _change(conn, place, sql_records.as_of_record(conn, place, undo["record"]))
        _carry_out(conn, key, change, revision, source.last_seq)
    _match_passages(conn, key)
    stamp = Stamp(revision, key.session, source.last_seq, to_microseconds(now()))
    sql_records.write(conn, _place(key, REWIND), {"last": None}, stamp)
    if source.last_seq > undo["end"]:
        sql_messages.announce(conn, key.tenant, key.session, undo["end"] + 1, source.last_seq)
    return sql.last_shown(conn, key.session, source.run, source.last_seq)


class _Cut(NamedTuple):
    """Where a session is cut: behind a message, and behind all that was written before the next one."""

    message: int
    end: int


def _behind_something(conn: Connection, key: Key, at: int | None) -> int | None:
    """``at``, or None where no message stands behind it, whatever became of it."""
    return None if at is None or sql.before_next(conn, key.session, at) is None else at


def _cut(conn: Connection, key: Key, session: SessionRow, run: int, at: int | None) -> _Cut:
    """The cut at or before ``at`` at which a turn of the run has ended: it leaves no orphan."""
    here = (conn, key.session, run)
    if at is None:
        return _Cut(sql.last_shown(*here, session.last_seq), session.last_seq)
    message = sql.last_shown(*here, at)
    if message and not sql.is_turn_end(*here, message):
        start = sql.turn_start(*here, message)
        message = sql.last_shown(*here, start - 1) if start else 0
    end = sql.before_next(conn, key.session, message or sql.before_run(*here))
    return _Cut(message, session.last_seq if end is None else end)


class _Change(NamedTuple):
    """The records (their numbers) that go, and those that come back."""

    place: Place
    gone: list[int]
    back: list[int]

    def __bool__(self) -> bool:
        return bool(self.gone or self.back)


def _as_of(conn: Connection, place: Place, seq: int) -> dict[str, RecordRow]:
    """The records as they were at ``seq``; of the calls that had begun by then, all that is known of them by now."""
    found = sql_records.as_of(conn, place, seq)
    if place.kind != "call" or not found:
        return found
    known = sql.newest_of_each(conn, place)
    return {name: known[name] for name in found}


def _change(conn: Connection, place: Place, wanted: Mapping[str, RecordRow]) -> _Change:
    """What makes the current records those that are ``wanted``."""
    there = {row.key: row for row in sql_records.every(conn, place)}
    gone = [row.id for name, row in there.items() if name not in wanted]
    back = [row.id for name, row in wanted.items() if name not in there or there[name].value != row.value]
    return _Change(place, gone, back)


def _carry_out(conn: Connection, key: Key, change: _Change, revision: int, last_seq: int) -> None:
    if not change:
        return
    counted = sql_records.count_up(conn, change.place) if change.place.kind == "state" else revision
    stamp = Stamp(counted, key.session, last_seq, to_microseconds(now()))
    sql.write_again(conn, change.place, change.gone, stamp, deleted=True)
    sql.write_again(conn, change.place, change.back, stamp)


def _match_passages(conn: Connection, key: Key) -> None:
    """Make the searchable text that of the files' current versions."""
    files = sql_records.every(conn, _place(key, "file"))
    restore_passages(conn, key, {row.key: value_of("file", row)["version"] for row in files})


def _places(key: Key) -> list[Place]:
    return [_place(key, kind) for kind in KINDS]


def _place(key: Key, kind: str) -> Place:
    return Place(key.tenant, "session", str(key.session), kind)
