"""Whether the index holds exactly what is stored, and how to mend it where it does not."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from agent_session_core.models import IndexReport
from agent_session_core.search import changes as sql
from agent_session_core.search import tasks
from agent_session_core.search.statements import END, info, key_of
from agent_session_core.sql.messages import announce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from agent_session_core.search.words import Words
    from agent_session_core.sql.engine import Database

__all__ = ["mend", "verify"]

SAMPLE = 20
"""Differences that a report names."""


class _Difference(NamedTuple):
    session: int
    session_id: str
    seq: int
    kind: str


def verify(database: Database, words: Words, tenant: str) -> IndexReport:
    """Compare what is stored with what is indexed, message by message; sessions with pending changes are left out.

    Args:
        database: where both are.
        words: the tokenizer that the index was made with.
        tenant: whose messages.
    """
    kinds: Counter[str] = Counter()
    sample: list[tuple[str, int, str]] = []
    for difference in _differences(database, words, tenant):
        kinds[difference.kind] += 1
        if len(sample) < SAMPLE:
            sample.append((difference.session_id, difference.seq, difference.kind))
    orphaned = kinds["orphaned"] + len(database.read(sql.left_behind))
    pending, rejected = database.read(partial(sql.counts, tenant=tenant))
    return IndexReport(
        missing=kinds["missing"],
        stale=kinds["stale"],
        orphaned=orphaned,
        rejected=rejected,
        pending=pending,
        sample=tuple(sample),
    )


def mend(database: Database, words: Words, tenant: str) -> None:
    """Have every session that differs indexed anew, and what was set aside tried again; the next drain does it."""
    differing = {difference.session for difference in _differences(database, words, tenant)}
    for session in differing:
        database.write(partial(_start_over, tenant, session))
    while left := database.read(sql.left_behind):
        database.write(partial(tasks.forget, tenant=tenant, sessions=left))
    database.write(partial(sql.try_again, tenant=tenant))


def _differences(database: Database, words: Words, tenant: str) -> Iterator[_Difference]:
    made = database.read(partial(info, tenant=tenant))
    slot = 0 if made is None else made.slot
    session = 0
    while some := database.read(partial(sql.sessions_after, tenant=tenant, session=session)):
        for session, session_id in some:
            yield from database.read(partial(_compare, words, tenant, slot, session, session_id), snapshot=True)


def _compare(
    words: Words, tenant: str, slot: int, session: int, session_id: str, conn: Connection
) -> list[_Difference]:
    """How one session's messages and entries differ."""
    standing = sql.standing(conn, tenant, session, slot)
    if standing is None or sql.changes(conn, tenant, session, 1):
        return []
    task = tasks.Task(session, [], None, [(1, standing.last_seq)], standing.last_seq, standing.epoch or 0)
    tasks.read(conn, slot, task, 1, standing.last_seq)
    indexed = set(task.existing)
    aside = sql.aside_of(conn, tenant, session)
    tasks.make(task, words)
    found = [_Difference(session, session_id, seq, "orphaned") for seq in task.gone]
    for row in task.rows:
        seq = tasks.seq_of(row)
        if seq not in indexed:
            found.append(_Difference(session, session_id, seq, "missing"))
        elif seq not in aside:
            found.append(_Difference(session, session_id, seq, "stale"))
    return found


def _start_over(tenant: str, session: int, conn: Connection) -> None:
    """Take a session out of the index and have all of it looked at again."""
    sql.alone_in(conn, tenant)
    made = info(conn, tenant)
    standing = None if made is None else sql.standing(conn, tenant, session, made.slot)
    if made is not None and standing is not None:
        sql.delete_entries(conn, [(key_of(session, 0, made.slot), key_of(session, END, made.slot))])
        sql.write_marks(conn, made.slot, [(session, 0, (standing.epoch or 0) + 1)])
        announce(conn, tenant, session, 1, standing.last_seq)
