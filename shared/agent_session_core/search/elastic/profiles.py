"""What a search must know of its scope before it asks: who speaks in it, and what an average message of it means.

Each session has the sum of its messages' vectors and a bit for each message that is in the sum, changed in the
transaction that takes its changes out of the outbox: whatever is delivered twice, late or never counts once or not.
Sums add up to the sum of any scope.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import Connection, delete, insert, select, update

from agent_session_core.search.query import Speakers
from agent_session_core.sql.tables import elastic_sessions, sessions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from agent_session_core.ports import Vectors
    from agent_session_core.search.words import Words

__all__ = ["Counted", "Profile", "Profiles", "Speaker", "counted", "expect", "forget", "forget_generation", "settle"]

MOST_SESSIONS = 2_000
"""Sessions of a scope, those that changed last, whose vectors make its average."""
MOST_SCOPES = 32
"""Scopes that are remembered."""

_e = elastic_sessions.c


class Speaker(NamedTuple):
    """Somebody who speaks; a tool is never named by a question."""

    name: str
    is_tool: bool


class Counted:
    """Which messages of a session are in its sum: a bit for each seq."""

    def __init__(self, held: bytes = b"") -> None:
        self._bits = int.from_bytes(held, "little")

    def __contains__(self, seq: int) -> bool:
        return bool(self._bits >> seq & 1)

    def add(self, seq: int) -> None:
        """Put one in."""
        self._bits |= 1 << seq

    def remove(self, seq: int) -> None:
        """Take one out."""
        self._bits &= ~(1 << seq)

    def __bytes__(self) -> bytes:
        return self._bits.to_bytes((self._bits.bit_length() + 7) // 8, "little")


def expect(conn: Connection, tenant: str, session: int, generations: Iterable[int]) -> None:
    """Write down that something of a session, if it is there, is about to come to these indexes."""
    there = set(conn.execute(select(_e.generation).where(_e.session == session)).scalars())
    missing = [generation for generation in generations if generation not in there]
    if missing:
        owner = select(sessions.c.user_id).where(sessions.c.id == session, sessions.c.tenant == tenant)
        row = conn.execute(owner).one_or_none()
        if row is not None:
            of_session = {"session": session, "tenant": tenant, "user_id": row.user_id}
            empty = {"mark": 0, "speakers": "[]", "vectors": 0, "counted": b""}
            conn.execute(insert(elastic_sessions), [of_session | empty | {"generation": one} for one in missing])


def counted(conn: Connection, session: int, generation: int) -> Counted:
    """Which messages of a session are in its sum."""
    held = conn.execute(select(_e.counted).where(_e.session == session, _e.generation == generation)).scalar()
    return Counted(held or b"")


def settle(
    conn: Connection,
    session: int,
    generation: int,
    now: int,
    there: Mapping[int, Vectors | None],
    gone: Mapping[int, Vectors],
    speakers: Iterable[Speaker],
) -> None:
    """Bring a session's sum up to what was delivered.

    Args:
        conn: the transaction that takes the changes out of the outbox.
        session: the session.
        generation: the index.
        now: the time, in microseconds.
        there: the vector of each message that is there now; None where it has none.
        gone: the vector of each message that was taken away, as far as it had been counted.
        speakers: who speaks in the messages.
    """
    here = (_e.session == session) & (_e.generation == generation)
    wanted = select(_e.mark, _e.speakers, _e.vectors, _e.vector_sum, _e.counted).where(here).with_for_update()
    row = conn.execute(wanted).one_or_none()
    if row is None:
        return  # erased meanwhile
    bits = Counted(row.counted)
    vectors, total = (
        row.vectors,
        np.float64(0) if row.vector_sum is None else np.frombuffer(row.vector_sum, dtype="<f8"),
    )
    for seq, vector in there.items():
        if vector is not None and seq not in bits:
            bits.add(seq)
            total, vectors = total + vector, vectors + 1
    for seq, vector in gone.items():
        if seq in bits:
            bits.remove(seq)
            total, vectors = total - vector, vectors - 1
    known = [Speaker(*one) for one in json.loads(row.speakers)]
    everybody = list(dict.fromkeys([*known, *speakers]))
    conn.execute(
        update(elastic_sessions)
        .where(here)
        .values(
            mark=max(row.mark + 1, now),
            speakers=row.speakers if everybody == known else json.dumps(everybody),
            vectors=vectors,
            vector_sum=total.astype("<f8").tobytes() if vectors else None,
            counted=bytes(bits),
        )
    )


def forget(conn: Connection, session: int, generations: Sequence[int]) -> None:
    """Forget a session that is gone from these indexes."""
    conn.execute(delete(elastic_sessions).where(_e.session == session, _e.generation.in_(generations)))


def forget_generation(conn: Connection, generation: int) -> None:
    """Forget all that an index held."""
    conn.execute(delete(elastic_sessions).where(_e.generation == generation))


class Profile(NamedTuple):
    """A scope.

    Attributes:
        mean: the mean vector of its messages; None where none has a vector.
        speakers: everybody who speaks in it.
    """

    mean: NDArray[np.float32] | None
    speakers: Speakers


class _Session(NamedTuple):
    mark: int
    speakers: list[Speaker]
    vectors: int
    vector_sum: NDArray[np.float64] | None


class Profiles:
    """Knows scopes, and reads only what of them has changed. May be used from several threads.

    Args:
        words: the tokenizer, for names.
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[int, str, str | None], tuple[dict[int, _Session], Profile]] = OrderedDict()

    def of(self, conn: Connection, generation: int, tenant: str, user_id: str | None) -> Profile:
        """The profile of a scope, as it stands."""
        here = (_e.generation == generation) & (_e.tenant == tenant)
        if user_id is not None:
            here = here & (_e.user_id == user_id)
        newest = select(_e.session, _e.mark).where(here).order_by(_e.mark.desc()).limit(MOST_SESSIONS)
        marks: dict[int, int] = {row.session: row.mark for row in conn.execute(newest)}
        key = (generation, tenant, user_id)
        with self._lock:
            sessions, profile = self._known.get(key, ({}, None))
        if profile is None or {session: one.mark for session, one in sessions.items()} != marks:
            changed = [s for s, mark in marks.items() if s not in sessions or sessions[s].mark != mark]
            sessions = {session: sessions[session] for session in marks if session in sessions}
            for start in range(0, len(changed), 500):
                sessions |= _read(conn, generation, changed[start : start + 500])
            profile = self._made(sessions)
            with self._lock:
                self._known[key] = sessions, profile
                self._known.move_to_end(key)
                while len(self._known) > MOST_SCOPES:
                    self._known.popitem(last=False)
        return profile

    def _made(self, known: Mapping[int, _Session]) -> Profile:
        speakers = Speakers(self._words)
        for name, is_tool in dict.fromkeys(speaker for session in known.values() for speaker in session.speakers):
            speakers.number(name, tool=is_tool)
        sums = [session.vector_sum for session in known.values() if session.vector_sum is not None]
        count = sum(session.vectors for session in known.values())
        mean = (np.sum(sums, axis=0) / count).astype(np.float32) if count else None
        return Profile(mean, speakers)


def _read(conn: Connection, generation: int, sessions: Sequence[int]) -> dict[int, _Session]:
    columns = (_e.session, _e.mark, _e.speakers, _e.vectors, _e.vector_sum)
    rows = conn.execute(select(*columns).where(_e.generation == generation, _e.session.in_(sessions)))
    return {
        session: _Session(
            mark,
            [Speaker(*one) for one in json.loads(speakers)],
            vectors,
            None if held is None else np.frombuffer(held, dtype="<f8"),
        )
        for session, mark, speakers, vectors, held in rows
    }
