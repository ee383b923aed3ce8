"""A retriever over what was said in past sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, InstanceOf, PrivateAttr, model_validator
from typing_extensions import Self, Unpack

from agent_session_core import Role, SearchHit, SessionStore
from agent_session_core.filters import And, Compare, Not, Or
from agent_session_core.rendering import with_neighbours
from agent_session_core.store import GroupBy, Mode, OnOutage
from langchain_sessions._options import SearchOptions, narrowed
from langchain_sessions._stores import Closing, store_of

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun

    from agent_session_core import SearchResults

__all__ = ["SessionRetriever"]

_OPTIONS = tuple(SearchOptions.__annotations__)


class SessionRetriever(Closing, BaseRetriever):
    """Finds messages of past sessions, by words and by meaning, best first.

    Each message found is a ``Document``: its ``id`` is ``"<session id>/<seq>"``, its text the message's text, and its
    metadata has ``session_id``, ``session_title``, ``message_id``, ``seq``, ``role``, ``name``, ``author``,
    ``created_at`` (ISO 8601) and ``score`` (0-1). A passage of a file has the file's name as ``file``, and ``version``.

    Every option can also be given to one call, as ``retriever.invoke(question, k=3, exclude_session_ids=[current])``.
    A call can narrow the user, the sessions and the filter, and never widen them. Serialised forms and the repr hold
    neither the store nor a URL.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True, extra="forbid")

    store: SessionStore | None = Field(default=None, exclude=True, repr=False)
    """Where sessions are kept."""
    url: str | None = Field(default=None, exclude=True, repr=False)
    """A database URL in place of ``store``; the retriever opens it, forgets the URL, and ``close()`` closes it."""
    user_id: str | None = None
    """Whose sessions are searched; None for all that the store can see."""
    k: int = Field(default=5, ge=1)
    """How many documents to return."""
    session_ids: Sequence[str] | None = None
    """Only these sessions."""
    exclude_session_ids: Sequence[str] | None = None
    """Not these: the one that is going on, for example."""
    roles: Sequence[Role] | None = None
    """Only messages of these roles."""
    filter: Mapping[str, Any] | InstanceOf[Compare] | InstanceOf[And] | InstanceOf[Or] | InstanceOf[Not] | None = None
    """Only messages whose metadata has all of these keys with these values, or meets this filter."""
    since: datetime | None = None
    """Only messages written at or after this aware time."""
    until: datetime | None = None
    """Only messages written before this aware time."""
    min_score: float = Field(default=0.0, ge=0, le=1)
    """Only messages with at least this score; it means the same in every call."""
    mode: Mode = "hybrid"
    """By words and meaning, by words alone, or by meaning alone."""
    group_by: GroupBy = "message"
    """``session`` for the best message of each session."""
    neighbours: int = Field(default=0, ge=0)
    """How many messages before and after each hit to show in the document's text, with speaker and time."""
    author: str | None = None
    """Only messages of this author."""
    archived: bool = False
    """Whether archived sessions are searched too."""
    recency: float = Field(default=0.0, ge=0, le=1)
    """How much newer messages are preferred, 0-1."""
    wait: bool = False
    """Wait until what was written before is found too."""
    on_outage: OnOutage = "raise"
    """What to do where the embedding cannot answer: raise, or go by words alone."""

    _opened: SessionStore | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _open(self) -> Self:
        self.store, self._opened = store_of(self.store, self.url)
        self.url = None
        return self

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  # the framework asks for it by name
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        store, arguments = self._search(options)
        return [] if arguments is None else _documents(store.search(query, **arguments))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002  # as above
        **options: Unpack[SearchOptions],
    ) -> list[Document]:
        store, arguments = self._search(options)
        return [] if arguments is None else _documents(await store.asearch(query, **arguments))

    def _search(self, called: Mapping[str, Any]) -> tuple[SessionStore, dict[str, Any] | None]:
        """The store and the arguments of a search; None for those where no session is left to search."""
        settled: Any = {name: getattr(self, name) for name in _OPTIONS}
        arguments = narrowed(settled, called)
        store, _ = store_of(self.store, None)
        return store, None if arguments["session_ids"] == [] else arguments


def _documents(hits: SearchResults) -> list[Document]:
    return [_document(hit) for hit in hits]


def _document(hit: SearchHit) -> Document:
    message = hit.message
    file = {} if hit.file is None else {"file": hit.file.name, "version": hit.file.version}
    return Document(
        id=f"{hit.session_id}/{message.seq}",
        page_content=with_neighbours(hit) if hit.neighbours else message.text,
        metadata={
            "session_id": hit.session_id,
            "session_title": hit.session_title,
            "message_id": message.id,
            "seq": message.seq,
            "role": message.role,
            "name": message.name,
            "author": message.author,
            "created_at": None if message.created_at is None else message.created_at.isoformat(),
            "score": hit.score,
            **file,
        },
    )
