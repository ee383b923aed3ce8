"""Vectors as the index keeps them: of unit length, as whole numbers of -127 to 127 and a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent_session_core.embedding.service import may_pass
from agent_session_core.errors import IndexUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from agent_session_core.ports import Embedder, Vectors

__all__ = ["SCALE", "embed", "embed_question", "embed_where_possible", "pack", "unit", "unpack"]


SCALE = 4
"""Bytes before the values of a packed vector."""


def unit(vectors: Vectors) -> Vectors:
    """``vectors`` (..., dimensions) with length one each; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = (vectors / np.where(length > 0, length, 1)).astype(np.float32, copy=False)
    return scaled


def embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The unit vectors of ``texts``, shape (len(texts), dimensions).

    Raises:
        IndexUnavailable: when the embedder fails, or gives something that is not a vector for each text.
    """
    try:
        vectors = np.asarray(embedder.embed_documents(texts), dtype=np.float32)
    except Exception as error:
        raise _failed(embedder, error) from error
    return _checked(embedder, vectors, (len(texts),))


def embed_where_possible(embedder: Embedder, texts: Sequence[str]) -> tuple[Vectors, dict[int, str]]:
    """The unit vectors of ``texts``, and why some have none (zero vectors), by their place.

    Raises:
        IndexUnavailable: when the embedder fails whatever it is given.
    """
    try:
        return embed(embedder, texts), {}
    except IndexUnavailable as error:
        if error.__cause__ is not None and may_pass(error.__cause__):
            raise  # no text is to blame
        dimensions = embed(embedder, ["hello"]).shape[1]  # is it the texts, or the embedder?
        if len(texts) > 1:
            middle = len(texts) // 2
            left, refused_left = embed_where_possible(embedder, texts[:middle])
            right, refused_right = embed_where_possible(embedder, texts[middle:])
            refused = refused_left | {middle + place: reason for place, reason in refused_right.items()}
            return np.concatenate([left, right]), refused
        return np.zeros((1, dimensions), dtype=np.float32), {0: str(error)}


def embed_question(embedder: Embedder, text: str) -> Vectors:
    """The unit vector of a question, shape (dimensions,).

    Raises:
        IndexUnavailable: when the embedder fails.
    """
    try:
        vector = np.asarray(embedder.embed_query(text), dtype=np.float32)
    except Exception as error:
        raise _failed(embedder, error) from error
    return _checked(embedder, vector, ())


def pack(vectors: Vectors) -> list[bytes | None]:
    """One blob for each row: a float32 scale, then int8 values. None for a zero vector."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scales = (largest / 127).astype("<f4")
    whole = np.rint(vectors / np.where(largest > 0, scales, 1)[:, None]).astype(np.int8)
    return [scale.tobytes() + row.tobytes() if scale > 0 else None for scale, row in zip(scales, whole, strict=True)]


def unpack(blobs: Sequence[bytes], dimensions: int) -> Vectors:
    """The vectors of :func:`pack`, of unit length, shape (len(blobs), dimensions)."""
    raw: NDArray[np.uint8] = np.frombuffer(b"".join(blobs), dtype=np.uint8).reshape(len(blobs), SCALE + dimensions)
    scales = raw[:, :SCALE].copy().view("<f4")
    vectors: Vectors = raw[:, SCALE:].view(np.int8).astype(np.float32)
    vectors *= scales
    return vectors


def _failed(embedder: Embedder, error: Exception) -> IndexUnavailable:
    return IndexUnavailable(
        f"embedder: {embedder.name!r:.80} failed ({type(error).__name__}: {str(error)[:160]}); "
        "search by keyword goes on, meaning follows when it answers again"
    )


def _checked(embedder: Embedder, vectors: Vectors, shape: tuple[int, ...]) -> Vectors:
    if vectors.shape[:-1] != shape or vectors.ndim != len(shape) + 1 or not np.isfinite(vectors).all():
        raise IndexUnavailable(
            f"embedder: {embedder.name!r:.80} gave an array of shape {vectors.shape} or with numbers that are not "
            f"finite; it must give shape {(*shape, 'dimensions')}"
        )
    return unit(vectors)
