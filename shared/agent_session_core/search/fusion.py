"""How the score by words and the score by meaning become one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float32]

__all__ = ["MEANING", "NAMED", "SESSION", "Fused", "Mode", "fuse", "largest"]

Mode: TypeAlias = Literal["hybrid", "keyword", "semantic"]

MEANING = 2.0
"""What a vector as near as can be is worth, where the best words are worth 1."""
NAMED = 0.5
"""Added to what was said by a speaker whom the question names."""
SESSION = 0.3
"""How much of the best score of its session a message gets."""


@dataclass(frozen=True, slots=True)
class Fused:
    """The score of each candidate and its parts, as arrays of one length; ``total`` is their sum."""

    words: Numbers
    meaning: Numbers
    named: Numbers
    session: Numbers
    total: Numbers


def fuse(words: Numbers, nearness: Numbers, named: NDArray[np.bool_], sessions: NDArray[np.integer]) -> Fused:
    """Fuse what each candidate earned.

    Args:
        words: by its words, as a share (0-1) of what counts as full marks; 0 where it is not in that list.
        nearness: by its vector, 0 for an average message, 1 at most; 0 where it is not in that list.
        named: whether the question names its speaker.
        sessions: the number of its session, from 0.
    """
    meaning = np.float32(MEANING) * np.clip(nearness, 0, 1)
    bonus = np.where(named, np.float32(NAMED), np.float32(0))
    own = words + meaning + bonus
    best = np.zeros(int(sessions.max(initial=-1)) + 1, dtype=np.float32)
    np.maximum.at(best, sessions, own)
    session = np.float32(SESSION) * best[sessions]
    return Fused(words, meaning, bonus, session, own + session)


def largest(mode: Mode) -> float:
    """The largest total that can be reached, by which a total is divided to be a score of 0-1."""
    words = 0.0 if mode == "semantic" else 1.0
    meaning = 0.0 if mode == "keyword" else MEANING
    return (words + meaning + NAMED) * (1 + SESSION)
