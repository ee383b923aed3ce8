"""Words and their stems, exactly as SQLite's FTS5 makes them.

FTS5 has no call that tokenizes; a table in memory without content, read back through ``fts5vocab``, is one. Texts are
cut at white space first, which every tokenizer cuts at, and each distinct piece is looked up only once.

Scripts written without spaces are searched by pairs of characters (and single ones, for questions of one character).
"""

from __future__ import annotations

import re
import sqlite3
import threading
import unicodedata
import weakref
from itertools import chain, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, TypeAlias
from zlib import crc32

from agent_session_core.search.rows import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Analyzer", "Words"]

Analyzer: TypeAlias = Literal["english", "none"]

MOST_REMEMBERED = 50_000
"""Pieces whose stems are remembered; a language has fewer that come up again and again."""
LONGEST_REMEMBERED = 40

_SPLIT = "unicode61 categories ''L* N* Co Mn Mc''"  # marks stay in the word: vowels in Hindi, Thai, Tamil

_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Japanese and Chinese
    "\uac00-\ud7af"  # Korean
    "\U00020000-\U0003fffd"
    "]+"
)
_LEFT_OUT = dict.fromkeys([0x0640, 0x0670, *range(0x064B, 0x0653), *range(0x0591, 0x05C8)])
"""Vowel points and lengthening of Arabic and Hebrew, which most writers leave out."""


class Words:
    """The tokenizer of one analyzer. May be used from several threads.

    Args:
        analyzer: ``english`` (Porter stems) or ``none`` (words as they are written, without case and accents).
    """

    def __init__(self, analyzer: Analyzer) -> None:
        self.analyzer = analyzer
        self._plain = _Tokenizer(_SPLIT)
        self._stemming = _Tokenizer(f"porter {_SPLIT}") if analyzer == "english" else self._plain
        self._known: dict[str, tuple[int, ...]] = {}

    def stems(self, texts: Sequence[str]) -> list[list[int]]:
        """The stems of each text, in order, each as the crc32 of its bytes."""
        split = [_prepared(text, _all_grams).split() for text in texts]
        known = self._known
        missing = {piece for pieces in split for piece in pieces if piece not in known}
        found = self._look_up(list(missing)) if missing else {}
        if len(known) + len(found) > MOST_REMEMBERED:
            self._known = {}
        self._known.update((piece, stems) for piece, stems in found.items() if len(piece) <= LONGEST_REMEMBERED)
        return [
            [stem for piece in pieces for stem in (found[piece] if piece in found else known[piece])]
            for pieces in split
        ]

    def stems_of_pieces(self, pieces: Sequence[str]) -> list[Sequence[int]]:
        """The stems of each piece of a text that was cut at white space."""
        found = list(map(self._known.get, pieces))
        missing = [piece for piece, stems in zip(pieces, found, strict=True) if stems is None]
        looked_up = iter(self.stems(missing))
        return [next(looked_up) if stems is None else stems for stems in found]

    def split(self, text: str) -> list[str]:
        """The words of a question: lower case, without accents, in order."""
        return self._plain.tokens([_prepared(text, _pairs)])[0]

    def stem(self, words: Sequence[str]) -> list[int]:
        """The stem of each word that :meth:`split` gave, as the crc32 of its bytes."""
        if all(map(str.isascii, words)):
            return [stems[0] for stems in self.stems_of_pieces(words)]
        return [crc32(tokens[0].encode()) for tokens in self._stemming.tokens(words)]  # pairs are not cut up again

    def _look_up(self, pieces: Sequence[str]) -> dict[str, tuple[int, ...]]:
        tokens = self._stemming.tokens(pieces)
        return {
            piece: tuple([crc32(token.encode()) for token in found])
            for piece, found in zip(pieces, tokens, strict=True)
        }


class _Tokenizer:
    """One of FTS5's tokenizers."""

    def __init__(self, tokenizer: str) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute(f"CREATE VIRTUAL TABLE pieces USING fts5(piece, content='', tokenize='{tokenizer}')")
        weakref.finalize(self, self._db.close)
        self._db.execute("CREATE VIRTUAL TABLE found USING fts5vocab(pieces, instance)")

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """The tokens of each text, in order."""
        with self._lock:
            self._db.executemany("INSERT INTO pieces(rowid, piece) VALUES (?, ?)", enumerate(texts))
            found = self._db.execute("SELECT doc, offset, term FROM found").fetchall()
            self._db.execute("INSERT INTO pieces(pieces) VALUES ('delete-all')")
        found.sort(key=itemgetter(0, 1))
        tokens: list[list[str]] = [[] for _ in texts]
        for text, _, token in found:
            if token is not None:  # what a lone accent comes to
                tokens[text].append(token)
        return tokens


def _pairs(run: str) -> Iterable[str]:
    return map("".join, pairwise(run)) if len(run) > 1 else run


def _all_grams(run: str) -> Iterable[str]:
    return chain(run, _pairs(run)) if len(run) > 1 else run


def _prepared(text: str, grams: Callable[[str], Iterable[str]]) -> str:
    if text.isascii():
        return text.replace("\x00", " ")
    text = unicodedata.normalize("NFKC", clean(text)).translate(_LEFT_OUT)
    return _UNSPACED.sub(lambda run: f" {' '.join(grams(run[0]))} ", text)
