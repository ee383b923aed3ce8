"""The use cases of a collection: put nodes in, get them, delete them, find the best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from numpy.typing import ArrayLike
from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput
from agent_session_core.filters import Filter, checked
from agent_session_core.nodes.ranking import NodeArrays, NodeMode, Question, ranked
from agent_session_core.nodes.records import Node, NodeHit, from_row, question_stems, to_rows, unit_vector
from agent_session_core.search.rows import clean
from agent_session_core.search.words import Analyzer
from agent_session_core.sql import nodes as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.nodes import Chosen, CollectionName

__all__ = ["NodeCollection"]


class NodeCollection:
    """The nodes of one collection. Keep the object: it keeps the arrays that queries are answered from.

    Args:
        database: where the nodes live.
        tenant: the tenant it belongs to.
        user_id: the user it belongs to; None for the collections of no user.
        name: its name, unique for that user.
        analyzer: how texts become words.

    Raises:
        InvalidInput: for a name that is no id.
    """

    def __init__(
        self, database: Database, tenant: str, user_id: str | None, name: str, *, analyzer: Analyzer = "english"
    ) -> None:
        self._database = database
        self._name = CollectionName(tenant, user_id, _checks.identifier(name, "collection"))
        self._analyzer = analyzer
        self._cached: tuple[int, int, NodeArrays] | None = None

    @property
    def name(self) -> str:
        """The collection's name."""
        return self._name.name

    def add(self, nodes: Sequence[Node]) -> list[str]:
        """Store ``nodes``, all or none; one with the id of a stored node takes its place.

        Returns:
            Their ids.

        Raises:
            InvalidInput: for a node without a vector, or one of another dimension than the collection's.
        """
        rows = to_rows(nodes, self._analyzer)
        return self._database.write(partial(self._put, rows)) if rows else []

    async def aadd(self, nodes: Sequence[Node]) -> list[str]:
        """As :meth:`add`, without blocking the event loop."""
        rows = await self._database.in_thread(partial(to_rows, nodes, self._analyzer))
        return await self._database.awrite(partial(self._put, rows)) if rows else []

    def get(self, *, node_ids: Sequence[str] | None = None, filters: Filter | None = None) -> list[Node]:
        """The nodes that meet all that is given: in the order of ``node_ids``, else in that of their storing."""
        return self._database.read(partial(self._get, _chosen(node_ids, None, filters)), snapshot=True)

    async def aget(self, *, node_ids: Sequence[str] | None = None, filters: Filter | None = None) -> list[Node]:
        """As :meth:`get`, without blocking the event loop."""
        return await self._database.aread(partial(self._get, _chosen(node_ids, None, filters)), snapshot=True)

    def delete(
        self,
        *,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
        filters: Filter | None = None,
    ) -> int:
        """Delete the nodes that meet all that is given; how many there were.

        Raises:
            InvalidInput: when nothing is given; :meth:`clear` deletes everything.
        """
        return self._database.write(partial(self._delete, _restricted(node_ids, ref_doc_ids, filters)))

    async def adelete(
        self,
        *,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
        filters: Filter | None = None,
    ) -> int:
        """As :meth:`delete`, without blocking the event loop."""
        return await self._database.awrite(partial(self._delete, _restricted(node_ids, ref_doc_ids, filters)))

    def clear(self) -> int:
        """Delete every node; how many there were. The next nodes may have vectors of another dimension."""
        return self._database.write(lambda conn: sql.drop_collection(conn, self._name))

    async def aclear(self) -> int:
        """As :meth:`clear`, without blocking the event loop."""
        return await self._database.awrite(lambda conn: sql.drop_collection(conn, self._name))

    def query(
        self,
        *,
        mode: NodeMode = "vector",
        vector: ArrayLike | None = None,
        text: str | None = None,
        k: int = 10,
        alpha: float = 0.5,
        threshold: float = 0.5,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
        filters: Filter | None = None,
    ) -> list[NodeHit]:
        """The ``k`` best of the nodes that meet all that is given, best first.

        Args:
            mode: ``vector`` ranks by cosine (-1 to 1); ``words`` by BM25, as a share (0-1) of the most the words of
                ``text`` could earn, without nodes that have none of them; ``hybrid`` by the two, weighted by
                ``alpha``; ``varied`` by cosine too, passing over what is like the nodes already taken.
            vector: the question's embedding, shape (dimensions,).
            text: the question's words.
            k: how many nodes are wanted.
            alpha: 1 for the vector alone, 0 for the words alone.
            threshold: in ``varied``, 1 for the question alone, 0 for variety alone.
            node_ids: only these.
            ref_doc_ids: only nodes of these documents.
            filters: only nodes whose metadata meet this.

        Raises:
            InvalidInput: when the mode lacks its vector or text, or the vector has another dimension.
        """
        question = self._question(mode, vector, text, k, alpha, threshold)
        chosen = _chosen(node_ids, ref_doc_ids, filters)
        return self._database.read(partial(self._query, question, chosen), snapshot=True)

    async def aquery(
        self,
        *,
        mode: NodeMode = "vector",
        vector: ArrayLike | None = None,
        text: str | None = None,
        k: int = 10,
        alpha: float = 0.5,
        threshold: float = 0.5,
        node_ids: Sequence[str] | None = None,
        ref_doc_ids: Sequence[str] | None = None,
        filters: Filter | None = None,
    ) -> list[NodeHit]:
        """As :meth:`query`, without blocking the event loop."""
        question = self._question(mode, vector, text, k, alpha, threshold)
        chosen = _chosen(node_ids, ref_doc_ids, filters)
        return await self._database.aread(partial(self._query, question, chosen), snapshot=True)

    def _put(self, rows: list[dict[str, Any]], conn: Connection) -> list[str]:
        dimensions = len(rows[0]["vector"]) // 4
        collection = sql.make_collection(conn, self._name, self._analyzer, dimensions)
        self._check_analyzer(collection)
        self._check_dimensions(collection, dimensions)
        sql.put(conn, collection.id, list({row["node_id"]: row for row in rows}.values()))
        return [row["node_id"] for row in rows]

    def _get(self, chosen: Chosen, conn: Connection) -> list[Node]:
        collection = sql.find_collection(conn, self._name)
        found = [] if collection is None else [from_row(row) for row in sql.fetch(conn, collection.id, chosen)]
        if chosen.node_ids is not None:
            place = {node_id: place for place, node_id in enumerate(chosen.node_ids)}
            found.sort(key=lambda node: place[node.id])
        return found

    def _delete(self, chosen: Chosen, conn: Connection) -> int:
        collection = sql.find_collection(conn, self._name)
        return 0 if collection is None else sql.remove(conn, collection.id, chosen)

    def _question(
        self, mode: NodeMode, vector: ArrayLike | None, text: str | None, k: int, alpha: float, threshold: float
    ) -> Question:
        unit = None if vector is None else unit_vector(vector, "vector")
        if text is not None and not isinstance(text, str):
            raise InvalidInput(f"text: expected a string, got {type(text).__name__} {_checks.shown(text)}")
        stems = None if text is None else question_stems(text, self._analyzer)
        return Question(mode=mode, vector=unit, stems=stems, k=k, alpha=alpha, threshold=threshold)

    def _query(self, question: Question, chosen: Chosen, conn: Connection) -> list[NodeHit]:
        collection = sql.find_collection(conn, self._name)
        if collection is None:
            return []
        if question.vector is not None:
            self._check_dimensions(collection, len(question.vector))
        if question.stems is not None:
            self._check_analyzer(collection)
        arrays = self._arrays(conn, collection)
        among = arrays.positions(sql.chosen_ids(conn, collection.id, chosen)) if chosen else None
        found = ranked(arrays, question, among)
        rows = {row.id: row for row in sql.fetch_rows(conn, collection.id, [row for row, _ in found])}
        return [NodeHit(node=from_row(rows[row]), score=score) for row, score in found]

    def _arrays(self, conn: Connection, collection: sql.CollectionRow) -> NodeArrays:
        """The collection's arrays: those of the last query, and what was stored since; all anew after any change.

        Another thread may have answered from a newer snapshot meanwhile: of its arrays only the beginning is used.
        """
        cached = self._cached
        kept = cached[2] if cached is not None and cached[:2] == (collection.id, collection.epoch) else None
        if kept is None or not len(kept.ids):
            arrays = NodeArrays.of(sql.scan(conn, collection.id, 0), collection.dimensions)
        else:
            rows = sql.scan(conn, collection.id, kept.last - 1)
            if not rows:  # nothing was deleted, so the snapshot ends before the arrays do
                return kept.up_to(max(sql.chosen_ids(conn, collection.id, Chosen()), default=0))
            arrays = kept.followed_by(NodeArrays.of(rows[1:], collection.dimensions)) if rows[1:] else kept
        self._cached = (collection.id, collection.epoch, arrays)
        return arrays

    def _check_dimensions(self, collection: sql.CollectionRow, dimensions: int) -> None:
        if dimensions != collection.dimensions:
            raise InvalidInput(
                f"vector: {dimensions} numbers, but collection {_checks.shown(self.name)} holds vectors of "
                f"{collection.dimensions}; use the embedding it was filled with, another collection, or clear()"
            )

    def _check_analyzer(self, collection: sql.CollectionRow) -> None:
        if self._analyzer != collection.analyzer:
            raise InvalidInput(
                f"analyzer: {self._analyzer}, but collection {_checks.shown(self.name)} was filled with "
                f"{collection.analyzer}; open the store with that, use another collection, or clear()"
            )


def _chosen(node_ids: Sequence[str] | None, ref_doc_ids: Sequence[str] | None, filters: Filter | None) -> Chosen:
    return Chosen(
        node_ids=_checks.identifiers(node_ids, "node_ids"),
        ref_doc_ids=None if ref_doc_ids is None else [_document_id(one) for one in _listed(ref_doc_ids)],
        condition=None if filters is None else checked(filters),
    )


def _listed(ids: Sequence[str]) -> Sequence[str]:
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise InvalidInput(f"ref_doc_ids: expected a list of ids, got {_checks.shown(ids)}; write [...] around it")
    return ids


def _document_id(value: object) -> str:
    """The id of a document, of any length, as its column holds it."""
    if not isinstance(value, str):
        raise InvalidInput(f"ref_doc_ids: expected strings, got {_checks.shown(value)}; use str(...)")
    return clean(value)


def _restricted(node_ids: Sequence[str] | None, ref_doc_ids: Sequence[str] | None, filters: Filter | None) -> Chosen:
    chosen = _chosen(node_ids, ref_doc_ids, filters)
    if not chosen:
        raise InvalidInput("node_ids: neither ids, documents nor filters are given; clear() deletes every node")
    return chosen
