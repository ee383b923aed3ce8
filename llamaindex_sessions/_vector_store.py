"""A vector store of LlamaIndex in the database of the sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from typing_extensions import Self

from agent_session_core import InvalidInput, SessionStore
from agent_session_core.filters import Filter
from agent_session_core.nodes import NodeCollection, NodeHit, NodeMode
from llamaindex_sessions._arguments import check_query
from llamaindex_sessions._filters import condition_of
from llamaindex_sessions._message_view import MessageView, mode_name
from llamaindex_sessions._nodes import nodes_to_records, record_to_node
from llamaindex_sessions._opening import StoreBacked

__all__ = ["SessionVectorStore"]

MESSAGES = "messages"
"""The collection that is a view of the sessions' messages."""

MODES: dict[VectorStoreQueryMode, NodeMode] = {
    VectorStoreQueryMode.DEFAULT: "vector",
    VectorStoreQueryMode.SPARSE: "words",
    VectorStoreQueryMode.TEXT_SEARCH: "words",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
    VectorStoreQueryMode.MMR: "varied",
}
"""How a collection is searched in each of LlamaIndex's modes."""


class SessionVectorStore(StoreBacked, BasePydanticVectorStore):
    """Nodes in a collection, for ``VectorStoreIndex`` and ``VectorMemoryBlock``; or past messages, to be queried.

    A collection holds nodes of every class, with vectors of one embedding, and belongs to one user or to none. Nodes
    come back equal, without their embedding. Filters mean what they mean to ``SimpleVectorStore``, and may be nested;
    they choose nodes inside the search, so that no answer is shorter than it need be.

    Similarities mean the same in every query: the cosine (-1 to 1) in the modes ``default`` and ``mmr``; in ``sparse``
    and ``text_search`` BM25 as a share (0-1) of the most the question's words could earn; in ``hybrid`` and
    ``semantic_hybrid`` the two weighted by ``alpha`` (1 for the vector alone, 0.5 if not given).

    The collection ``messages`` is a read-only view of what was said in the sessions, found by the store's own search:
    ``default`` searches by meaning, ``sparse`` and ``text_search`` by words, ``hybrid`` and ``semantic_hybrid`` by both
    as well as the store can (``alpha`` does not apply). It needs the question in words and no embedding. Filters are on
    session_id, role, author, created_at (ISO 8601) and the messages' own metadata; ``doc_ids`` are session ids. A
    filter that mixes these by ``or`` looks among the best 1,000. A query finds passages of files too, with ``file`` and
    ``version`` in their metadata; :meth:`get_nodes` shows messages alone.

    In a query, empty ``node_ids`` or ``doc_ids`` restrict nothing, as LlamaIndex's retrievers mean it.

    Args:
        store: an open store, which stays the caller's to close.
        url: a database to open in its place; :meth:`close` closes it.
        user_id: whose nodes (or messages) these are: those of others cannot be reached.
        collection: the collection's name.

    Raises:
        InvalidInput: unless exactly one of ``store`` and ``url`` is given, and for a name that is no id. From every
            method: naming what cannot be used; nothing has changed then.
        StorageUnavailable: when the database cannot be opened; from every method, when it cannot be reached.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    collection: str = Field(default="default", description="The collection; 'messages' for those of the sessions.")

    _nodes: NodeCollection | None = PrivateAttr(default=None)

    def __init__(
        self,
        store: SessionStore | None = None,
        *,
        url: str | None = None,
        user_id: str | None = None,
        collection: str = "default",
    ) -> None:
        super().__init__(store, url=url, user_id=user_id)
        self.collection = collection
        self.is_embedding_query = collection != MESSAGES
        try:
            self._nodes = self._store.nodes(collection) if collection != MESSAGES else None
        except InvalidInput:
            self.close()
            raise

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """The vector store that ``to_dict`` told of, over ``store=`` or ``url=``, which it did not tell."""
        told = {key: value for key, value in data.items() if key not in ("stores_text", "is_embedding_query")}
        return super().from_dict(told, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex tells components apart."""
        return "SessionVectorStore"

    @property
    def client(self) -> SessionStore:
        """The session store."""
        return self._store

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes with their embeddings, all or none; a node with a stored node's id takes its place.

        Returns:
            Their ids.

        Raises:
            InvalidInput: for a node without an embedding or with one of another dimension; in the view of messages.
        """
        return self._writable(kwargs).add(nodes_to_records(nodes))

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """As :meth:`add`."""
        collection = self._writable(kwargs)
        return await collection.aadd(await asyncio.to_thread(nodes_to_records, nodes))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        self._writable(delete_kwargs).delete(ref_doc_ids=[ref_doc_id])

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As :meth:`delete`."""
        await self._writable(delete_kwargs).adelete(ref_doc_ids=[ref_doc_id])

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete the nodes with these ids that meet the filters. An empty list of ids deletes none.

        Raises:
            InvalidInput: when neither is given: :meth:`clear` deletes everything.
        """
        self._writable(delete_kwargs).delete(node_ids=node_ids, filters=condition_of(filters))

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """As :meth:`delete_nodes`."""
        await self._writable(delete_kwargs).adelete(node_ids=node_ids, filters=condition_of(filters))

    def clear(self) -> None:
        """Delete every node of the collection; messages are never touched. Afterwards any embedding may come."""
        self._writable({}).clear()

    async def aclear(self) -> None:
        """As :meth:`clear`."""
        await self._writable({}).aclear()

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes with these ids (any, if none are given) that meet the filters.

        They come in the order of the ids, or of their storing. The view of messages reads every session that the ids
        or filters do not rule out.
        """
        condition = condition_of(filters)
        if self._nodes is None:
            return self._messages.get(node_ids, condition)
        return [record_to_node(record) for record in self._nodes.get(node_ids=node_ids or None, filters=condition)]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """As :meth:`get_nodes`."""
        condition = condition_of(filters)
        if self._nodes is None:
            return await self._messages.aget(node_ids, condition)
        records = await self._nodes.aget(node_ids=node_ids or None, filters=condition)
        return await asyncio.to_thread(lambda: [record_to_node(record) for record in records])

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes for a question, best first.

        Args:
            query: as LlamaIndex has it. ``hybrid_top_k`` and ``sparse_top_k`` take the place of ``similarity_top_k`` in
                their modes, where given.
            kwargs: ``mmr_threshold`` (0-1, 0.5 if not given): 1 looks at the question only, 0 for variety only.

        Raises:
            InvalidInput: for a mode that is not offered, an embedding or question that is missing, another option.
            IndexUnavailable: in the view of messages, when the index cannot answer.
        """
        check_query(query)
        if self._nodes is None:
            return self._messages.query(query, _condition(query, kwargs))
        return _result(self._nodes.query(**_asked(query, kwargs)))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """As :meth:`query`."""
        check_query(query)
        if self._nodes is None:
            return await self._messages.aquery(query, _condition(query, kwargs))
        return _result(await self._nodes.aquery(**_asked(query, kwargs)))

    def _writable(self, options: Mapping[str, Any]) -> NodeCollection:
        _check_options(options)
        if self._nodes is None:
            raise InvalidInput(
                "collection: 'messages' is a read-only view of the sessions; write messages through a session or chat "
                "store, and nodes into a collection of another name"
            )
        return self._nodes

    @property
    def _messages(self) -> MessageView:
        return MessageView(self._store)


def _asked(query: VectorStoreQuery, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``NodeCollection.query``: of the embedding and the question, only what the mode uses."""
    mode = MODES.get(query.mode)
    if mode is None:
        offered = ", ".join(known.value for known in MODES)
        raise InvalidInput(f"mode: {mode_name(query)} is not offered; use one of {offered}")
    asked: dict[str, Any] = {"mode": mode, "k": query.similarity_top_k, "filters": _condition(query, options, mode)}
    if mode != "words":
        asked["vector"] = _given(query.query_embedding, "query_embedding", query)
    if mode in ("words", "hybrid"):
        asked["text"] = _given(query.query_str, "query_str", query)
        top = query.sparse_top_k if mode == "words" else query.hybrid_top_k
        asked["k"] = query.similarity_top_k if top is None else top
    if mode == "hybrid" and query.alpha is not None:
        asked["alpha"] = query.alpha
    threshold = options.get("mmr_threshold", query.mmr_threshold)
    if mode == "varied" and threshold is not None:
        asked["threshold"] = threshold
    return {**asked, "node_ids": query.node_ids or None, "ref_doc_ids": query.doc_ids or None}


def _condition(query: VectorStoreQuery, options: Mapping[str, Any], mode: str | None = None) -> Filter | None:
    _check_options(options, *(("mmr_threshold",) if mode == "varied" else ()))
    return condition_of(query.filters)


def _check_options(options: Mapping[str, Any], *known: str) -> None:
    """Refuse what would have no effect: it may have been meant to restrict something."""
    for name in options:
        if name not in known:
            raise InvalidInput(f"{name}: is not an option here; leave it out, and use filters to restrict")


def _given(value: Any, argument: str, query: VectorStoreQuery) -> Any:
    if value is None:
        raise InvalidInput(f"{argument}: the mode {mode_name(query)} needs it; give it, or choose another mode")
    return value


def _result(hits: Sequence[NodeHit]) -> VectorStoreQueryResult:
    nodes = [record_to_node(hit.node) for hit in hits]
    return VectorStoreQueryResult(
        nodes=nodes, similarities=[hit.score for hit in hits], ids=[node.node_id for node in nodes]
    )
