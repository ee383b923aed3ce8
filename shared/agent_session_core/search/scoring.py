"""What each message of a scope earns: by its words, and by its meaning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from agent_session_core.search.vectors import unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent_session_core.ports import Vectors
    from agent_session_core.search.scope import Scope

__all__ = ["WordScores", "best_row", "nearness", "word_parts", "word_scores"]

K1, B = 1.2, 0.75


@dataclass(frozen=True, slots=True)
class WordScores:
    """BM25 of each message (its best row).

    Attributes:
        messages: one score for each message.
        most: the most that the question's words could earn in this scope.
        rows: the score of each row.
    """

    messages: NDArray[np.float32]
    most: float
    rows: NDArray[np.float32]


def word_scores(scope: Scope, stems: Sequence[int]) -> WordScores:
    """BM25 as FTS5 computes it with the rows' weighted counts, over the rows of the scope alone."""
    lengths = scope.row("length")
    count = len(lengths)
    scores = np.zeros(count, dtype=np.float32)
    most = 0.0
    if count:
        all_stems, rows, weights = scope.word("stem"), scope.word("row"), scope.word("weight")
        average = float(lengths.mean()) or 1.0
        for stem, times in Counter(stems).items():
            places = np.flatnonzero(all_stems == np.uint32(stem))
            worth = times * inverse_frequency(count, len(places)) * (K1 + 1)
            most += worth
            if len(places):
                found = rows[places]
                scores[found] += worth * _saturated(weights[places], lengths[found], average)
    first = scope.message("first_row")
    best = scores if len(first) == count else np.maximum.reduceat(scores, first)
    return WordScores(best, most, scores)


def word_parts(scope: Scope, stems: Sequence[int], row: int) -> dict[int, float]:
    """What each stem of a question earned in one row."""
    rows = scope.word("row")
    start, end = np.searchsorted(rows, [row, row + 1])
    held, weights = scope.word("stem")[start:end], scope.word("weight")[start:end]
    lengths = scope.row("length")
    average = float(lengths.mean()) or 1.0
    parts = {}
    for stem, times in Counter(stems).items():
        places = np.flatnonzero(held == np.uint32(stem))
        if len(places):
            holding = int(np.count_nonzero(scope.word("stem") == np.uint32(stem)))
            worth = times * inverse_frequency(len(lengths), holding) * (K1 + 1)
            parts[stem] = worth * float(_saturated(weights[places], lengths[row : row + 1], average)[0])
    return parts


def best_row(scope: Scope, words: WordScores, place: int) -> int:
    """The row by which the message at a place was scored."""
    first = scope.message("first_row")
    start = int(first[place])
    end = int(first[place + 1]) if place + 1 < len(first) else len(words.rows)
    return start + int(words.rows[start:end].argmax())


def inverse_frequency(rows: int, holding: int) -> float:
    """How much a word tells that ``holding`` of ``rows`` rows have."""
    return max(float(np.log((rows - holding + 0.5) / (holding + 0.5))), 1e-6)


def _saturated(weights: NDArray[np.uint16], lengths: NDArray[np.uint16], average: float) -> NDArray[np.float32]:
    counted = weights.astype(np.float32)
    share: NDArray[np.float32] = counted / (counted + np.float32(K1) * (1 - B + B * lengths / np.float32(average)))
    return share


def nearness(scope: Scope, question: Vectors) -> NDArray[np.float32]:
    """How much nearer each message is to the question than the scope's average message; 0 without a vector.

    Only the question is centred: v = unit(unit(q) - mean), and x.v - mean.v for each vector x.

    Args:
        scope: what is searched.
        question: the unit vector of the question.
    """
    near = np.zeros(len(scope), dtype=np.float32)
    if scope.vectors == 0:
        return near
    mean = (scope.vector_sum / scope.vectors).astype(np.float32)
    direction = unit(question - mean)
    # not "@": BLAS would use several threads, which wait for one another on a busy machine up to a hundred times longer
    np.einsum("ij,j->i", scope.message("vector"), direction, out=near)
    near -= np.float32(mean @ direction)
    near[~scope.message("meant")] = 0
    return near
