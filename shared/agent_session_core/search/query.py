"""What a question asks for: its words without the small ones, and the speakers it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from agent_session_core.search.words import Words

__all__ = ["STOP_WORDS", "Question", "read_question"]

MOST_WORDS = 256
"""Distinct words of a question that are searched for."""

_SMALL_WORDS = """
a an the this that these those
i me my mine myself we us our ours you your yours he him his she her hers it its they them their theirs
am is are was were be been being do does did doing have has had having
can could will would shall should might must
what which who whom whose when where why how
and or but if then than so as because while
of in on at by for from to into onto with without about over under between through during
there here not no nor only just also too very any some such own same both each
s t d m re ve ll don isn aren wasn weren didn doesn hasn haven couldn wouldn
"""
STOP_WORDS = frozenset(_SMALL_WORDS.split())
"""English words that say nothing of what is sought."""

_NO_NAMES = frozenset({"user", "assistant", "system", "tool", "human", "ai", "agent", "bot", "model", "function"})


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the index is asked it.

    Attributes:
        words: the words to look for, each once, as written (lower case).
        stems: the stems of each word; the same stem under two words counts twice.
        named: the speakers of the scope that the question names.
    """

    words: tuple[str, ...]
    stems: tuple[tuple[int, ...], ...]
    named: frozenset[str]


def read_question(text: str, speakers: Iterable[str], words: Words) -> Question:
    """The words, stems and named speakers of a question.

    A speaker is named by the whole name, or by the first word of a name of several, as whole words. Names and small
    words are not looked for, unless there would be nothing left.
    """
    asked = words.split(text)
    present = set(asked)
    named = set()
    names: set[str] = set()
    for speaker in speakers:
        parts = words.split(speaker)
        spoken = _spoken(parts, asked, present)
        if spoken:
            named.add(speaker)
            names.update(spoken)
    distinct = list(dict.fromkeys(asked))
    wanted = [word for word in distinct if word not in STOP_WORDS and word not in names]
    wanted = (wanted or [word for word in distinct if word not in names] or distinct)[:MOST_WORDS]
    return Question(tuple(wanted), tuple(tuple(stems) for stems in words.stems(wanted)), frozenset(named))


def _spoken(name: Sequence[str], asked: Sequence[str], present: set[str]) -> Sequence[str]:
    """The part of a speaker's name that the question says, empty where it does not name the speaker."""
    if not name or name[0] not in present or (len(name) == 1 and name[0] in _NO_NAMES):
        return ()
    if any(list(asked[start : start + len(name)]) == list(name) for start in range(len(asked))):
        return name
    first = name[0]
    return () if len(first) < 2 or first in STOP_WORDS or first in _NO_NAMES else (first,)
