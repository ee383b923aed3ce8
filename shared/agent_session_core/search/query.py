"""What a question asks for: its words without the small ones, and the speakers it names."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent_session_core.search.words import Words

__all__ = ["STOP_WORDS", "Question", "Speakers", "read_question"]

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
        stems: the stem of each word; the same stem under two words counts twice.
        named: the numbers of the speakers that the question names.
        about: the text without their names, to be embedded.
    """

    words: tuple[str, ...]
    stems: tuple[int, ...]
    named: frozenset[int]
    about: str


class Speakers:
    """Everybody who speaks in a scope, each with a number, found by the words of their names.

    Tools have numbers too, and are never named by a question: their names are words like any others ("book", "search").
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._by_first: dict[str, list[tuple[list[str], int]]] = {}
        self._nameable: set[int] = set()
        self._lock = threading.Lock()

    def number(self, speaker: str, *, tool: bool = False) -> int:
        """The speaker's number, given at the first time; ``tool`` for one that no question names."""
        found = self._numbers.get(speaker)
        number = self._add(speaker) if found is None else found
        if not tool and number not in self._nameable:
            self._make_nameable(number)
        return number

    def is_tool(self, number: int) -> bool:
        """Whether no question names this speaker."""
        return number not in self._nameable

    def find(self, speaker: str) -> int | None:
        """The speaker's number, None for somebody who never spoke here."""
        return self._numbers.get(speaker)

    def named(self, asked: Sequence[str]) -> tuple[frozenset[int], frozenset[str]]:
        """Whom the words of a question name, and with which words.

        A speaker is named by the whole name, or by the first word of a name of several.
        """
        numbers, spoken = set(), set()
        for place, word in enumerate(asked):
            for name, number in self._by_first.get(word, ()):
                if name == list(asked[place : place + len(name)]):
                    said = name
                elif len(word) > 1 and word not in STOP_WORDS:
                    said = name[:1]
                else:
                    continue
                if len(said) > 1 or said[0] not in _NO_NAMES:
                    numbers.add(number)
                    spoken.update(said)
        return frozenset(numbers), frozenset(spoken)

    def _add(self, speaker: str) -> int:
        with self._lock:
            number = self._numbers.setdefault(speaker, len(self.names))
            if number == len(self.names):
                self.names.append(speaker)
        return number

    def _make_nameable(self, number: int) -> None:
        name = self._words.split(self.names[number])
        with self._lock:
            if number not in self._nameable and name:
                self._by_first.setdefault(name[0], []).append((name, number))
            self._nameable.add(number)


def read_question(text: str, speakers: Speakers, words: Words) -> Question:
    """The words, stems and named speakers of a question.

    Names and small words are not looked for, unless nothing else would be left.
    """
    asked = words.split(text)
    named, names = speakers.named(asked)
    distinct = list(dict.fromkeys(asked))
    wanted = [word for word in distinct if word not in STOP_WORDS and word not in names]
    wanted = (wanted or [word for word in distinct if word not in names] or distinct)[:MOST_WORDS]
    return Question(tuple(wanted), tuple(words.stem(wanted)), named, _without(text, names, words))


def _without(text: str, names: Collection[str], words: Words) -> str:
    """``text`` without names, whose pull on the vector is another one than who speaks; whole when nothing is left."""
    if not names:
        return text
    alternatives = "|".join(map(re.escape, sorted(names)))
    rest = re.sub(rf"(?<!\w)(?:{alternatives})(?:['\u2019]s)?(?!\w)", " ", text, flags=re.IGNORECASE)
    return rest if any(word not in STOP_WORDS for word in words.split(rest)) else text
