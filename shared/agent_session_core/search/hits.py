"""From places in a scope to what callers get: messages, titles, neighbours, highlights, reasons."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from agent_session_core.models import PASSAGE_ORIGIN, Explanation, FileReference
from agent_session_core.search.scoring import best_row, word_parts
from agent_session_core.search.statements import END

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent_session_core.models import Message
    from agent_session_core.search.query import Question
    from agent_session_core.search.ranking import Scored
    from agent_session_core.search.scope import Scope
    from agent_session_core.search.scoring import WordScores
    from agent_session_core.search.words import Words

__all__ = ["explanation", "file_of", "highlights", "key"]

WINDOW = 160
"""Characters of a highlight, about."""
MOST_HIGHLIGHTS = 3

_PIECE = re.compile(r"\S+")


def key(scope: Scope, place: int) -> tuple[int, int]:
    """The session and seq of the message at a place."""
    number = int(scope.message("id")[place])
    return number >> 32, number & END


def file_of(message: Message) -> FileReference | None:
    """The file that a found message is a passage of; None where it is a message."""
    origin = message.origin
    if origin is None or origin.framework != PASSAGE_ORIGIN:
        return None
    return FileReference(str(origin.data), int(origin.version))


def highlights(texts: Sequence[str], question: Question, words: Words) -> list[tuple[str, ...]]:
    """Up to three pieces of each text that hold words of the question, in the order of the text."""
    asked = set(question.stems)
    split = [set(text.split()) for text in texts]
    pieces = list(set().union(*split))
    holding = {
        piece for piece, stems in zip(pieces, words.stems_of_pieces(pieces), strict=True) if not asked.isdisjoint(stems)
    }
    return [
        _highlighted(text, question, held) if held else ()
        for text, held in zip(texts, [own & holding for own in split], strict=True)
    ]


def explanation(
    scope: Scope, scored: Scored, words: WordScores, question: Question, place: int, text: str
) -> Explanation:
    """How the message at a place, with this text, came by its score."""
    full = scored.full
    absolute = scored.absolute
    found = words.messages[place] > 0
    earned = word_parts(scope, question.stems, best_row(scope, words, place)) if found else {}
    asked = Counter(question.stems)
    by_word = {
        word: earned[stem] / asked[stem] / (words.most or 1.0) / full  # words with one stem share what it earned
        for word, stem in zip(question.words, question.stems, strict=True)
        if stem in earned
    }
    said = set(scope.words.stems([text])[0])
    stem_of = dict(zip(question.words, question.stems, strict=True))
    return Explanation(
        score=float(scored.shown[place]),
        words=by_word,
        nearby=tuple(word for word in by_word if stem_of[word] not in said),
        meaning=float(absolute.meaning[place]) / full,
        name=float(absolute.named[place]) / full,
        session=float(absolute.session[place]) / full,
        recency=float(scored.recency[place]) / full,
        word_rank=_rank(words.messages, place) if found else None,
        meaning_rank=_rank(scored.near, place) if scored.near.any() and scope.message("meant")[place] else None,
        order=float(scored.order[place]) / full,
    )


def _highlighted(text: str, question: Question, holding: set[str]) -> tuple[str, ...]:
    spans: list[tuple[int, int]] = []
    for piece in _PIECE.finditer(text):
        if piece[0] in holding:
            start, end = _place(piece, question)
            if spans and end <= spans[-1][0] + WINDOW:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            elif len(spans) < MOST_HIGHLIGHTS:
                spans.append((start, end))
    return tuple(_widened(text, start, end) for start, end in spans)


def _place(piece: re.Match[str], question: Question) -> tuple[int, int]:
    """Where in the text the word stands; inside a long piece (as in scripts without spaces) where it begins there."""
    start, end = piece.span()
    if end - start > WINDOW // 4:
        lower = piece[0].lower()
        places = [lower.find(word) for word in question.words if word in lower]
        if places:
            start += min(places)
            end = min(end, start + WINDOW // 4)
    return start, end


def _widened(text: str, start: int, end: int) -> str:
    """The piece of ``text`` around a span, cut between words."""
    room = max(0, WINDOW - (end - start)) // 2
    first, last = max(0, start - room), min(len(text), end + room)
    if first > 0:
        space = text.find(" ", first, start)
        first = first if space < 0 else space + 1
    if last < len(text):
        space = text.rfind(" ", end, last)
        last = last if space < 0 else space
    return text[first:last].strip()


def _rank(values: NDArray[np.float32], place: int) -> int:
    return int(np.count_nonzero(values > values[place])) + 1
