"""Statements about nodes and their collections. Each names the tenant and user, or a collection found by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from agent_session_core.filters import Filter, compares
from agent_session_core.sql.filters import meets, one_of, with_entries
from agent_session_core.sql.statement import insert_of
from agent_session_core.sql.tables import node_collections, nodes

DOCUMENT_KEYS = ("ref_doc_id", "doc_id", "document_id")
"""Keys under which a filter finds a node's document, unless the node's own metadata has them."""


@dataclass(frozen=True, slots=True)
class CollectionName:
    """A collection of one user (or of none) in one tenant."""

    tenant: str
    user_id: str | None
    name: str


class CollectionRow(NamedTuple):
    """A row of ``node_collections``."""

    id: int
    analyzer: str
    dimensions: int
    epoch: int


class NodeRow(NamedTuple):
    """What a node's row says of the node itself."""

    id: int
    node_id: str
    ref_doc_id: str | None
    metadata: str | None
    text: str
    payload: str


class ScanRow(NamedTuple):
    """What a node's row says for ranking."""

    id: int
    vector: bytes
    stems: bytes
    counts: bytes


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which nodes of a collection are meant: those that meet all that is given. None restricts nothing."""

    node_ids: Sequence[str] | None = None
    ref_doc_ids: Sequence[str] | None = None
    condition: Filter | None = None

    def __bool__(self) -> bool:
        """Whether anything is restricted."""
        return not (self.node_ids is None and self.ref_doc_ids is None and self.condition is None)


def find_collection(conn: Connection, name: CollectionName) -> CollectionRow | None:
    """The collection, or None where nothing was put into it yet."""
    columns = [node_collections.c[field] for field in CollectionRow._fields]
    row = conn.execute(select(*columns).where(_named(name))).first()
    return None if row is None else CollectionRow(*row)


def make_collection(conn: Connection, name: CollectionName, analyzer: str, dimensions: int) -> CollectionRow:
    """The collection; made with these where it is not there."""
    values = {"tenant": name.tenant, "user_id": name.user_id or "", "name": name.name}
    made = insert_of(conn)(node_collections).values(**values, analyzer=analyzer, dimensions=dimensions)
    conn.execute(made.on_conflict_do_nothing())
    found = find_collection(conn, name)
    assert found is not None  # noqa: S101  # it was made above, in this transaction
    return found


def put(conn: Connection, collection: int, rows: Sequence[dict[str, Any]]) -> None:
    """Insert nodes; one that has the id of a stored node takes its place."""
    replaced = remove(conn, collection, Chosen(node_ids=[row["node_id"] for row in rows]))
    if not replaced:  # the row's lock all the same: whoever reads new rows by their ids needs these to be in order
        conn.execute(update(node_collections).where(node_collections.c.id == collection).values(epoch=_EPOCH))
    conn.execute(insert(nodes), [{"collection": collection, **row} for row in rows])


def remove(conn: Connection, collection: int, chosen: Chosen) -> int:
    """Delete nodes for good; how many there were."""
    count = conn.execute(delete(nodes).where(_where(conn, collection, chosen))).rowcount
    if count:
        conn.execute(update(node_collections).where(node_collections.c.id == collection).values(epoch=_EPOCH + 1))
    return int(count)


def drop_collection(conn: Connection, name: CollectionName) -> int:
    """Delete a collection with all its nodes; how many there were."""
    found = find_collection(conn, name)
    if found is None:
        return 0
    count = conn.execute(delete(nodes).where(nodes.c.collection == found.id)).rowcount
    conn.execute(delete(node_collections).where(node_collections.c.id == found.id))
    return int(count)


def scan(conn: Connection, collection: int, after: int) -> list[ScanRow]:
    """What ranking needs of the nodes stored after row ``after``, in the order of their storing."""
    columns = [nodes.c[field] for field in ScanRow._fields]
    wanted = select(*columns).where(nodes.c.collection == collection, nodes.c.id > after).order_by(nodes.c.id)
    return [ScanRow(*row) for row in conn.execute(wanted)]


def chosen_ids(conn: Connection, collection: int, chosen: Chosen) -> list[int]:
    """The rows that are meant, in the order of their storing."""
    wanted = select(nodes.c.id).where(_where(conn, collection, chosen)).order_by(nodes.c.id)
    return list(conn.execute(wanted).scalars())


def fetch(conn: Connection, collection: int, chosen: Chosen) -> list[NodeRow]:
    """The nodes that are meant, in the order of their storing."""
    return _rows(conn, _where(conn, collection, chosen))


def fetch_rows(conn: Connection, collection: int, ids: Sequence[int]) -> list[NodeRow]:
    """The nodes of these rows, in the order of their storing."""
    return _rows(conn, and_(nodes.c.collection == collection, one_of(conn, nodes.c.id, ids)))


_EPOCH = node_collections.c.epoch


def _rows(conn: Connection, where: ColumnElement[bool]) -> list[NodeRow]:
    columns = [nodes.c[field] for field in NodeRow._fields]
    return [NodeRow(*row) for row in conn.execute(select(*columns).where(where).order_by(nodes.c.id))]


def _named(name: CollectionName) -> ColumnElement[bool]:
    column = node_collections.c
    return and_(column.tenant == name.tenant, column.user_id == (name.user_id or ""), column.name == name.name)


def _where(conn: Connection, collection: int, chosen: Chosen) -> ColumnElement[bool]:
    clauses = [nodes.c.collection == collection]
    if chosen.node_ids is not None:
        clauses.append(one_of(conn, nodes.c.node_id, chosen.node_ids))
    if chosen.ref_doc_ids is not None:
        clauses.append(one_of(conn, nodes.c.ref_doc_id, chosen.ref_doc_ids))
    if chosen.condition is not None:
        clauses.append(meets(conn, chosen.condition, _document(conn, chosen.condition)))
    return and_(*clauses)


def _document(conn: Connection, condition: Filter) -> ColumnElement[Any]:
    """The metadata that a condition is about; with the node's document in it where the condition asks for that."""
    if not any(part.key in DOCUMENT_KEYS for part in compares(condition)):
        return nodes.c.metadata
    return with_entries(conn, nodes.c.metadata, dict.fromkeys(DOCUMENT_KEYS, nodes.c.ref_doc_id))
