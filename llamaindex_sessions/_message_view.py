"""The messages of past sessions as nodes that can be read and queried."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timezone
from typing import Any

from llama_index.core.schema import BaseNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode, VectorStoreQueryResult

from agent_session_core import InvalidInput, Message, SearchHit, Session, SessionNotFound, SessionRecord, SessionStore
from agent_session_core.filters import Filter
from llamaindex_sessions._message_filter import OWN_KEYS, MessageFilter
from llamaindex_sessions._reading import asessions_of, sessions_of

__all__ = ["MessageView", "mode_name"]

MODES = {
    VectorStoreQueryMode.DEFAULT: "semantic",
    VectorStoreQueryMode.SPARSE: "keyword",
    VectorStoreQueryMode.TEXT_SEARCH: "keyword",
    VectorStoreQueryMode.HYBRID: "hybrid",
    VectorStoreQueryMode.SEMANTIC_HYBRID: "hybrid",
}
"""How messages are searched in each of LlamaIndex's modes."""

MOST = 1_000
"""Hits that one search gives at most."""


class MessageView:
    """The messages a store can reach.

    Args:
        store: the store.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    def get(self, node_ids: Sequence[str] | None, condition: Filter | None) -> list[BaseNode]:
        """The nodes that meet all that is given, session by session, or in the order of ``node_ids``."""
        wanted = MessageFilter.of(condition, node_ids)
        return wanted.chosen([node for session in self._sessions(wanted.sessions) for node in _read(session)])

    async def aget(self, node_ids: Sequence[str] | None, condition: Filter | None) -> list[BaseNode]:
        """As :meth:`get`."""
        wanted = MessageFilter.of(condition, node_ids)
        found: list[BaseNode] = []
        async for session in self._asessions(wanted.sessions):
            found += await _aread(session)
        return wanted.chosen(found)

    def query(self, query: VectorStoreQuery, condition: Filter | None) -> VectorStoreQueryResult:
        """The best messages for a question, best first."""
        asked = MessageQuery.of(query, condition)
        result = asked.result(())
        for limit in asked.limits():
            found = self._store.search(**asked.arguments, limit=limit)
            result = asked.result(found)
            if len(found) < limit or asked.satisfied(result):
                break
        return result

    async def aquery(self, query: VectorStoreQuery, condition: Filter | None) -> VectorStoreQueryResult:
        """As :meth:`query`."""
        asked = MessageQuery.of(query, condition)
        result = asked.result(())
        for limit in asked.limits():
            found = await self._store.asearch(**asked.arguments, limit=limit)
            result = asked.result(found)
            if len(found) < limit or asked.satisfied(result):
                break
        return result

    def _sessions(self, ids: Sequence[str] | None) -> Iterator[Session]:
        """The sessions with these ids that are there; without ids, every one."""
        if ids is None:
            yield from sessions_of(self._store)
        for session_id in ids or ():
            with suppress(SessionNotFound):
                yield self._store.session(session_id, create=False)

    async def _asessions(self, ids: Sequence[str] | None) -> AsyncIterator[Session]:
        if ids is None:
            async for session in asessions_of(self._store):
                yield session
        for session_id in ids or ():
            with suppress(SessionNotFound):
                yield await self._store.asession(session_id, create=False)


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """One query of the messages.

    Attributes:
        arguments: those of ``SessionStore.search``, but for ``limit``.
        wanted: how many nodes are asked for.
        exact: whether the search is told everything, so that all of its hits will do.
        filter: which hits will do.
    """

    arguments: Mapping[str, Any]
    wanted: int
    exact: bool
    filter: MessageFilter

    @classmethod
    def of(cls, query: VectorStoreQuery, condition: Filter | None) -> MessageQuery:
        """The query that LlamaIndex means.

        Raises:
            InvalidInput: without a question in words, or for a mode that messages are not searched in.
        """
        mode = MODES.get(query.mode)
        if mode is None:
            offered = ", ".join(known.value for known in MODES)
            raise InvalidInput(f"mode: {mode_name(query)} is not offered for messages; use one of {offered}")
        if not query.query_str:
            raise InvalidInput("query_str: messages are searched by a question in words; give one")
        top = {"keyword": query.sparse_top_k, "hybrid": query.hybrid_top_k}.get(mode)
        chosen = MessageFilter.of(condition, query.node_ids, query.doc_ids)
        told, exact = chosen.told()
        return cls({"query": query.query_str, "mode": mode, **told}, top or query.similarity_top_k, exact, chosen)

    def limits(self) -> Iterator[int]:
        """How many hits to ask for: as many as wanted; then more, as long as too few of them will do."""
        if self.arguments.get("session_ids") == []:
            return
        yield self.wanted
        more = self.wanted
        while not self.exact and more < MOST:
            more = min(more * 8, MOST)
            yield more

    def satisfied(self, result: VectorStoreQueryResult) -> bool:
        """Whether there are as many nodes as asked for."""
        return len(result.ids or ()) == self.wanted

    def result(self, found: Sequence[SearchHit]) -> VectorStoreQueryResult:
        """The hits that will do, as nodes."""
        pairs = [(_found(hit), hit.score) for hit in found]
        kept = [(node, score) for node, score in pairs if self.filter.allows(node)][: self.wanted]
        nodes, similarities = [node for node, _ in kept], [score for _, score in kept]
        return VectorStoreQueryResult(nodes=nodes, similarities=similarities, ids=[node.node_id for node in nodes])


def mode_name(query: VectorStoreQuery) -> str:
    """The mode that is asked for, as LlamaIndex writes it, even where LlamaIndex has no such mode."""
    return str(getattr(query.mode, "value", query.mode))[:60]


def _read(session: Session) -> list[BaseNode]:
    try:
        return _nodes(session.record(), session.messages(archived=None))
    except SessionNotFound:  # deleted since it was listed
        return []


async def _aread(session: Session) -> list[BaseNode]:
    try:
        return _nodes(await session.arecord(), await session.amessages(archived=None))
    except SessionNotFound:
        return []


def _nodes(session: SessionRecord, messages: Sequence[Message]) -> list[BaseNode]:
    return [_node(message, session.id, session.title) for message in messages]


def _found(hit: SearchHit) -> TextNode:
    """A hit as a node; that of a passage says the name and version of its file."""
    node = _node(hit.message, hit.session_id, hit.session_title)
    if hit.file is not None:
        node.metadata |= {"file": hit.file.name, "version": hit.file.version}
    return node


def _node(message: Message, session_id: str, session_title: str | None) -> TextNode:
    """A message as a node. Its id is ``<session id>/<seq>``, its document is its session.

    The metadata is the message's own, then session_id, message_id, seq, role, created_at (ISO 8601, UTC), and author,
    name and session_title where there are any.
    """
    created_at = message.created_at
    own = {
        "session_id": session_id,
        "message_id": message.id,
        "seq": message.seq,
        "role": message.role,
        "created_at": None if created_at is None else created_at.astimezone(timezone.utc).isoformat(),
        "author": message.author,
        "name": message.name,
        "session_title": session_title,
    }
    own = {key: value for key, value in own.items() if value is not None}
    return TextNode(
        id_=f"{session_id}/{message.seq}",
        text=message.text,
        metadata={key: value for key, value in message.metadata.items() if key not in OWN_KEYS} | own,
        excluded_embed_metadata_keys=list(own),
        excluded_llm_metadata_keys=["session_id", "message_id", "seq"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=session_id)},
    )
