"""What the core asks of the parts that can be exchanged. No driver is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors: TypeAlias = NDArray[np.float32]

__all__ = ["Embedder"]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors whose directions are alike where the meanings are.

    Vectors need not have unit length. Both methods may be called from several threads.
    """

    @property
    def name(self) -> str:
        """The identity of the vector space: model and version. Another name means another space."""
        ...

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (len(texts), dimensions)."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (dimensions,)."""
        ...
