"""From a message to its entry in the index: words with their weights, in rows of 800 characters, and a vector."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agent_session_core.content import from_microseconds
from agent_session_core.models import ROLES
from agent_session_core.search.rows import (
    WEIGHTS,
    chunks,
    clean,
    context,
    date_words,
    embedded_text,
    speaker_of,
)

if TYPE_CHECKING:
    from agent_session_core.search.words import Words

__all__ = ["Entry", "Source", "digest_of", "embedded_texts", "entries"]

ROLE_NUMBERS = {role: number for number, role in enumerate(ROLES)}
MOST_COUNTED = 65_535


class Source(NamedTuple):
    """What the indexer reads of a message."""

    seq: int
    run: int
    state: int
    role: str
    name: str | None
    author: str | None
    created_at: int
    utc_offset: int
    text: str

    @property
    def speaker(self) -> str:
        """Who said it."""
        return speaker_of(self.role, self.name, self.author)


class Entry(NamedTuple):
    """A row of ``index_messages`` but for its id and vector; see :mod:`agent_session_core.sql.tables`."""

    chunks: bytes
    stems: bytes
    weights: bytes
    role: int
    name: str | None
    author: str | None
    created_at: int
    digest: int


def embedded_texts(sources: Sequence[Source]) -> list[str]:
    """What the vectors of ``sources`` are made of."""
    return [
        embedded_text(from_microseconds(source.created_at, source.utc_offset), source.speaker, clean(source.text))
        for source in sources
    ]


def entries(sources: Sequence[tuple[Source, Sequence[str]]], words: Words) -> list[Entry]:
    """The entries of messages, each given with the texts of the messages before it, nearest first."""
    texts: list[str] = []
    sizes: list[int] = []
    for source, before in sources:
        date = date_words(from_microseconds(source.created_at, source.utc_offset))
        bodies = chunks(source.text)
        texts += (date, *context(source.text, before), *bodies)
        sizes.append(len(bodies))
    stems = iter(words.stems(texts))
    made = []
    for (source, _), size in zip(sources, sizes, strict=True):
        date_stems, prev, prev2 = next(stems), next(stems), next(stems)
        made.append(_entry(source, date_stems, prev, prev2, [next(stems) for _ in range(size)]))
    return made


def _entry(
    source: Source, date: Sequence[int], prev: Sequence[int], prev2: Sequence[int], bodies: Sequence[Sequence[int]]
) -> Entry:
    header: list[int] = []
    all_stems: list[int] = []
    all_weights: list[int] = []
    around = ((prev, WEIGHTS["prev"]), (prev2, WEIGHTS["prev2"]), (date, WEIGHTS["date"]))
    length_around = len(prev) + len(prev2) + len(date)
    for body in bodies:
        counted: dict[int, int] = {}
        for stems, weight in ((body, WEIGHTS["body"]), *around):
            for stem in stems:
                counted[stem] = counted.get(stem, 0) + weight
        header += (len(counted), len(body) + length_around)
        all_stems += counted
        all_weights += counted.values()
    return Entry(
        np.array(header, dtype="<u2").tobytes(),
        np.array(all_stems, dtype="<u4").tobytes(),
        np.minimum(all_weights, MOST_COUNTED).astype("<u2").tobytes(),
        ROLE_NUMBERS.get(source.role, 0),  # type: ignore[call-overload]  # the column holds roles only
        source.name,
        source.author,
        source.created_at,
        digest_of(source, bodies),
    )


def digest_of(source: Source, bodies: Sequence[Sequence[int]]) -> int:
    """A number that is equal where the same speaker said the same words, whatever the case and punctuation."""
    said = [stem for body in bodies for stem in body]
    what = np.array(said, dtype="<u4").tobytes() if said else clean(source.text).encode()
    digest = blake2b(clean(source.speaker).encode() + b"\0" + what, digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
