"""What the core asks of the parts that can be exchanged. No driver is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agent_session_core.models import IndexReport, SearchResults
    from agent_session_core.search.request import SearchRequest

    Vectors: TypeAlias = NDArray[np.float32]

__all__ = ["Embedder", "SearchIndex"]


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


class SearchIndex(Protocol):
    """Finds messages. Every method blocks, and may be called from several threads and after a fork."""

    def search(self, request: SearchRequest) -> SearchResults:
        """Answer a request.

        Raises:
            IndexUnavailable: when the index cannot answer, naming the cause.
        """
        ...

    def drain(self, tenant: str, user_id: str | None = None) -> int:
        """Index what has changed of a tenant, or of one user of it; how many messages were looked at."""
        ...

    def forget(self, tenant: str) -> None:
        """Take sessions that were deleted out of the index, as far as that is possible just now."""
        ...

    def verify(self, tenant: str) -> IndexReport:
        """Compare what is stored with what is indexed, message by message."""
        ...

    def repair(self, tenant: str) -> IndexReport:
        """Index anew whatever differs; how it stands then."""
        ...

    def reindex(self, tenant: str) -> int:
        """Make the index anew beside the one that answers, which it then replaces; how many messages were read."""
        ...

    def wake(self) -> None:
        """Something was written: an index that follows by itself may look. Takes no time."""
        ...

    def close(self) -> None:
        """End what was begun here. What is pending stays in the database."""
        ...
