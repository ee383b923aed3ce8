"""From the outbox to the index: what changed is read as it stands now, made ready outside any lock, written at once.

A batch is a beginning of each session's changes. It is written only for those sessions whose beginning is still the
same; otherwise another process was faster, and nothing old can overtake anything newer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agent_session_core.errors import EmbeddingChanged, IndexUnavailable
from agent_session_core.search import changes as sql
from agent_session_core.search import embeddings, tasks
from agent_session_core.search.elsewhere import require_here
from agent_session_core.search.entries import embedded_texts
from agent_session_core.search.making import REST
from agent_session_core.search.statements import FORMAT, IndexRow, Info, info
from agent_session_core.search.vectors import SCALE
from agent_session_core.telemetry import indexing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from agent_session_core.search.making import VectorMaker
    from agent_session_core.search.tasks import Task
    from agent_session_core.search.words import Words
    from agent_session_core.sql.engine import Database
    from agent_session_core.telemetry import Watch

__all__ = ["Indexer"]

BATCH = 256
"""Messages made ready and written together."""
LONGEST_WAIT = 60.0
"""Seconds after which what could not be embedded is tried again, at the latest."""

_Due: TypeAlias = "Callable[[Connection, int, int], list[int]]"


class _Batch(NamedTuple):
    info: Info | None
    tasks: list[Task]
    gone: list[int]


class _Missing(NamedTuple):
    """A row without a vector: its task, its place in it, and what the vector is made of."""

    task: Task
    place: int
    text: str


class Indexer:
    """Keeps the index up with the messages. May be used from several threads and processes at once.

    Args:
        database: where messages, outbox and index are.
        maker: makes the vectors.
        words: the tokenizer; its analyzer makes the stems.
        watch: is told of what is indexed.
    """

    def __init__(self, database: Database, maker: VectorMaker, words: Words, watch: Watch | None = None) -> None:
        self._database = database
        self._maker = maker
        self._words = words
        self._watch = watch
        self._turn = threading.Lock()  # threads of one process would only do the same work twice

    def fits(self, made: Info) -> bool:
        """Whether an index was made with this analyzer and embedder, by this version of the package."""
        return (made.format, made.analyzer, made.embedding) == (FORMAT, self._words.analyzer, self._maker.name)

    def require(self, made: Info) -> None:
        """Check that an index can be used with this analyzer and embedder.

        Raises:
            EmbeddingChanged: naming both and the remedy.
        """
        if not self.fits(made):
            raise EmbeddingChanged(
                f"embedder: the index was made with {made.embedding!r:.80} and analyzer {made.analyzer!r} (format "
                f"{made.format}), the store was opened with {self._maker.name!r:.80} and {self._words.analyzer!r} "
                f"(format {FORMAT}); open it with those, or call store.reindex()"
            )

    def made_now(self, slot: int, generation: int, *, building: bool, dimensions: int | None = None) -> Info:
        """What an index is made with from now on."""
        return Info(slot, generation, building, FORMAT, self._words.analyzer, self._maker.name, dimensions)

    def drain(self, tenant: str, user_id: str | None = None) -> int:
        """Index what has changed; how many messages were looked at.

        Changes that come meanwhile are left for the next call. With another embedder or analyzer than the index was
        made with, they wait: two are never mixed.

        Args:
            tenant: whose changes.
            user_id: only what this user's sessions need.

        Raises:
            EmbeddingChanged: when an embedder of the same name gives vectors of other dimensions.
        """
        return self._drain(tenant, lambda conn, now, up_to: sql.due(conn, tenant, user_id, now, up_to))

    def forget(self, tenant: str) -> None:
        """Take sessions that are gone out of the index, and leave all else for later."""
        up_to = self._database.read(sql.newest)
        while gone := self._database.read(lambda conn: sql.due_and_gone(conn, tenant, up_to)):
            self._database.write(partial(tasks.forget, tenant=tenant, sessions=gone))

    def make_vectors(self, tenant: str, batch: Sequence[Task]) -> None:
        """Give rows vectors that have none; those of a service that stand in the database already are taken from there.

        What the embedder refuses stays without, and is set aside with the reason.

        Raises:
            IndexUnavailable: when the embedder fails whatever it is given, just now or a moment ago.
        """
        missing = [each for task in batch for each in _missing(task)]
        made = self._maker.make(tenant, [each.text for each in missing])
        for number, (each, blob) in enumerate(zip(missing, made.vectors, strict=True)):
            row = each.task.rows[each.place]
            if number in made.refused:
                each.task.set_aside(tasks.seq_of(row), made.refused[number])
            elif blob is not None and number in made.new:
                each.task.embedded[made.new[number]] = blob
            each.task.rows[each.place] = row._replace(vector=blob)

    def keep_vectors(self, conn: Connection, tenant: str, task: Task) -> None:
        """Keep the vectors that were made for a session that is there, so that none is made twice."""
        embeddings.keep(conn, tenant, self._maker.name, task.session, task.embedded)

    def know_dimensions(self, conn: Connection, tenant: str, made: Info, batch: Sequence[Task]) -> None:
        """Write down the dimensions of an index's vectors when the first are made.

        Raises:
            EmbeddingChanged: when it has, or would get, vectors of different dimensions.
        """
        blobs = (row.vector for task in batch for row in task.rows)
        new = {len(blob) - SCALE for blob in blobs if blob is not None} - {made.dimensions}
        if not new:
            return
        dimensions = new.pop()
        if made.dimensions is not None or new:
            raise EmbeddingChanged(
                f"embedder: {self._maker.name!r:.80} gives vectors of {dimensions} dimensions, the index holds "
                f"vectors of {made.dimensions or new.pop()}; give the embedder another name and call store.reindex()"
            )
        sql.write_info(conn, tenant, made._replace(dimensions=dimensions))

    def _drain(self, tenant: str, due: _Due) -> int:
        now = time.time_ns() // 1_000
        count = 0
        with self._turn:
            up_to = self._database.read(sql.newest)
            while up_to:
                batch = self._database.read(partial(self._load, tenant, due, now, up_to), snapshot=True)
                if not batch.tasks and not batch.gone:
                    break
                size = sum(task.size for task in batch.tasks)
                with indexing(self._watch, size):
                    self._bring(tenant, batch, now)
                count += size
        return count

    def _bring(self, tenant: str, batch: _Batch, now: int) -> None:
        for task in batch.tasks:
            tasks.make(task, self._words)
        try:
            self.make_vectors(tenant, batch.tasks)
        except IndexUnavailable as error:
            for task in batch.tasks:  # the words are indexed now, the vectors later
                _delay(task, now, error)
        self._database.write(partial(self._apply, tenant, batch))

    def _load(self, tenant: str, due: _Due, now: int, up_to: int, conn: Connection) -> _Batch:
        made = info(conn, tenant)
        if made is None:
            require_here(conn)
        elif not self.fits(made):
            return _Batch(made, [], [])
        slot = 0 if made is None else made.slot
        batch = _Batch(made, [], [])
        room = BATCH
        for session in due(conn, now, up_to):
            task = tasks.load(conn, tenant, session, slot, room)
            if task is None:
                batch.gone.append(session)
                continue
            batch.tasks.append(task)
            room -= task.size
            if room <= 0:
                break
        return batch

    def _apply(self, tenant: str, batch: _Batch, conn: Connection) -> None:
        sql.alone_in(conn, tenant)
        tasks.forget(conn, tenant, batch.gone)
        made = info(conn, tenant)
        if made is None:
            require_here(conn)
            made = self.made_now(0, 1, building=False)
            sql.write_info(conn, tenant, made)
        elif batch.info is None or made.generation != batch.info.generation:
            return
        self.know_dimensions(conn, tenant, made, batch.tasks)
        beside = info(conn, tenant, building=True)
        rows: list[IndexRow] = []
        for task in batch.tasks:
            if sql.changes(conn, tenant, task.session, len(task.changes)) == task.changes:
                rows += task.rows
                tasks.settle(conn, tenant, made.slot, task)
                self.keep_vectors(conn, tenant, task)
                if beside is not None:
                    tasks.unsettle(conn, tenant, beside.slot, task)
        sql.write_entries(conn, made.slot, sorted(rows))


def _missing(task: Task) -> list[_Missing]:
    places = [place for place, row in enumerate(task.rows) if row.vector is None]
    texts = embedded_texts([task.looked_at[tasks.seq_of(task.rows[place])] for place in places])
    return [_Missing(task, place, text) for place, text in zip(places, texts, strict=True)]


def _delay(task: Task, now: int, error: IndexUnavailable) -> None:
    """Put off the vectors of a task: its words are indexed now, its messages looked at again later."""
    seqs = [tasks.seq_of(row) for row in task.rows if row.vector is None]
    if seqs:
        attempts = 1 + max(change.attempts for change in task.changes)
        wait = min(LONGEST_WAIT, REST * 2 ** min(attempts, 10))
        until = now + int(wait * 1_000_000)
        reason = str(error)[:500]
        task.delayed.append(sql.Delayed(task.session, min(seqs), max(seqs), until, attempts, reason, task.queued_at))
