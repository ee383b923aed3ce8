"""From the outbox to Elasticsearch: changes are taken, read as they stand now, sent, and taken out once acknowledged.

Killed anywhere, a worker leaves its changes in the outbox, and another takes them when the lease is over. Documents
carry the number of the change as their version, so that what is sent twice, or late, changes nothing.
"""

from __future__ import annotations

import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from agent_session_core.errors import EmbeddingChanged, IndexUnavailable
from agent_session_core.search import embeddings
from agent_session_core.search.changes import ASIDE, Delayed
from agent_session_core.search.elastic import bulk, outbox, profiles
from agent_session_core.search.elastic.documents import count_of, documents, id_of, tombstone, written
from agent_session_core.search.elastic.profiles import Speaker
from agent_session_core.search.elastic.routing import routing_of
from agent_session_core.search.elastic.work import Work, is_there, load
from agent_session_core.search.entries import embedded_texts
from agent_session_core.search.making import REST
from agent_session_core.search.vectors import SCALE, unit, unpack
from agent_session_core.telemetry import indexing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agent_session_core.search.elastic.client import Server
    from agent_session_core.search.elastic.indexes import Indexes
    from agent_session_core.search.elastic.outbox import Claimed, Index
    from agent_session_core.search.elastic.settings import ElasticsearchIndex
    from agent_session_core.search.making import VectorMaker
    from agent_session_core.search.words import Words
    from agent_session_core.sql.engine import Database
    from agent_session_core.telemetry import Watch

__all__ = ["Deliverer", "Only"]

BATCH = 512
"""Messages looked at and delivered together."""
LONGEST_WAIT = 60.0
"""Seconds after which what could not be embedded is tried again, at the latest."""
BULK_SECONDS = 30.0
"""Seconds that a bulk request may take, at most."""
PAGE = 1_000
"""Documents of erased sessions that are looked for at a time."""


class Only(NamedTuple):
    """Which changes are meant: all, or those of a tenant, a user, or of sessions that are gone."""

    tenant: str | None = None
    user_id: str | None = None
    gone: bool = False


class _Pace(NamedTuple):
    """How long a delivery may take.

    Attributes:
        patience: seconds for which what the server refuses for now is tried again.
        most: seconds that a request may take.
        deadline: the moment (monotonic) by which all of it is to be done.
        stop: whether it is to end.
    """

    patience: float
    most: float
    deadline: float
    stop: Callable[[], bool]

    @property
    def seconds(self) -> float:
        """Seconds that the next request may take."""
        return max(0.05, min(self.most, self.deadline - time.monotonic()))


class _Place(NamedTuple):
    """What an operation is about."""

    work: Work
    seq: int


class Deliverer:
    """Brings changes to Elasticsearch. May be used from several threads and processes at once.

    Args:
        database: where messages and outbox are.
        server: the server.
        settings: the lease.
        indexes: the indexes there.
        maker: makes the vectors.
        words: the tokenizer that tells what was said twice.
        watch: is told of what is delivered.
    """

    def __init__(
        self,
        database: Database,
        server: Server,
        settings: ElasticsearchIndex,
        indexes: Indexes,
        maker: VectorMaker,
        words: Words,
        watch: Watch | None = None,
    ) -> None:
        self._database = database
        self._server = server
        self._settings = settings
        self._indexes = indexes
        self._maker = maker
        self._words = words
        self._watch = watch
        self._patience = settings.lease / 4
        self._bulk_seconds = min(BULK_SECONDS, settings.lease / 4)
        self._to_release: deque[tuple[str, list[Claimed]]] = deque()

    def deliver(
        self,
        only: Only = Only(),  # noqa: B008  # it never changes
        *,
        hurry: float | None = None,
        told: Callable[[int], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> int:
        """Deliver what is due, until nothing is; how many messages were looked at.

        Args:
            only: which changes.
            hurry: seconds that it may take, with no second try of anything; without it, there is time.
            told: called with the number of messages of each batch.
            stop: asked before each batch, and before what was refused is tried again.

        Raises:
            IndexUnavailable: when the server cannot take it; nothing is lost, others may try at once.
            EmbeddingChanged: when the embedder gives vectors of other dimensions than before.
        """
        pace = self._pace(stop)
        if hurry is not None:
            pace = pace._replace(patience=0.0, deadline=time.monotonic() + hurry)
        count = 0
        while not stop():
            self._indexes.make(pace.seconds)
            size = self._some(only, pace)
            if not size:
                break
            told(size)
            count += size
        return count

    def check(self) -> None:
        """See that the server is there.

        Raises:
            IndexUnavailable: when it cannot be reached, or does not let us in.
        """
        with self._server.speaking():
            self._server.client(self._settings.timeout).info()

    def owes(self, up_to: int) -> bool:
        """Whether changes up to a number are still to come to an index that can be written to from here."""
        return self._database.read(partial(self._owes, up_to))

    def _owes(self, up_to: int, conn: Connection) -> bool:
        mine = [index.generation for index in outbox.indexes(conn) if self._indexes.fits(index)]
        return any(outbox.owed(conn, generation, up_to) for generation in mine)

    def _some(self, only: Only, pace: _Pace) -> int:
        self._release()
        now = time.time_ns() // 1_000
        until = now + int(self._settings.lease * 1_000_000)
        worker = uuid.uuid4().hex  # for these changes alone: a thread of this process may be too late as any other
        fits, claimed = self._database.write(partial(self._claim, worker, only, pace, now, until))
        if not claimed:
            return 0
        try:
            generations = [index.generation for index in fits]
            works = self._database.read(lambda conn: load(conn, claimed, generations), snapshot=True)
            with indexing(self._watch, sum(work.size for work in works)):
                self._embed(works, fits, now)
                self._send(works, fits, pace, until)
                self._database.write(partial(self._settle, worker, works, now))
        except BaseException:
            self._to_release.append((worker, claimed))
            self._release()
            raise
        return sum(work.size for work in works)

    def _release(self) -> None:
        """Let go of what could not be delivered; where the database is away too, before the next delivery."""
        while True:
            try:
                left = self._to_release.popleft()
            except IndexError:
                return
            try:
                self._database.write(partial(outbox.release, worker=left[0], claimed=left[1]))
            except BaseException:
                self._to_release.append(left)
                raise

    def _pace(self, stop: Callable[[], bool] = lambda: False) -> _Pace:
        return _Pace(self._patience, self._bulk_seconds, math.inf, stop)

    def _claim(
        self, worker: str, only: Only, pace: _Pace, now: int, until: int, conn: Connection
    ) -> tuple[list[Index], list[Claimed]]:
        there = outbox.indexes(conn, held=True, within=pace.seconds)
        fits = [index for index in there if self._indexes.fits(index) and index.made]
        generations = [index.generation for index in fits]
        if not fits:
            return [], []
        claimed = outbox.claim(conn, worker, generations, now=now, until=until, room=BATCH, **only._asdict())
        for session, tenant in {one.session: one.tenant for one in claimed}.items():
            profiles.expect(conn, tenant, session, generations)
        return fits, claimed

    def _embed(self, works: Sequence[Work], fits: Sequence[Index], now: int) -> None:
        """Give works their vectors. What the embedder refuses stays without; what it cannot do now is put off."""
        for tenant in dict.fromkeys(work.tenant for work in works):
            places = [_Place(work, seq) for work in works if work.tenant == tenant for seq in work.to_embed()]
            texts = embedded_texts([work.looked_at[seq] for work, seq in places])
            try:
                made = self._maker.make(tenant, texts)
            except IndexUnavailable as error:  # the words are delivered now, the vectors later
                for work, seq in places:
                    work.owing.add(seq)
                for work in works:
                    _put_off(work, now, error)
                continue
            blobs = [blob for blob in made.vectors if blob is not None]
            if blobs:
                self._know_dimensions(fits, {len(blob) - SCALE for blob in blobs})
                vectors = iter(unit(unpack(blobs, len(blobs[0]) - SCALE)))
            for number, ((work, seq), blob) in enumerate(zip(places, made.vectors, strict=True)):
                if number in made.refused:
                    work.owing.add(seq)
                    work.set_aside(seq, made.refused[number])
                elif blob is not None:
                    work.vectors[seq] = next(vectors)
                    if number in made.new:
                        work.embedded[made.new[number]] = blob

    def _know_dimensions(self, fits: Sequence[Index], made: set[int]) -> None:
        for index in fits:
            if made != {index.dimensions}:
                self._database.write(partial(self._write_dimensions, index.generation, made))

    def _write_dimensions(self, generation: int, made: set[int], conn: Connection) -> None:
        known = {index.dimensions for index in outbox.indexes(conn, held=True) if index.generation == generation}
        if len(made | known - {None}) > 1:
            raise EmbeddingChanged(
                f"embedder: {self._maker.name!r:.80} gives vectors of {' and '.join(map(str, sorted(made)))} "
                f"dimensions, the index holds {known}; give the embedder another name and call store.reindex()"
            )
        outbox.change_index(conn, generation, dimensions=min(made))

    def _send(self, works: Sequence[Work], fits: Sequence[Index], pace: _Pace, until: int) -> None:
        """Send every document, and wait for the acknowledgement of each."""

        def check() -> None:
            if time.time_ns() // 1_000 + int(pace.seconds * 1_000_000) > until:
                raise IndexUnavailable(
                    f"{self._server.name}: it took longer than the lease; others go on with what is left"
                )

        now = time.time_ns() // 1_000
        with self._server.speaking():
            for generation, routing in [(index.generation, index.routing) for index in fits]:
                target = self._indexes.target(generation)
                places: list[_Place] = []
                of_index = [work for work in works if generation in work.generations]
                operations = self._operations(of_index, routing, now, places)
                refused = self._bulk(target, operations, pace, check)
                for place, reason in refused.items():
                    work, seq = places[place]
                    if not any(one.first_seq == seq and one.leased_until == ASIDE for one in work.delayed):
                        work.set_aside(seq, reason)
                gone = {work.session: work.version for work in of_index if work.owner is None}
                if gone:
                    self._bury(generation, gone, now, pace, check)
                    stones = [
                        bulk.writing(str(one), version, None, tombstone(now, one)) for one, version in gone.items()
                    ]
                    self._bury_under(target, stones, pace, check)

    def _bulk(
        self, target: str, operations: Iterable[bulk.Operation], pace: _Pace, check: Callable[[], None]
    ) -> dict[int, str]:
        """Send operations; why some were refused for good, by their places."""
        client = self._server.client(pace.seconds)
        return bulk.send(client, target, operations, patience=pace.patience, before_each=check, stop=pace.stop)

    def _bury_under(
        self, target: str, stones: Iterable[bulk.Operation], pace: _Pace, check: Callable[[], None]
    ) -> None:
        """Send tombstones of sessions that are gone: all of them, or it is not done.

        Raises:
            IndexUnavailable: where one is refused.
        """
        refused = self._bulk(target, stones, pace, check)
        if refused:
            raise IndexUnavailable(
                f"{self._server.name}: it refuses to delete ({next(iter(refused.values()))}); see the index there"
            )

    def _operations(
        self, works: Sequence[Work], rule: str | None, now: int, places: list[_Place]
    ) -> Iterator[bulk.Operation]:
        """What is to be sent of sessions that are there; ``places`` comes to say what each operation is about."""
        for work in works:
            owner = work.owner
            if owner is None:
                continue
            routing = routing_of(rule, owner.tenant, owner.user_id)
            for seq, source in work.looked_at.items():
                if is_there(source):
                    made = documents(owner, source, work.before[seq], work.metadata.get(seq), self._words)
                    vectors = [work.vectors.get(seq), *[None] * (len(made) - 1)]
                    embedded = seq not in work.owing
                    bodies = [written(one, v, embedded=embedded) for one, v in zip(made, vectors, strict=True)]
                elif source.text:
                    bodies = [tombstone(now)] * count_of(source.text)
                else:
                    continue
                for chunk, body in enumerate(bodies):
                    places.append(_Place(work, seq))
                    yield bulk.writing(id_of(work.session, seq, chunk), work.version, routing, body)

    def bury(self, generation: int, sessions: dict[int, int]) -> None:
        """Put tombstones in the place of every document of sessions that are gone, given with the version of each.

        Raises:
            IndexUnavailable: when the server cannot take it just now.
        """
        with self._server.speaking():
            self._bury(generation, sessions, time.time_ns() // 1_000, self._pace(), lambda: None)

    def _bury(
        self, generation: int, sessions: dict[int, int], now: int, pace: _Pace, check: Callable[[], None]
    ) -> None:
        client = self._server.client(pace.seconds)
        target = self._indexes.target(generation)
        client.indices.refresh(index=target)
        after: list[int] | None = None
        while True:
            found = client.search(
                index=target,
                query={"terms": {"session": list(sessions)}},
                sort=["session", "seq", "chunk"],
                search_after=after,
                size=PAGE,
                source=False,
                track_total_hits=False,
                allow_partial_search_results=False,
            )["hits"]["hits"]
            operations = [
                bulk.writing(hit["_id"], sessions[hit["sort"][0]], hit.get("_routing"), tombstone(now)) for hit in found
            ]
            self._bury_under(target, operations, pace, check)
            if len(found) < PAGE:
                break
            after = found[-1]["sort"]

    def _settle(self, worker: str, works: Sequence[Work], now: int, conn: Connection) -> None:
        """Write down what was acknowledged, for those sessions that nobody else has taken meanwhile."""
        there = {index.generation for index in outbox.indexes(conn)}
        for work in works:
            if outbox.mine(conn, worker, work.claimed):
                self._settle_one(conn, work, there, now)

    def _settle_one(self, conn: Connection, work: Work, there: set[int], now: int) -> None:
        of_one = work.claimed[0].generation
        if work.owner is None:
            profiles.forget(conn, work.session, work.generations)
            embeddings.forget(conn, work.session)
        else:
            removed = {seq: vector for seq, vector in work.vectors.items() if not is_there(work.looked_at[seq])}
            present = {seq: vector for seq, vector in work.vectors.items() if seq not in removed}
            speakers = [
                Speaker(source.speaker, source.role == "tool" and source.author is None)
                for source in work.looked_at.values()
                if is_there(source)
            ]
            for generation in work.generations:
                profiles.settle(conn, work.session, generation, now, present, removed, speakers)
            embeddings.keep(conn, work.tenant, self._maker.name, work.session, work.embedded)
            outbox.forget_aside(conn, work.session, of_one, work.spans)
            outbox.put_back(conn, work.tenant, of_one, work.delayed)
        whole = [one.id for one in work.claimed if work.owner is None or one.reach >= one.last_seq]
        begun = [one for one in work.claimed if one.id not in whole]
        others = [] if of_one is not None else sorted(there.difference(work.generations))
        if others:  # one at most: an index that this worker cannot write to
            outbox.pass_on(conn, whole, others[0])
            outbox.announce(conn, work.tenant, work.session, [(one.first_seq, one.reach) for one in begun], others[0])
        else:
            outbox.finish(conn, whole)
        for one in begun:
            outbox.shorten(conn, one)


def _put_off(work: Work, now: int, error: IndexUnavailable) -> None:
    """Put off the vectors of a work: its words are delivered now, its messages looked at again later."""
    if work.owing:
        attempts = 1 + max(one.attempts for one in work.claimed)
        until = now + int(min(LONGEST_WAIT, REST * 2 ** min(attempts, 10)) * 1_000_000)
        first, last, reason = min(work.owing), max(work.owing), str(error)[:500]
        work.delayed.append(Delayed(work.session, first, last, until, attempts, reason, work.queued_at))
