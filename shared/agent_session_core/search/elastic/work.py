"""What a worker does for one session: which messages it looks at, and which documents come of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from agent_session_core.search import changes
from agent_session_core.search.elastic import profiles
from agent_session_core.search.elastic.documents import Owner
from agent_session_core.search.tasks import merged
from agent_session_core.sql.tables import ATTACHED, REMOVED, messages, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_session_core.ports import Vectors
    from agent_session_core.search.elastic.outbox import Claimed
    from agent_session_core.search.entries import Source

__all__ = ["Work", "is_there", "load", "owner_of", "read"]


@dataclass
class Work:
    """Changes of one session that are owed to the same indexes, and what they come to.

    Attributes:
        claimed: the changes, oldest first.
        generations: the indexes that get them from this worker.
        owner: the session; None where it is gone.
        spans: first and last seq of each stretch of messages to look at.
        looked_at: the messages to look at, by seq: those that changed, and those that one of them stands before.
        before: for each of them the texts of the two messages before it, nearest first.
        metadata: their metadata as JSON text, of those that have any.
        counted: by index, which messages have their vectors in the session's sum.
        vectors: the vector of each message that has one, by seq.
        owing: seqs of messages that should have a vector and have none.
        delayed: what must be looked at again later.
        embedded: vectors that were made just now, by the digests of their texts.
    """

    claimed: list[Claimed]
    generations: list[int]
    owner: Owner | None = None
    spans: list[tuple[int, int]] = field(default_factory=list)
    looked_at: dict[int, Source] = field(default_factory=dict)
    before: dict[int, list[str]] = field(default_factory=dict)
    metadata: dict[int, str] = field(default_factory=dict)
    counted: dict[int, profiles.Counted] = field(default_factory=dict)
    vectors: dict[int, Vectors] = field(default_factory=dict)
    owing: set[int] = field(default_factory=set)
    delayed: list[changes.Delayed] = field(default_factory=list)
    embedded: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def session(self) -> int:
        """The session's internal id."""
        return self.claimed[0].session

    @property
    def tenant(self) -> str:
        """The session's tenant."""
        return self.claimed[0].tenant

    @property
    def version(self) -> int:
        """The version of the documents: what was read holds every change up to this one."""
        return self.claimed[-1].id

    @property
    def queued_at(self) -> int:
        """When the first of its changes came, in microseconds."""
        return min(one.queued_at for one in self.claimed)

    @property
    def size(self) -> int:
        """How many messages its changes are about."""
        return sum(last - first + 1 for first, last in self.spans)

    def set_aside(self, seq: int, reason: str) -> None:
        """Have a message not tried again by itself."""
        self.delayed.append(changes.Delayed(self.session, seq, seq, changes.ASIDE, 1, reason, self.queued_at))

    def to_embed(self) -> list[int]:
        """The seqs whose vectors are needed: of what is there, and of what was counted and is gone."""
        return [seq for seq, source in self.looked_at.items() if is_there(source) or self.is_counted(seq)]

    def is_counted(self, seq: int) -> bool:
        """Whether a message's vector is in the sum of some index."""
        return any(seq in counted for counted in self.counted.values())


def is_there(source: Source) -> bool:
    """Whether a message is to be found."""
    return source.state != REMOVED and source.text != ""


def load(conn: Connection, claimed: Sequence[Claimed], fits: Sequence[int]) -> list[Work]:
    """The work that changes come to, on a snapshot of the database."""
    parts: dict[tuple[int, int | None], Work] = {}
    for one in claimed:
        generations = list(fits) if one.generation is None else [one.generation]
        parts.setdefault((one.session, one.generation), Work([], generations)).claimed.append(one)
    for work in parts.values():
        work.owner = owner_of(conn, work.tenant, work.session)
        work.spans = merged((one.first_seq, one.reach) for one in work.claimed)
        if work.owner is not None:
            for first, last in work.spans:
                read(conn, work, work.session, first, last)
            work.counted = {one: profiles.counted(conn, work.session, one) for one in work.generations}
    return list(parts.values())


def read(conn: Connection, work: Work, session: int, first: int, last: int) -> None:
    """Read a stretch into ``work``, and the two messages after it: what stands before them has changed."""
    near: list[Source] = []  # the two messages before, nearest first
    sources = changes.sources(conn, session, first, last, after=True)
    for source in sources:
        spoken = source.state != ATTACHED
        if source.seq >= first:
            work.looked_at[source.seq] = source
            work.before[source.seq] = [other.text for other in near if other.run == source.run and spoken]
        if is_there(source) and spoken:
            near = [source, *near[:1]]
    end = max([last, *(source.seq for source in sources)])
    columns: tuple[Any, ...] = (messages.c.seq, messages.c.metadata)
    held = select(*columns).where(messages.c.session == session, messages.c.seq.between(first, end))
    rows = conn.execute(held.where(messages.c.metadata.is_not(None)))
    work.metadata |= {row.seq: row.metadata for row in rows}


def owner_of(conn: Connection, tenant: str, session: int) -> Owner | None:
    """What documents say of a session; None where it is gone."""
    columns = (sessions.c.user_id, sessions.c.status)
    row = conn.execute(select(*columns).where(sessions.c.id == session, sessions.c.tenant == tenant)).one_or_none()
    return None if row is None else Owner(session, tenant, row.user_id, row.status == "archived")
