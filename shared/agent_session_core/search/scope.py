"""What one search looks through, in memory: the entries of a scope.

A :class:`Scope` is one moment's view and never changes. A later view shares its arrays as long as it only adds to them;
whatever else changes in a session makes a view without it, with arrays of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agent_session_core.models import ROLES
from agent_session_core.search.arrays import Arrays, Sizes
from agent_session_core.search.query import Speakers
from agent_session_core.search.rows import speaker_of
from agent_session_core.search.vectors import unpack

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from agent_session_core.search.statements import IndexRow
    from agent_session_core.search.words import Words

__all__ = ["NOBODY", "Addition", "Mark", "Scope", "empty_scope"]

NOBODY = -1
"""The number in ``author`` where a message has none."""


class Mark(NamedTuple):
    """How far a session is known: the last seq looked at, and its epoch."""

    last_seq: int
    epoch: int


class Addition(NamedTuple):
    """What is to be added of a session: its rows after the mark that is known, and the mark then reached."""

    session: int
    mark: Mark
    rows: Sequence[IndexRow]


@dataclass(frozen=True)
class Scope:
    """The entries of a scope.

    Attributes:
        words: the tokenizer of the index.
        arrays: the columns, of which this view knows a beginning.
        sizes: how much of them it knows.
        speakers: everybody who speaks in it.
        marks: how far each session is known, by its internal id.
        sessions: the internal id of each session, by its number here.
        vector_sum: the sum of the vectors.
        vectors: how many messages have one.
    """

    words: Words
    arrays: Arrays
    speakers: Speakers
    vector_sum: NDArray[np.float64]
    sizes: Sizes = (0, 0, 0)
    marks: Mapping[int, Mark] = field(default_factory=dict)
    sessions: tuple[int, ...] = ()
    vectors: int = 0

    def __len__(self) -> int:
        return self.sizes[0]

    @property
    def dimensions(self) -> int:
        """Of the vectors; 0 where there are none."""
        return len(self.vector_sum)

    def message(self, column: str) -> NDArray[Any]:
        """A column of the messages.

        ``id`` (session << 32 | seq), ``session`` (its number), ``role`` (its place in ROLES), ``author`` and
        ``speaker`` (numbers in ``speakers``), ``created_at``, ``digest``, ``first_row`` (the place of its first scored
        row), ``meant`` (whether it has a vector) and ``vector``.
        """
        return self.arrays.messages.arrays[column][: self.sizes[0]]

    def row(self, column: str) -> NDArray[Any]:
        """A column of the rows that are scored: ``length`` in words."""
        return self.arrays.rows.arrays[column][: self.sizes[1]]

    def word(self, column: str) -> NDArray[Any]:
        """A column of the rows' distinct words: ``stem``, ``row`` (its place) and ``weight`` (the weighted count)."""
        return self.arrays.words.arrays[column][: self.sizes[2]]

    def extended(self, additions: Sequence[Addition]) -> Scope:
        """This view and what has come since."""
        numbers = {session: number for number, session in enumerate(self.sessions)}
        for addition in additions:
            numbers.setdefault(addition.session, len(numbers))
        rows = [row for addition in additions for row in addition.rows]
        of = [numbers[addition.session] for addition in additions for _ in addition.rows]
        view = replace(
            self,
            marks={**self.marks, **{addition.session: addition.mark for addition in additions}},
            sessions=tuple(numbers),
        )
        if not rows:
            return view
        with self.arrays.lock:
            shared = self.arrays.sizes == self.sizes
            arrays = self.arrays if shared else self.arrays.beginning(self.sizes)  # another view grew first
            vectors = _append(arrays, self.speakers, rows, of)
        return replace(
            view,
            arrays=arrays,
            sizes=arrays.sizes,
            vector_sum=self.vector_sum + vectors.sum(axis=0, dtype=np.float64),
            vectors=self.vectors + len(vectors),
        )

    def without(self, sessions: Collection[int]) -> Scope:
        """This view but for some sessions, in arrays of its own."""
        kept = np.array([session not in sessions for session in self.sessions], dtype=np.bool_)
        messages = kept[self.message("session")]
        rows = np.repeat(messages, np.diff(self.message("first_row"), append=self.sizes[1]))
        words = rows[self.word("row")]
        place = np.cumsum(rows) - 1  # of each row that is kept
        told = {name: self.message(name)[messages] for name in self.arrays.messages.arrays}
        told["session"] = (np.cumsum(kept) - 1)[told["session"]]
        told["first_row"] = place[told["first_row"]]
        speakers = Speakers(self.words)
        for column in ("speaker", "author"):
            told[column] = _renumbered(told[column], self.speakers, speakers)
        said = {name: self.word(name)[words] for name in self.arrays.words.arrays}
        said["row"] = place[said["row"]]
        arrays = Arrays(self.dimensions)
        arrays.messages.append(told)
        arrays.rows.append({"length": self.row("length")[rows]})
        arrays.words.append(said)
        return Scope(
            self.words,
            arrays,
            speakers,
            vector_sum=told["vector"].sum(axis=0, dtype=np.float64),
            sizes=arrays.sizes,
            marks={session: mark for session, mark in self.marks.items() if session not in sessions},
            sessions=tuple(session for session in self.sessions if session not in sessions),
            vectors=int(told["meant"].sum()),
        )


def empty_scope(words: Words, dimensions: int) -> Scope:
    """A scope of nothing, to be extended."""
    return Scope(words, Arrays(dimensions), Speakers(words), np.zeros(dimensions, dtype=np.float64))


def _append(arrays: Arrays, speakers: Speakers, rows: Sequence[IndexRow], of: Sequence[int]) -> NDArray[np.float32]:
    """Add ``rows`` of the sessions with the numbers ``of``; their vectors, of those that have one."""
    keys, blobs, chunks, stems, weights, roles, names, authors, times, digests = zip(*rows, strict=True)
    scored = arrays.rows.used
    heads = np.frombuffer(b"".join(chunks), dtype="<u2").reshape(-1, 2)
    counts = np.array(list(map(len, chunks))) // 4
    dimensions = arrays.messages.arrays["vector"].shape[1]
    meant = np.array([blob is not None for blob in blobs], dtype=np.bool_)
    known = unpack([blob for blob in blobs if blob is not None], dimensions)
    vectors = known
    if len(known) < len(rows):
        vectors = np.zeros((len(rows), dimensions), dtype=np.float32)
        vectors[meant] = known
    said_by = list(zip(roles, names, authors, strict=True))
    speaker = {who: _speaker(speakers, *who) for who in dict.fromkeys(said_by)}
    author = {name: NOBODY if name is None else speakers.number(name) for name in dict.fromkeys(authors)}
    arrays.messages.append(
        {
            "id": np.array(keys, dtype=np.int64),
            "session": np.array(of, dtype=np.int32),
            "role": np.array(roles, dtype=np.int8),
            "author": np.array([author[name] for name in authors], dtype=np.int32),
            "speaker": np.array([speaker[who] for who in said_by], dtype=np.int32),
            "created_at": np.array(times, dtype=np.int64),
            "digest": np.array(digests, dtype=np.int64),
            "first_row": scored + np.cumsum(counts) - counts,
            "meant": meant,
            "vector": vectors,
        }
    )
    arrays.rows.append({"length": heads[:, 1]})
    arrays.words.append(
        {
            "stem": np.frombuffer(b"".join(stems), dtype="<u4"),
            "row": np.repeat(np.arange(scored, scored + len(heads), dtype=np.int32), heads[:, 0]),
            "weight": np.frombuffer(b"".join(weights), dtype="<u2"),
        }
    )
    return known


def _speaker(speakers: Speakers, role: int, name: str | None, author: str | None) -> int:
    is_tool = ROLES[role] == "tool" and author is None
    return speakers.number(speaker_of(ROLES[role], name, author), tool=is_tool)


def _renumbered(numbers: NDArray[Any], old: Speakers, new: Speakers) -> NDArray[np.int32]:
    """The numbers of the same speakers among others, who are made known where they are not."""
    mapping = np.full(len(old.names) + 1, NOBODY, dtype=np.int32)  # the last stands for NOBODY, which is -1
    for number in np.unique(numbers[numbers != NOBODY]):
        mapping[number] = new.number(old.names[number], tool=old.is_tool(number))
    renumbered: NDArray[np.int32] = mapping[numbers]
    return renumbered
