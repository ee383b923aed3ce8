"""Messages on their way into a session of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import StoredMessage, now, same_content, to_microseconds, to_row
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import MessageEntry
from agent_session_core.exchange.records import STATES
from agent_session_core.sql import messages as sql
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sessions import Scope
from agent_session_core.transfer.batches import batches
from agent_session_core.transfer.report import Tally

__all__ = ["MAX_GAP", "MAX_SEQ", "store_messages"]

MAX_SEQ = 2**31 - 1
"""The last place a load may give: half of those that the index can name, so that the session can go on."""
MAX_GAP = 100_000
"""Places that may be left free before a message; more are a broken file, and would cost every search."""
MAX_RUN = 2**31 - 1


def store_messages(database: Database, scope: Scope, name: str, entries: Iterable[MessageEntry], tally: Tally) -> None:
    """Store messages of the session ``name``, each at its place or at the end; what is there stays as it is."""
    for rows in batches(_rows(entries, tally)):
        stored, repeated, problems = database.write(partial(_store, scope=scope, name=name, rows=rows))
        tally.messages += stored
        tally.repeated += repeated
        for where, reason in problems:
            tally.problem(where, reason)


def _rows(entries: Iterable[MessageEntry], tally: Tally) -> Iterator[tuple[tuple[MessageEntry, StoredMessage], int]]:
    """The messages that can be stored, as rows, with their characters."""
    at = to_microseconds(now())
    for entry in entries:
        try:
            row = to_row(entry.message, at=at)
            if entry.message.id is not None:
                _checks.identifier(entry.message.id, "id")
            if entry.message.seq is not None:
                _checks.whole(entry.message.seq, "seq", most=MAX_SEQ)
            if entry.message.run is not None:
                _checks.whole(entry.message.run, "run", most=MAX_RUN)
        except InvalidInput as error:
            tally.problem(entry.where, str(error))
        else:
            yield (entry, row), len(row.text) + len(row.payload or "") + len(row.origin_data or "")


def _store(
    conn: Connection, scope: Scope, name: str, rows: list[tuple[MessageEntry, StoredMessage]]
) -> tuple[int, int, list[tuple[str, str]]]:
    """Store messages of one session: how many are new, how many were there, and what is wrong with the others."""
    session = sql_sessions.find(conn, scope, name)
    told = f"session {_checks.shown(name)}"
    if session is None:
        return 0, 0, [(entry.where, f"{told}: not there; its line is missing") for entry, _ in rows]
    there = sql.by_seqs(conn, session.id, [entry.message.seq for entry, _ in rows if entry.message.seq is not None])
    named = sql.by_ids(conn, session.id, [row.id for entry, row in rows if entry.message.id is not None])
    problems: list[tuple[str, str]] = []
    new: list[tuple[int, int, int, int | None, StoredMessage]] = []
    repeated, last, taken = 0, session.last_seq, set(named)
    for entry, row in rows:
        seq, removed = entry.message.seq, entry.state == "removed"
        stored = there.get(seq) if seq is not None else named.get(row.id)
        if stored is not None and stored[2] == row.id and same_content(row, stored[2:], with_time=False):
            repeated += 1
        elif stored is not None:
            what = f"place {seq}" if seq is not None else f"id {_checks.shown(row.id)}"
            problems.append((entry.where, f"{told}: {what} is taken by a message with other content"))
        elif seq is not None and seq <= last:
            problems.append((entry.where, f"{told}: place {seq} lies before the session's end"))
        elif seq is not None and seq > last + MAX_GAP:
            problems.append((entry.where, f"{told}: place {seq} leaves {seq - last:,} free before it; mend its seq"))
        elif not removed and row.id in taken:
            problems.append((entry.where, f"{told}: id {_checks.shown(row.id)} is taken"))
        else:
            last = seq if seq is not None else last + 1
            state = STATES.index(entry.state)
            new.append((last, entry.message.run or session.run, state, entry.changed_at_revision, row))
            if not removed:
                taken.add(row.id)
    if new:
        sql.restore(conn, session.id, new)
        sql_sessions.change(conn, session.key(scope.tenant), {"last_seq": last})
        for first, end in _ranges([seq for seq, *_ in new]):
            sql.announce(conn, scope.tenant, session.id, first, end)
    return len(new), repeated, problems


def _ranges(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """The unbroken stretches of ascending ``seqs``: first and last of each."""
    ranges: list[tuple[int, int]] = []
    for seq in seqs:
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges
