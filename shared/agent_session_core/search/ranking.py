"""From what each message of a scope earned to the hits: filter, order, fold what was said twice, group by session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from agent_session_core.search.fusion import Fused, fuse, largest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from agent_session_core.search.fusion import Mode
    from agent_session_core.search.scoring import WordScores

__all__ = ["Found", "Ranked", "Ranking", "Scored", "by_message", "by_session", "score"]

HALF_LIFE = 30 * 24 * 3600 * 1_000_000
"""Microseconds in which the weight of recency halves."""
BEST_OF_SESSION = 3
"""Messages that stand for a session."""


class Ranked(Protocol):
    """The messages that are ranked: a whole scope, or what a server chose of one."""

    @property
    def sessions(self) -> Sequence[int]:
        """The internal id of each session, by its number here."""
        ...

    def __len__(self) -> int: ...

    def message(self, column: str) -> NDArray[Any]:
        """A column; see :meth:`agent_session_core.search.scope.Scope.message`."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What every message of a scope earned, before any filter.

    Attributes:
        absolute: the parts of the score that is shown; the words' part is relative to the most that could be earned.
        recency: what is added for being new.
        order: by which messages are ordered: the sum of all parts, the words' part relative to the best message's.
        shown: the score that is shown, 0-1: the sum of ``absolute`` and ``recency``, divided by ``full``.
        found: whether a message is found at all, by a word or by having a vector.
        near: how near each message is to the question, -1 to 1.
        full: the largest sum that can be reached.
    """

    absolute: Fused
    recency: NDArray[np.float32]
    order: NDArray[np.float32]
    shown: NDArray[np.float32]
    found: NDArray[np.bool_]
    near: NDArray[np.float32]
    full: float


def score(
    scope: Ranked,
    mode: Mode,
    words: WordScores,
    near: NDArray[np.float32],
    named: frozenset[int],
    recency: float,
    newest: int = 0,
) -> Scored:
    """Score every message of ``scope``.

    Args:
        scope: what is searched.
        mode: by words, by meaning or both.
        words: what the messages' words earned; all zero in the mode ``semantic``.
        near: how near they are; all zero in the mode ``keyword``.
        named: the numbers of the speakers that the question names.
        recency: the weight of being new.
        newest: when the newest message was made, where that may not be among ``scope``.
    """
    speakers = scope.message("speaker")
    is_named = np.zeros(len(scope), dtype=np.bool_)
    for number in named:
        is_named |= speakers == number
    sessions = scope.message("session")
    best = float(words.messages.max(initial=0)) or 1.0
    most = words.most or 1.0
    fused = fuse(words.messages / np.float32(best), near, is_named, sessions)
    absolute = fuse(words.messages / np.float32(most), near, is_named, sessions)
    new = _newness(scope.message("created_at"), newest) * np.float32(recency) if recency else np.zeros_like(near)
    found = words.messages > 0
    if mode != "keyword":
        found |= scope.message("meant")
    full = largest(mode) + recency
    shown = (absolute.total + new) / np.float32(full)
    return Scored(absolute, new, fused.total + new, shown, found, near, full)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The messages that are found and pass the filters, in no order, and what orders them.

    Attributes:
        places: their places in the scope.
        order: what each of them is ordered by.
    """

    scope: Ranked
    places: NDArray[np.intp]
    order: NDArray[np.float32]
    near: NDArray[np.float32]

    @classmethod
    def of(cls, scope: Ranked, scored: Scored, allowed: NDArray[np.bool_], min_score: float) -> Ranking:
        """What is left after the filters."""
        mask = scored.found & allowed
        if min_score > 0:
            mask &= scored.shown >= min_score
        places = np.flatnonzero(mask)
        return cls(scope, places, scored.order[places], scored.near[places])

    def best_first(self, enough: int) -> Iterator[int]:
        """Places, best first; between equals the nearer and then the newer. Made for taking about ``enough``."""
        head = self._head(enough)
        yield from self._sorted(head)
        if not head.all():
            yield from self._sorted(~head)

    def _head(self, enough: int) -> NDArray[np.bool_]:
        if len(self.order) <= enough:
            return np.ones(len(self.order), dtype=np.bool_)
        least = np.partition(self.order, -enough)[-enough]
        head: NDArray[np.bool_] = self.order >= least
        return head

    def _sorted(self, chosen: NDArray[np.bool_]) -> list[int]:
        places = self.places[chosen]
        keys = (-self.scope.message("id")[places], -self.near[chosen], -self.order[chosen])
        ordered: list[int] = places[np.lexsort(keys)].tolist()
        return ordered


@dataclass(frozen=True, slots=True)
class Found:
    """One hit: the place of its message, how many further ones say the same, and the places that go with it."""

    place: int
    duplicates: int = 0
    further: tuple[int, ...] = ()


def by_message(ranking: Ranking, limit: int) -> Iterator[Found]:
    """The best messages; of those in which the same speaker says the same, the best one."""
    digests = ranking.scope.message("digest")
    all_digests = digests[ranking.places]
    seen: set[int] = set()
    for place in ranking.best_first(4 * limit):
        digest = int(digests[place])
        if digest not in seen:
            seen.add(digest)
            yield Found(place, int(np.count_nonzero(all_digests == digest)) - 1)


def by_session(ranking: Ranking, limit: int) -> Iterator[Found]:
    """The best message of each of the best sessions, and the next best ones that say something else."""
    sessions = ranking.scope.message("session")[ranking.places]
    best = np.full(len(ranking.scope.sessions), -np.inf, dtype=np.float32)
    np.maximum.at(best, sessions, ranking.order)
    for session in np.argsort(-best, kind="stable").tolist():
        if best[session] == -np.inf:
            return
        own = sessions == session
        within = Ranking(ranking.scope, ranking.places[own], ranking.order[own], ranking.near[own])
        top = [found.place for found, _ in zip(by_message(within, limit), range(BEST_OF_SESSION), strict=False)]
        yield Found(top[0], further=tuple(top[1:]))


def _newness(created_at: NDArray[Any], newest: int) -> NDArray[np.float32]:
    """1 for the newest message, halved for every 30 days before it."""
    age = (created_at.max(initial=newest) - created_at) / HALF_LIFE
    new: NDArray[np.float32] = np.exp2(-age).astype(np.float32)
    return new
