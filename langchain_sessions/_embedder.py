"""Any embedding of LangChain's as the store's embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from agent_session_core import InvalidInput

if TYPE_CHECKING:
    from agent_session_core.ports import Vectors

__all__ = ["LangChainEmbedder"]

_MODELS = ("model", "model_name", "model_id", "repo_id", "deployment", "azure_deployment")
_SIZES = ("dimensions", "output_dimensionality", "size")


class LangChainEmbedder:
    """A LangChain ``Embeddings`` as the embedder of a :class:`~agent_session_core.SessionStore`.

    Args:
        embeddings: any embedding of LangChain's.
        name: the identity of its vector space. Without it, the class with the model and size that it names. Give one
            where another attribute decides what the vectors mean: vectors of one name are taken to be comparable.

    Raises:
        InvalidInput: when an argument cannot be used.
    """

    def __init__(self, embeddings: Embeddings, *, name: str | None = None) -> None:
        if not isinstance(embeddings, Embeddings):
            raise InvalidInput(f"embeddings: expected LangChain Embeddings, got {type(embeddings).__name__}")
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidInput(f"name: {name!r:.60} names no vector space; give a string, or leave it out")
        self._embeddings = embeddings
        self._name = name or _name_of(embeddings)

    def __repr__(self) -> str:
        return f"LangChainEmbedder({self._name!r})"

    @property
    def name(self) -> str:
        """The identity of the vector space."""
        return self._name

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (len(texts), dimensions).

        Raises:
            ValueError: when the embedding gave another number of vectors, or vectors of different sizes.
        """
        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        vectors = np.asarray(self._embeddings.embed_documents(list(texts)), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(f"{self._name}: gave vectors of shape {vectors.shape} for {len(texts)} texts")
        return vectors

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (dimensions,).

        Raises:
            ValueError: when the embedding gave no single vector.
        """
        vector = np.asarray(self._embeddings.embed_query(text), dtype=np.float32)
        if vector.ndim != 1:
            raise ValueError(f"{self._name}: gave a vector of shape {vector.shape} for one text")
        return vector


def _name_of(embeddings: Embeddings) -> str:
    model = _first(embeddings, _MODELS)
    size = _first(embeddings, _SIZES)
    return ":".join(str(part) for part in (type(embeddings).__qualname__, model, size) if part is not None)


def _first(embeddings: Embeddings, attributes: tuple[str, ...]) -> str | int | None:
    """The first of the attributes that is set. Only plain text and numbers count: no client, no secret."""
    for attribute in attributes:
        value = getattr(embeddings, attribute, None)
        if isinstance(value, str | int) and value:
            return value
    return None
