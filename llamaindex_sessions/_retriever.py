"""A retriever of LlamaIndex over what was said in past sessions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType, TextNode
from typing_extensions import Unpack

from agent_session_core import SearchHit, SearchResults, SessionStore
from llamaindex_sessions._opening import chosen
from llamaindex_sessions._options import SearchOptions, narrowed

__all__ = ["SessionRetriever"]

TOP_K = 5
"""Results of a search that does not say how many."""

SHOWN_TO_MODELS = frozenset({"role", "author", "created_at", "session_title", "neighbours", "file", "version"})
"""Metadata that a model is shown with the text; the rest is for programs."""


class SessionRetriever(BaseRetriever):
    """Finds messages of past sessions by meaning and by words.

    Each result is a ``TextNode`` with the message's text; its id is the same in every search. Its metadata holds
    session_id, message_id, seq, role, created_at (ISO 8601), score (0-1), session_title and author, and where there
    are any: name, duplicates, highlights, neighbours (lines of text), explanation, degraded; for a passage of a file
    also file (its name) and version. A model is shown who said it, when, and in which session or file.

    Args:
        store: an open store, which stays the caller's to close.
        url: a database to open in its place; :meth:`close` closes it.
        user_id: whose sessions are searched: those of others cannot be found.
        callback_manager: LlamaIndex's callbacks.
        verbose: whether LlamaIndex prints what it retrieves from.
        options: how many results (``similarity_top_k``, 5) and every option of ``SessionStore.search``; each can be
            given to a single :meth:`retrieve` too, which can narrow the sessions and the metadata, and not widen them.

    Raises:
        InvalidInput: unless exactly one of ``store`` and ``url`` is given, and for an unknown option.
        StorageUnavailable: when the database cannot be opened.
    """

    def __init__(
        self,
        store: SessionStore | None = None,
        *,
        url: str | None = None,
        user_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
        **options: Unpack[SearchOptions],
    ) -> None:
        self._options = narrowed({}, options)
        self._store, self._opened = chosen(store, url, user_id)
        super().__init__(callback_manager=callback_manager, verbose=verbose)

    def __repr__(self) -> str:
        return f"SessionRetriever(user_id={self._store.user_id!r})"

    def retrieve(self, str_or_query_bundle: QueryType, **options: Unpack[SearchOptions]) -> list[NodeWithScore]:
        """The messages that answer a question, best first.

        Args:
            str_or_query_bundle: the question.
            options: what this search is told in place of what the retriever was made with.

        Raises:
            InvalidInput: when an option is unknown or cannot be used.
            IndexUnavailable: when the index cannot answer.
        """
        return super(SessionRetriever, self._with(options)).retrieve(str_or_query_bundle)

    async def aretrieve(self, str_or_query_bundle: QueryType, **options: Unpack[SearchOptions]) -> list[NodeWithScore]:
        """As :meth:`retrieve`."""
        return await super(SessionRetriever, self._with(options)).aretrieve(str_or_query_bundle)

    def close(self) -> None:
        """Close the store if it was opened here, from ``url=``; one that was handed over stays open."""
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """As :meth:`close`."""
        if self._opened is not None:
            await self._opened.aclose()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        arguments = self._arguments()
        return [] if arguments is None else _nodes(self._store.search(query_bundle.query_str, **arguments))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        arguments = self._arguments()
        return [] if arguments is None else _nodes(await self._store.asearch(query_bundle.query_str, **arguments))

    def _arguments(self) -> dict[str, Any] | None:
        """What the search is called with; None where no session is left to search."""
        if self._options.get("session_ids") == []:
            return None
        options = dict(self._options)
        return {"limit": options.pop("similarity_top_k", TOP_K), **options}

    def _with(self, options: Mapping[str, Any]) -> SessionRetriever:
        if not options:
            return self
        other = copy.copy(self)
        other._options = narrowed(self._options, options)  # noqa: SLF001  # an instance of this class
        return other


def _nodes(found: SearchResults) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(hit, found.degraded), score=hit.score) for hit in found]


def _node(hit: SearchHit, degraded: str | None) -> TextNode:
    message = hit.message
    metadata: dict[str, Any] = {
        "session_id": hit.session_id,
        "message_id": message.id,
        "seq": message.seq,
        "role": message.role,
        "created_at": message.created_at.isoformat() if message.created_at is not None else None,
        "score": hit.score,
        "session_title": hit.session_title,
        "author": message.author,
    }
    more = {
        "name": message.name,
        "duplicates": hit.duplicates,
        "highlights": list(hit.highlights),
        "neighbours": [f"{other.role}: {other.text}" for other in hit.neighbours],
        "explanation": asdict(hit.explanation) if hit.explanation is not None else None,
        "degraded": degraded,
        "file": hit.file.name if hit.file is not None else None,
        "version": hit.file.version if hit.file is not None else None,
    }
    metadata |= {key: value for key, value in more.items() if value}
    return TextNode(
        id_=f"{hit.session_id}/{message.seq}",
        text=message.text,
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
        excluded_llm_metadata_keys=[key for key in metadata if key not in SHOWN_TO_MODELS or metadata[key] is None],
    )
