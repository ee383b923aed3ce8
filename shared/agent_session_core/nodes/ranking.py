"""Ranking the nodes of one collection: by vector, by words, by both, or for variety. Arrays in, scores out.

Scores mean the same in every call: nothing is normalised by the best hit, and a filter changes which nodes are ranked,
never their scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent_session_core._checks import one_of, shown, whole
from agent_session_core.errors import InvalidInput
from agent_session_core.sql.nodes import ScanRow

__all__ = ["NodeArrays", "NodeMode", "Question", "best", "by_vector", "by_words", "ranked", "varied"]

NodeMode: TypeAlias = Literal["vector", "words", "hybrid", "varied"]
MODES: tuple[NodeMode, ...] = ("vector", "words", "hybrid", "varied")

K1, B = 1.2, 0.75
"""The constants of BM25: how soon a repeated word stops counting, and how much a long text is held back."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeArrays:
    """The nodes of a collection as arrays, in the order of their storing.

    Attributes:
        ids: int64 (nodes,): the rows, ascending.
        vectors: float32 (nodes, dimensions), of unit length.
        stems: uint32 (terms,): the distinct stems of all nodes, one node after another.
        counts: float32 (terms,): how often each stands in its node.
        owners: int64 (terms,): the position of its node.
        lengths: float32 (nodes,): words in each node.
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    stems: NDArray[np.uint32]
    counts: NDArray[np.float32]
    owners: NDArray[np.int64]
    lengths: NDArray[np.float32]

    @classmethod
    def of(cls, rows: Sequence[ScanRow], dimensions: int) -> NodeArrays:
        """The arrays of ``rows``."""
        sizes = [len(row.stems) // 4 for row in rows]
        owners = np.repeat(np.arange(len(rows)), sizes)
        counts = np.frombuffer(b"".join([row.counts for row in rows]), "<u2").astype(np.float32)
        return cls(
            ids=np.array([row.id for row in rows], np.int64),
            vectors=np.frombuffer(b"".join([row.vector for row in rows]), "<f4").reshape(len(rows), dimensions),
            stems=np.frombuffer(b"".join([row.stems for row in rows]), "<u4"),
            counts=counts,
            owners=owners,
            lengths=np.bincount(owners, counts, len(rows)).astype(np.float32),
        )

    def followed_by(self, more: NodeArrays) -> NodeArrays:
        """These nodes, then ``more``."""
        return NodeArrays(
            ids=np.concatenate([self.ids, more.ids]),
            vectors=np.concatenate([self.vectors, more.vectors]),
            stems=np.concatenate([self.stems, more.stems]),
            counts=np.concatenate([self.counts, more.counts]),
            owners=np.concatenate([self.owners, more.owners + len(self.ids)]),
            lengths=np.concatenate([self.lengths, more.lengths]),
        )

    @property
    def last(self) -> int:
        """The newest row."""
        return int(self.ids[-1])

    def up_to(self, row: int) -> NodeArrays:
        """The nodes up to ``row``, as views of these arrays."""
        size = int(np.searchsorted(self.ids, row, "right"))
        terms = int(np.searchsorted(self.owners, size))
        return NodeArrays(
            ids=self.ids[:size],
            vectors=self.vectors[:size],
            stems=self.stems[:terms],
            counts=self.counts[:terms],
            owners=self.owners[:terms],
            lengths=self.lengths[:size],
        )

    def positions(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Where the rows ``ids`` stand, all of which are here."""
        return np.searchsorted(self.ids, np.array(ids, np.int64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What is asked of a collection.

    Attributes:
        mode: what to rank by.
        vector: float32 (dimensions,), of unit length.
        stems: the question's stems.
        k: how many nodes are wanted.
        alpha: the weight of the vector in ``hybrid``, 0-1.
        threshold: the weight of the question in ``varied``, 0-1.

    Raises:
        InvalidInput: when a part is missing that the mode needs, or out of range.
    """

    mode: NodeMode
    vector: NDArray[np.float32] | None
    stems: Sequence[int] | None
    k: int
    alpha: float
    threshold: float

    def __post_init__(self) -> None:
        one_of(self.mode, "mode", MODES)
        whole(self.k, "k")
        for name, value in (("alpha", self.alpha), ("threshold", self.threshold)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InvalidInput(f"{name}: {shown(value)} is out of range; give 0 to 1")
        if self.vector is None and self.mode in ("vector", "varied", "hybrid"):
            raise InvalidInput(f"vector: the mode {self.mode} needs the question's embedding; give it, or use words")
        if self.stems is None and self.mode in ("words", "hybrid"):
            raise InvalidInput(f"text: the mode {self.mode} needs the question's text; give it, or use vector")


def ranked(arrays: NodeArrays, question: Question, among: NDArray[np.int64] | None) -> list[tuple[int, float]]:
    """The best rows and their scores, best first; only those at the positions ``among``, where given."""
    scores, worthy = _scores(arrays, question)
    where = np.flatnonzero(worthy) if among is None else among[worthy[among]]
    if question.mode == "varied":
        order = varied(arrays.vectors[where], scores[where], question.k, question.threshold)
    else:
        order = best(scores[where], question.k)
    return [(int(arrays.ids[place]), float(scores[place])) for place in where[order]]


def _scores(arrays: NodeArrays, question: Question) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The score of every node, and which nodes may be found at all."""
    cosines = None if question.vector is None else by_vector(arrays, question.vector)
    shares = None if question.stems is None else by_words(arrays, question.stems)
    if question.mode == "words" and shares is not None:
        return shares, shares > 0
    every = np.ones(len(arrays.ids), np.bool_)
    assert cosines is not None  # noqa: S101  # the question has been checked
    if question.mode == "hybrid" and shares is not None:
        return np.float32(question.alpha) * cosines + np.float32(1 - question.alpha) * shares, every
    return cosines, every


def by_vector(arrays: NodeArrays, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine of each node's vector with ``vector`` (of unit length): -1 to 1."""
    cosines: NDArray[np.float32] = np.clip(arrays.vectors @ vector, -1, 1)
    return cosines


def by_words(arrays: NodeArrays, stems: Sequence[int]) -> NDArray[np.float32]:
    """BM25 of each node, as a share (0-1) of the most that these words could earn; 0 where none of them stands."""
    asked, times = np.unique(np.array(stems, np.uint32), return_counts=True)
    found = np.flatnonzero(np.isin(arrays.stems, asked))
    word, owner, count = np.searchsorted(asked, arrays.stems[found]), arrays.owners[found], arrays.counts[found]
    holding = np.bincount(word, minlength=len(asked))
    weight = times * np.log1p((len(arrays.ids) - holding + 0.5) / (holding + 0.5))
    if not len(found):
        return np.zeros(len(arrays.ids), np.float32)
    slowed = K1 * (1 - B + B * arrays.lengths[owner] / arrays.lengths.mean())
    earned = np.bincount(owner, weight[word] * count / (count + slowed), len(arrays.ids))
    shares: NDArray[np.float32] = (earned / weight.sum()).astype(np.float32)
    return shares


def best(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Where the ``k`` highest scores stand, highest first; of equal ones the first."""
    among = np.arange(len(scores))
    if len(scores) > 4 * k:
        among = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
    order: NDArray[np.int64] = among[np.argsort(-scores[among], kind="stable")[:k]]
    return order


def varied(vectors: NDArray[np.float32], scores: NDArray[np.float32], k: int, threshold: float) -> NDArray[np.int64]:
    """Up to ``k`` nodes, each the best of what is left when its likeness to those already taken is held against it.

    Args:
        vectors: float32 (nodes, dimensions), of unit length.
        scores: float32 (nodes,): how near each is to the question.
        k: how many are wanted.
        threshold: 1 looks at the question only, 0 at what is unlike the nodes already taken only.
    """
    taken: list[int] = []
    left = np.ones(len(scores), np.bool_)
    alike = np.full(len(scores), -1, np.float32)
    while len(taken) < min(k, len(scores)):
        worth = threshold * scores - (1 - threshold) * alike if taken else scores
        taken.append(int(np.argmax(np.where(left, worth, -np.inf))))
        left[taken[-1]] = False
        alike = np.maximum(alike, vectors @ vectors[taken[-1]])
    return np.array(taken, np.int64)
