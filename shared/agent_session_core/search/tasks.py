"""What the indexer does for one session: which messages it looks at, and what comes of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_session_core.search import changes as sql
from agent_session_core.search import embeddings
from agent_session_core.search.entries import Entry, Source, entries
from agent_session_core.search.statements import END, IndexRow, entries_of, key_of
from agent_session_core.sql.tables import ATTACHED, REMOVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from agent_session_core.search.words import Words

__all__ = ["Task", "forget", "load", "load_rest", "make", "merged", "read", "seq_of", "settle", "unsettle"]


@dataclass
class Task:
    """A beginning of a session's changes and, once made, what they come to.

    Attributes:
        session: the session's internal id.
        changes: the changes, oldest first.
        shortened: the id of the last change and where its rest begins, if it is too long for one batch.
        spans: first and last seq of each stretch of messages to look at.
        indexed: up to which seq the session had been looked at, 0 for a new one.
        epoch: the epoch of what is indexed.
        looked_at: the messages to look at, by seq.
        before: for each of them the texts of the two messages before it, nearest first.
        existing: what is indexed of them, by seq.
        rows: what is to be written; ids without a slot.
        gone: seqs whose entries are to go.
        delayed: what must be looked at again later.
        embedded: vectors that were made just now, by the digests of their texts.
    """

    session: int
    changes: list[sql.Change]
    shortened: tuple[int, int] | None
    spans: list[tuple[int, int]]
    indexed: int
    epoch: int
    looked_at: dict[int, Source] = field(default_factory=dict)
    before: dict[int, list[str]] = field(default_factory=dict)
    existing: dict[int, IndexRow] = field(default_factory=dict)
    rows: list[IndexRow] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    delayed: list[sql.Delayed] = field(default_factory=list)
    embedded: dict[bytes, bytes] = field(default_factory=dict)

    def set_aside(self, seq: int, reason: str) -> None:
        """Have a message not tried again by itself."""
        self.delayed.append(sql.Delayed(self.session, seq, seq, sql.ASIDE, 1, reason, self.queued_at))

    @property
    def queued_at(self) -> int:
        """When the first of its changes came, in microseconds; this moment for an index that is made anew."""
        return min((change.queued_at for change in self.changes), default=time.time_ns() // 1_000)

    @property
    def size(self) -> int:
        """How many messages its changes are about."""
        return sum(last - first + 1 for first, last in self.spans)


def seq_of(row: IndexRow) -> int:
    """The seq of the message that a row is about."""
    return row.id & END


def load(conn: Connection, tenant: str, session: int, slot: int, room: int) -> Task | None:
    """The task of a session, for about ``room`` messages; None where the session is gone."""
    standing = sql.standing(conn, tenant, session, slot)
    if standing is None:
        return None
    changes, spans, shortened = _chosen(sql.changes(conn, tenant, session, room), room)
    task = Task(session, changes, shortened, spans, standing.indexed or 0, standing.epoch or 0)
    for first, last in spans:
        read(conn, slot, task, first, last)
    return task


def load_rest(conn: Connection, tenant: str, session: int, slot: int, room: int) -> Task | None:
    """The task of a session whose index is made anew: what comes after what was looked at already."""
    standing = sql.standing(conn, tenant, session, slot)
    if standing is None:
        return None
    reached = standing.indexed or 0
    first, last = reached + 1, min(standing.last_seq, reached + room)
    task = Task(session, [], None, [(first, last)], reached, standing.epoch or 0)
    read(conn, slot, task, first, last)
    return task


def _chosen(
    changes: list[sql.Change], room: int
) -> tuple[list[sql.Change], list[tuple[int, int]], tuple[int, int] | None]:
    """The first of ``changes`` that there is room for, the stretches they are about, and what of the last is left."""
    chosen: list[sql.Change] = []
    spans: list[tuple[int, int]] = []
    shortened = None
    for change in changes:
        if room <= 0:
            break
        chosen.append(change)
        last = min(change.last_seq, change.first_seq + room - 1)
        if last < change.last_seq:
            shortened = (change.id, last + 1)
        room -= last - change.first_seq + 1
        spans.append((change.first_seq, last))
    return chosen, merged(spans), shortened


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches, in order, as few as they can be."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def read(conn: Connection, slot: int, task: Task, first: int, last: int) -> None:
    """Read a stretch into ``task``, and the two messages after it: what stands before them has changed."""
    sources = sql.sources(conn, task.session, first, last, after=last < task.indexed)
    near: list[Source] = []  # the two messages before, nearest first
    for source in sources:
        spoken = source.state != ATTACHED
        if first <= source.seq <= last or last < source.seq <= task.indexed:
            task.looked_at[source.seq] = source
            task.before[source.seq] = [other.text for other in near if other.run == source.run and spoken]
        if _there(source) and spoken:
            near = [source, *near[:1]]
    if first <= task.indexed:
        rows = entries_of(conn, slot, task.session, first, min(last, task.indexed))
        for seq in [seq for seq in task.looked_at if last < seq]:
            rows += entries_of(conn, slot, task.session, seq, seq)
        task.existing.update((seq_of(row), row) for row in rows)


def _there(source: Source) -> bool:
    return source.state != REMOVED and source.text != ""


def make(task: Task, words: Words) -> None:
    """The rows of what is to be found, without vectors unless they are known; what is as it was is left alone."""
    wanted = [(source, task.before[seq]) for seq, source in task.looked_at.items() if _there(source)]
    for (source, _), entry in zip(wanted, entries(wanted, words), strict=True):
        old = task.existing.pop(source.seq, None)
        if old is None or old.vector is None or old.entry != entry:
            vector = old.vector if old is not None and _means_the_same(old, entry) else None
            task.rows.append(IndexRow(key_of(task.session, source.seq), vector, *entry))
    task.gone = list(task.existing)


def _means_the_same(old: IndexRow, entry: Entry) -> bool:
    """Whether only what stood before the message has changed."""
    return old.digest == entry.digest and old.created_at == entry.created_at


def settle(conn: Connection, tenant: str, slot: int, task: Task) -> None:
    """Write down how far the session is indexed now, take what is gone out, and the changes out of the outbox."""
    session = task.session
    sql.delete_entries(conn, [(key_of(session, seq, slot),) * 2 for seq in task.gone])
    moved = bool(task.gone) or any(seq_of(row) <= task.indexed for row in task.rows)
    last = max([task.indexed, *(last for _, last in task.spans)])
    sql.write_marks(conn, slot, [(session, last, task.epoch + moved)])
    done = [change.id for change in task.changes]
    shortened = [] if task.shortened is None else [task.shortened]
    sql.take(conn, done[: len(done) - len(shortened)], shortened)
    for first, last in task.spans:
        if first <= task.indexed or not task.changes:
            sql.forget_aside(conn, tenant, session, first, last)
    sql.put_back(conn, tenant, task.delayed)


def unsettle(conn: Connection, tenant: str, slot: int, task: Task) -> None:
    """Let an index that is being built beside this one come back to what has changed behind it."""
    standing = sql.standing(conn, tenant, task.session, slot)
    first = min(first for first, _ in task.spans)
    reached = 0 if standing is None or standing.indexed is None else standing.indexed
    epoch = 0 if standing is None or standing.epoch is None else standing.epoch
    if first <= reached:
        sql.delete_entries(conn, [(key_of(task.session, first, slot), key_of(task.session, END, slot))])
    sql.write_marks(conn, slot, [(task.session, min(reached, first - 1), epoch + 1)])


def forget(conn: Connection, tenant: str, sessions: Sequence[int]) -> None:
    """Take sessions that are gone out of the index, whatever is being built, and the outbox."""
    sql.alone_in(conn, tenant)
    for session in sessions:
        for slot in (0, 1):
            sql.delete_entries(conn, [(key_of(session, 0, slot), key_of(session, END, slot))])
            sql.delete_mark(conn, slot, session)
        embeddings.forget(conn, session)
        sql.delete_changes(conn, tenant, session)
