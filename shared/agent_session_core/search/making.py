"""Making vectors, by an embedder that may be out for a moment: what was made before is taken from the database."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from agent_session_core.embedding import WordLlamaEmbedder
from agent_session_core.embedding.service import EmbeddingService, digest
from agent_session_core.errors import IndexUnavailable
from agent_session_core.search import embeddings
from agent_session_core.search.rows import clean
from agent_session_core.search.vectors import embed_question, embed_where_possible, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_session_core.ports import Embedder, Vectors
    from agent_session_core.sql.engine import Database

__all__ = ["REST", "Made", "VectorMaker", "patient"]

REST = 2.0
"""Seconds for which an embedder that failed is left alone."""


class Made(NamedTuple):
    """What came of some texts.

    Attributes:
        vectors: packed, one for each text; None where it has no meaning, or was refused.
        refused: why a text was refused, by its place.
        new: the digests of texts whose vectors are worth keeping and are not kept yet, by their place.
    """

    vectors: list[bytes | None]
    refused: dict[int, str]
    new: dict[int, bytes]


class VectorMaker:
    """Asks one embedder. May be used from several threads.

    Args:
        database: where the vectors of a service are kept, so that no text is sent to it twice.
        embedder: makes the vectors.
    """

    def __init__(self, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder
        self._is_service = isinstance(embedder, EmbeddingService)  # worth remembering what it gave
        self._rests_until = 0.0
        self._failure: IndexUnavailable | None = None
        self._refused = False  # whether the last question could not be embedded

    @property
    def name(self) -> str:
        """The identity of the vector space."""
        return self._embedder.name

    def wake(self) -> None:
        """Ask an embedder that failed a moment ago again."""
        self._rests_until = 0.0

    def question(self, text: str) -> Vectors:
        """The unit vector of a question.

        Raises:
            IndexUnavailable: when the embedder fails, or failed a moment ago.
        """
        self._check_rested()
        try:
            vector = embed_question(self._embedder, clean(text))
        except IndexUnavailable as error:
            if self._refused:  # one question may be to blame itself, two in a row hardly
                self._leave_alone(error)
            self._refused = True
            raise
        self._refused = False
        return vector

    def make(self, tenant: str, texts: Sequence[str]) -> Made:
        """The packed vectors of ``texts``; those of a service that stand in the database already are taken from there.

        Raises:
            IndexUnavailable: when the embedder fails whatever it is given, just now or a moment ago.
        """
        digests = [digest(text) for text in texts] if self._is_service else []
        read = partial(embeddings.known, tenant=tenant, embedding=self.name, digests=digests)
        known = self._database.read(read) if digests else {}
        made: list[bytes | None] = [known.get(key) for key in digests] or [None] * len(texts)
        missing = [place for place, vector in enumerate(made) if vector is None]
        if not missing:
            return Made(made, {}, {})
        self._check_rested()
        try:
            vectors, refused = embed_where_possible(self._embedder, [texts[place] for place in missing])
        except IndexUnavailable as error:
            self._leave_alone(error)
            raise
        for place, blob in zip(missing, pack(vectors), strict=True):
            made[place] = blob
        new = {place: digests[place] for place in missing if digests and made[place] is not None}
        return Made(made, {missing[number]: reason for number, reason in refused.items()}, new)

    def _leave_alone(self, error: IndexUnavailable) -> None:
        self._failure = error
        self._rests_until = time.monotonic() + REST

    def _check_rested(self) -> None:
        if self._failure is not None and time.monotonic() < self._rests_until:
            raise self._failure


def patient(embedder: Embedder | None) -> Embedder:
    """What a store embeds with: by default a static embedding; any other is asked by way of a service."""
    if embedder is None:
        return WordLlamaEmbedder()
    return embedder if isinstance(embedder, EmbeddingService | WordLlamaEmbedder) else EmbeddingService(embedder)
