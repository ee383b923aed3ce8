"""What the core asks of the parts that can be exchanged. No driver is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agent_session_core.models import IndexReport, SearchResults
    from agent_session_core.search.request import SearchRequest

    Vectors: TypeAlias = NDArray[np.float32]

__all__ = ["Backlog", "Embedder", "Followed", "IndexWorker", "SearchIndex"]


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


class Backlog(NamedTuple):
    """How far an index is behind.

    Attributes:
        messages: how many messages wait to be looked at, about.
        age: seconds for which the oldest change has waited; 0 where nothing waits.
    """

    messages: int
    age: float


class IndexWorker(Protocol):
    """Brings changes of every tenant to an index in the foreground; a context that ends it. Several may run at once."""

    told: Callable[[int], None]
    """Called with the number of messages of each delivery."""

    @property
    def last_error(self) -> Exception | None:
        """Why nothing can be delivered just now, None where it can."""
        ...

    def backlog(self) -> Backlog:
        """What waits to be delivered."""
        ...

    def catch_up(self, now_and_then: Callable[[], None] = ...) -> None:
        """Deliver what was written until now, or wait until others have who are at it, or until :meth:`stop`.

        Raises:
            IndexUnavailable: when the index cannot take it just now.
        """
        ...

    def follow(self, now_and_then: Callable[[], None]) -> None:
        """Deliver what comes, and try again where that fails, until :meth:`stop`."""
        ...

    def stop(self) -> None:
        """End after what is under way. May be called from a signal handler."""
        ...

    def __enter__(self) -> IndexWorker: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Followed(Protocol):
    """An index that others than the process that writes may feed."""

    def worker(self) -> IndexWorker:
        """What feeds it."""
        ...
