"""Whether the index holds exactly what is stored, and how to mend it where it does not.

Two streams in the same order, messages and documents, are compared page by page; neither is ever held whole. What
differs is looked at once more, by itself, since both go on changing meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, func, select

from agent_session_core.models import IndexReport
from agent_session_core.search import changes
from agent_session_core.search.elastic import outbox
from agent_session_core.search.elastic.documents import documents, id_of
from agent_session_core.search.elastic.indexes import Indexes, answering
from agent_session_core.search.elastic.routing import routing_of
from agent_session_core.search.elastic.work import Work, is_there, owner_of, read
from agent_session_core.search.tasks import merged
from agent_session_core.sql.tables import messages, sessions

if TYPE_CHECKING:
    from agent_session_core.search.elastic.client import Server
    from agent_session_core.search.elastic.documents import Owner
    from agent_session_core.search.elastic.outbox import Index
    from agent_session_core.search.words import Words
    from agent_session_core.sql.engine import Database

__all__ = ["Verifier", "mend"]

SAMPLE = 20
"""Differences that a report names."""
PAGE = 2_000
"""Documents, and messages, that are compared at a time."""
SUSPECTS = 200
"""Differences that are looked at again at a time."""
SECONDS = 60.0
"""Seconds that a request may take."""
KEEP_ALIVE = "10m"
_COLUMNS: Any = ["checksum", "embedded", "user"]
_ORDER: Any = ["session", "seq", "chunk"]  # fields by their names, which the client's types do not know

Key = tuple[int, int]
"""A session's internal id and a seq."""
_END = (1 << 62, 0)


class _Held(NamedTuple):
    """A message on either side: the checksum of each of its documents, by chunk.

    Attributes:
        whole: whether its vector is there too, where it has one.
        routing: where its documents are kept.
    """

    checksums: dict[int, int]
    whole: bool
    routing: str | None


class Difference(NamedTuple):
    """A message that stands otherwise in the index than in the database."""

    session: int
    session_id: str
    seq: int
    kind: str


class Verifier:
    """Compares the index of a tenant with its messages.

    Args:
        database: where the messages are.
        server: where the index is.
        indexes: the indexes there.
        words: the tokenizer that the documents were made with.
    """

    def __init__(self, database: Database, server: Server, indexes: Indexes, words: Words) -> None:
        self._database = database
        self._server = server
        self._indexes = indexes
        self._words = words

    def report(self, tenant: str) -> IndexReport:
        """How store and index compare; sessions with pending changes are left out.

        Raises:
            IndexUnavailable: when the server cannot answer just now, or the index is missing there.
        """
        kinds: Counter[str] = Counter()
        sample: list[tuple[str, int, str]] = []
        for difference in self.differences(tenant):
            kinds[difference.kind] += 1
            if len(sample) < SAMPLE:
                sample.append((difference.session_id, difference.seq, difference.kind))
        pending, rejected = self._database.read(partial(changes.counts, tenant=tenant))
        return IndexReport(
            missing=kinds["missing"],
            stale=kinds["stale"],
            orphaned=kinds["orphaned"],
            rejected=rejected,
            pending=pending,
            sample=tuple(sample),
        )

    def differences(self, tenant: str) -> Iterator[Difference]:
        """Every message that differs, and goes on differing when it is looked at again."""
        index = answering(self._database.read(outbox.indexes))
        if index is None:
            return
        suspects = self._suspects(tenant, index)
        while some := list(islice(suspects, SUSPECTS)):
            yield from self._confirmed(tenant, index, some)

    def _suspects(self, tenant: str, index: Index) -> Iterator[tuple[Key, _Held | None]]:
        """What differs at first sight, with what the index holds of it."""
        indexed, stored = self._indexed(tenant, index), self._stored(tenant, index.routing)
        theirs, ours = next(indexed, None), next(stored, None)
        while theirs is not None or ours is not None:
            key = min(_END if theirs is None else theirs[0], _END if ours is None else ours[0])
            held = theirs[1] if theirs is not None and theirs[0] == key else None
            wanted = ours[1] if ours is not None and ours[0] == key else None
            if held != wanted:
                yield key, held
            if held is not None:
                theirs = next(indexed, None)
            if wanted is not None:
                ours = next(stored, None)

    def _indexed(self, tenant: str, index: Index) -> Iterator[tuple[Key, _Held]]:
        """The messages of the index, in order, as they were when this began."""
        documents_of = self._documents(tenant, self._indexes.target(index.generation))
        for key, chunks in groupby(documents_of, key=lambda hit: (hit["sort"][0], hit["sort"][1])):
            checksums, whole, user = {}, True, None
            for hit in chunks:
                fields = hit["fields"]
                checksums[hit["sort"][2]] = fields["checksum"][0]
                whole = whole and fields["embedded"][0]
                user = fields.get("user", [None])[0]
            yield key, _Held(checksums, whole, routing_of(index.routing, tenant, user))

    def _documents(self, tenant: str, target: str) -> Iterator[dict[str, Any]]:
        with self._server.speaking():
            client = self._server.client(SECONDS)
            client.indices.refresh(index=target)
            point = client.open_point_in_time(index=target, keep_alive=KEEP_ALIVE)["id"]
        after = None
        try:
            while True:
                with self._server.speaking():
                    answer = client.search(
                        pit={"id": point, "keep_alive": KEEP_ALIVE},
                        query={"term": {"tenant": tenant}},
                        sort=_ORDER,
                        search_after=after,
                        size=PAGE,
                        stored_fields="_none_",
                        docvalue_fields=_COLUMNS,
                        track_total_hits=False,
                        allow_partial_search_results=False,
                    )
                point, hits = answer["pit_id"], answer["hits"]["hits"]
                yield from hits
                if len(hits) < PAGE:
                    return
                after = hits[-1]["sort"]
        finally:
            with self._server.speaking():
                client.close_point_in_time(id=point)

    def _stored(self, tenant: str, rule: str | None) -> Iterator[tuple[Key, _Held]]:
        """The messages of the database that are to be in the index, in order."""
        session = 0
        while some := self._database.read(partial(changes.sessions_after, tenant=tenant, session=session)):
            for session, _ in some:
                first = 1
                while first:
                    page = partial(self._page, tenant, rule, session, first)
                    held, first = self._database.read(page, snapshot=True)
                    yield from (((session, seq), one) for seq, one in held.items())

    def _page(
        self, tenant: str, rule: str | None, session: int, first: int, conn: Connection
    ) -> tuple[dict[int, _Held], int]:
        """Some messages of a session from one on, and where the next ones begin, 0 where there are none."""
        wanted = select(messages.c.seq).where(messages.c.session == session, messages.c.seq >= first)
        last = conn.execute(wanted.order_by(messages.c.seq).offset(PAGE - 1).limit(1)).scalar()
        end = conn.execute(select(func.max(messages.c.seq)).where(messages.c.session == session)).scalar() or 0
        held = self._wanted(conn, tenant, rule, session, [(first, end if last is None else last)])
        return held, 0 if last is None or last == end else last + 1

    def _wanted(
        self, conn: Connection, tenant: str, rule: str | None, session: int, spans: Iterable[tuple[int, int]]
    ) -> dict[int, _Held]:
        """What the index should hold of some messages."""
        owner = owner_of(conn, tenant, session)
        if owner is None:
            return {}
        held = {}
        routing = routing_of(rule, tenant, owner.user_id)
        for first, last in spans:
            work = Work([], [])
            read(conn, work, session, first, last)
            for seq, source in work.looked_at.items():
                if seq <= last and is_there(source):
                    checksums = self._checksums(owner, work, seq)
                    held[seq] = _Held(checksums, True, routing)
        return held

    def _checksums(self, owner: Owner, work: Work, seq: int) -> dict[int, int]:
        made = documents(owner, work.looked_at[seq], work.before[seq], work.metadata.get(seq), self._words)
        return {document["chunk"]: document["checksum"] for document in made}

    def _confirmed(
        self, tenant: str, index: Index, suspects: Sequence[tuple[Key, _Held | None]]
    ) -> Iterator[Difference]:
        """Those that differ still, and nothing that is pending accounts for it."""
        keys = [key for key, _ in suspects]
        expected = partial(self._expected, tenant, index.routing, keys)
        before = self._database.read(expected, snapshot=True)
        target = self._indexes.target(index.generation)
        found = self._look_up(target, {key: (held, before[key][1]) for key, held in suspects})
        after = self._database.read(expected, snapshot=True)
        for key in keys:
            session_id, wanted, settled = after[key]
            held = found.get(key)
            if settled and before[key] == after[key] and held != wanted:
                kind = "missing" if held is None else "orphaned" if wanted is None else "stale"
                yield Difference(key[0], session_id, key[1], kind)

    def _expected(
        self, tenant: str, rule: str | None, keys: Sequence[Key], conn: Connection
    ) -> dict[Key, tuple[str, _Held | None, bool]]:
        """Of each message its session's id, what the index should hold, and whether nothing of it is pending."""
        told = {}
        for session, of_session in groupby(keys, key=lambda key: key[0]):
            seqs = [seq for _, seq in of_session]
            name = _name(conn, tenant, session)
            pending = bool(changes.changes(conn, tenant, session, 1))
            aside = changes.aside_of(conn, tenant, session)
            held = self._wanted(conn, tenant, rule, session, [(seq, seq) for seq in seqs])
            for seq in seqs:
                told[session, seq] = (name, held.get(seq), not pending and seq not in aside)
        return told

    def _look_up(self, target: str, wanted: dict[Key, tuple[_Held | None, _Held | None]]) -> dict[Key, _Held]:
        """What the index holds of some messages just now, as it was written, searchable or not."""
        asked = []
        for (session, seq), sides in wanted.items():
            routing = {side.routing for side in sides if side is not None}
            chunks = {chunk for side in sides if side is not None for chunk in side.checksums}
            for chunk in sorted(chunks):
                one: dict[str, Any] = {"_id": id_of(session, seq, chunk), "_source": ["checksum", "embedded", "chunk"]}
                asked += [((session, seq), one | ({} if where is None else {"routing": where})) for where in routing]
        found: dict[Key, _Held] = {}
        with self._server.speaking():
            client = self._server.client(SECONDS)
            for start in range(0, len(asked), PAGE):
                some = asked[start : start + PAGE]
                answer = client.mget(index=target, docs=[one for _, one in some])
                for (key, one), document in zip(some, answer["docs"], strict=True):
                    source = document.get("_source") or {}
                    if "checksum" in source:
                        held = found.setdefault(key, _Held({}, True, one.get("routing")))
                        held.checksums[source["chunk"]] = source["checksum"]
                        found[key] = held._replace(whole=held.whole and source["embedded"])
        return found


def _name(conn: Connection, tenant: str, session: int) -> str:
    """What callers know a session by; one that is gone, by its internal id."""
    wanted = select(sessions.c.session_id).where(sessions.c.id == session, sessions.c.tenant == tenant)
    return conn.execute(wanted).scalar() or f"session {session}, which is gone"


def mend(database: Database, verifier: Verifier, tenant: str) -> None:
    """Have what differs looked at again, and what was set aside tried again; the next delivery does it."""
    differences = verifier.differences(tenant)
    while some := list(islice(differences, SUSPECTS)):
        database.write(partial(_announce, tenant, some))
    database.write(partial(changes.try_again, tenant=tenant))


def _announce(tenant: str, differences: Sequence[Difference], conn: Connection) -> None:
    for session, of_session in groupby(differences, key=lambda difference: difference.session):
        outbox.announce(conn, tenant, session, merged((one.seq, one.seq) for one in of_session))
