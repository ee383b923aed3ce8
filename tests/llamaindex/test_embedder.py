"""``LlamaIndexEmbedder`` makes any embedding of LlamaIndex the store's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding

from agent_session_core import Embedder, EmbeddingChanged, InvalidInput, Message, SessionStore
from llamaindex_sessions import LlamaIndexEmbedder


class Letters(BaseEmbedding):
    """An embedding by letters: texts with the same letters lie together."""

    model_name: str = "letters-1"

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex knows it by."""
        return "Letters"

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        raise AssertionError("the sync methods are used")


class Short(Letters):
    """An embedding that gives fewer vectors than texts."""

    def get_text_embedding_batch(self, texts: list[str], *_: Any, **__: Any) -> list[list[float]]:
        """One vector too few."""
        return [[1.0] for _ in texts[1:]]


def test_it_is_an_embedder_with_float32_vectors() -> None:
    """Shapes and types are those the core asks for, for one text, many and none."""
    embedder = LlamaIndexEmbedder(Letters(embed_batch_size=2))
    assert isinstance(embedder, Embedder)
    vectors = embedder.embed_documents(["a", "b", "ab", "c", "abc"])
    assert vectors.shape == (5, 26)
    assert vectors.dtype == np.float32
    assert vectors[2][:3].tolist() == [1, 1, 0]
    assert embedder.embed_query("cab")[:4].tolist() == [1, 1, 1, 0]
    assert embedder.embed_query("cab").dtype == np.float32
    assert embedder.embed_documents([]).shape == (0, 0)


def test_its_name_tells_class_and_model() -> None:
    """Two models are never taken for one; a name can be given where theirs would not tell them apart."""
    assert LlamaIndexEmbedder(Letters()).name == "llamaindex/Letters/letters-1"
    assert LlamaIndexEmbedder(MockEmbedding(embed_dim=4)).name == "llamaindex/MockEmbedding/unknown"
    assert LlamaIndexEmbedder(Letters(), name="letters, 26").name == "letters, 26"
    assert repr(LlamaIndexEmbedder(Letters())) == "LlamaIndexEmbedder('llamaindex/Letters/letters-1')"


def test_what_is_no_embedding_is_refused() -> None:
    """The error names what was given."""
    with pytest.raises(InvalidInput, match="expected a BaseEmbedding, got str"):
        LlamaIndexEmbedder("local")  # type: ignore[arg-type]  # the mistake under test


def test_too_few_vectors_are_refused() -> None:
    """A wrong count would give texts the vectors of others."""
    with pytest.raises(ValueError, match="shape"):
        LlamaIndexEmbedder(Short()).embed_documents(["a", "b"])


def test_a_store_searches_with_it_and_notices_another(url: str) -> None:
    """The embedding takes the default's place, and one of another name is not mixed with it."""
    with SessionStore.open(url, embedder=LlamaIndexEmbedder(Letters())) as store:
        store.session("s").append(Message.user("zzz zzz"), Message.user("eee eee"))
        (hit,) = store.search("zz", mode="semantic", limit=1)
        assert hit.message.text == "zzz zzz"
    other = LlamaIndexEmbedder(Letters(), name="other")
    with SessionStore.open(url, embedder=other) as store, pytest.raises(EmbeddingChanged, match="reindex"):
        store.search("zz", mode="semantic")
