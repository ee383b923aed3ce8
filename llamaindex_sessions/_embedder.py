"""An embedding of LlamaIndex as the store's embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding

from agent_session_core import InvalidInput

if TYPE_CHECKING:
    from agent_session_core.ports import Vectors

__all__ = ["LlamaIndexEmbedder"]


class LlamaIndexEmbedder:
    """Any ``BaseEmbedding`` of LlamaIndex, for ``SessionStore.open(embedder=...)``.

    Args:
        embed_model: the embedding; its sync methods are used, from several threads.
        name: the identity of the vector space. Without it, the class and model name. Give one where two models
            would have the same: vectors of different models are told apart by it.

    Raises:
        InvalidInput: when ``embed_model`` is no ``BaseEmbedding``.
    """

    def __init__(self, embed_model: BaseEmbedding, *, name: str | None = None) -> None:
        if not isinstance(embed_model, BaseEmbedding):
            raise InvalidInput(
                f"embed_model: expected a BaseEmbedding, got {type(embed_model).__name__}; use one of llama-index"
            )
        self._embed_model = embed_model
        self._name = name or f"llamaindex/{embed_model.class_name()}/{embed_model.model_name}"

    @property
    def name(self) -> str:
        """The identity of the vector space."""
        return self._name

    def __repr__(self) -> str:
        return f"LlamaIndexEmbedder({self.name!r})"

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (len(texts), dimensions); (0, 0) for no texts.

        Raises:
            ValueError: when the embedding gave another number of vectors, or vectors of different lengths.
        """
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        vectors = np.asarray(self._embed_model.get_text_embedding_batch(list(texts)), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(f"{self.name}: gave vectors of shape {vectors.shape} for {len(texts)} texts")
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (dimensions,)."""
        return np.asarray(self._embed_model.get_query_embedding(text), dtype=np.float32)
