"""A node as callers see it, and as its row holds it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agent_session_core import _checks
from agent_session_core._checks import shown
from agent_session_core._json import decode, encode
from agent_session_core.errors import InvalidInput
from agent_session_core.search.rows import clean
from agent_session_core.search.words import Analyzer, Words
from agent_session_core.sql.nodes import NodeRow

__all__ = ["Node", "NodeHit", "from_row", "question_stems", "to_rows", "unit_vector"]

MAX_NODE = 32 * 1024 * 1024
"""Characters of one stored node: its text, metadata and data together."""
MAX_METADATA = 1024 * 1024
"""Characters of JSON in the metadata of a node."""
MAX_DIMENSIONS = 65_536
"""Numbers in a vector."""
MAX_COUNT = 65_535
"""What fits in the column of counts; a word that stands more often counts as this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A piece of text with what belongs to it.

    Attributes:
        id: unique in its collection.
        text: what is searched by words.
        metadata: a JSON object, for filters.
        data: any JSON value of the caller's, kept as it is.
        ref_doc_id: the document it was cut from.
        vector: its embedding, shape (dimensions,); given when it is stored, None when it is read.
    """

    id: str
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    ref_doc_id: str | None = None
    vector: ArrayLike | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHit:
    """A node that a query found, with its score."""

    node: Node
    score: float


def to_rows(nodes: Sequence[Node], analyzer: Analyzer) -> list[dict[str, Any]]:
    """The rows of ``nodes`` (a list, not a single node), whose vectors are all of the first one's dimension.

    Raises:
        InvalidInput: naming the node and what is wrong with it.
    """
    if isinstance(nodes, str) or not isinstance(nodes, Iterable):
        raise InvalidInput(f"nodes: expected a list of nodes, got {type(nodes).__name__} {shown(nodes)}; put it in one")
    rows = [_row(node) for node in nodes]
    if not rows:
        return []
    first, dimensions = shown(rows[0]["node_id"]), len(rows[0]["vector"]) // 4
    for row, stems in zip(rows, _words(analyzer).stems([row["text"] for row in rows]), strict=True):
        if len(row["vector"]) // 4 != dimensions:
            sizes = f"{len(row['vector']) // 4} numbers, {first} one of {dimensions}"
            raise InvalidInput(f"nodes: {shown(row['node_id'])} has a vector of {sizes}; embed all by one model")
        counts = Counter(stems)
        times = np.minimum(np.fromiter(counts.values(), np.int64, len(counts)), MAX_COUNT)
        row["stems"] = np.fromiter(counts, "<u4", len(counts)).tobytes()
        row["counts"] = times.astype("<u2").tobytes()
    return rows


def from_row(row: NodeRow) -> Node:
    """The node of a row.

    Raises:
        CorruptRecord: when the row cannot be read.
    """
    payload = decode(row.payload)
    metadata = payload["metadata"] if "metadata" in payload else decode(row.metadata or "{}")
    text = payload.get("text", row.text)
    return Node(id=row.node_id, text=text, metadata=metadata, data=payload.get("data"), ref_doc_id=row.ref_doc_id)


def question_stems(text: str, analyzer: Analyzer) -> list[int]:
    """The stems of a question's words, in order."""
    words = _words(analyzer)
    return [stem for found in words.stems(words.split(text)) for stem in found]


def unit_vector(vector: ArrayLike, argument: str) -> NDArray[np.float32]:
    """``vector`` as float32 of unit length; one of nothing but zeros stays as it is.

    Raises:
        InvalidInput: when it is no list of finite numbers.
    """
    try:
        numbers = np.asarray(vector, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{argument}: a vector is a list of numbers, got {shown(vector)}") from None
    if numbers.ndim != 1 or not 0 < len(numbers) <= MAX_DIMENSIONS:
        raise InvalidInput(f"{argument}: a vector is 1 to {MAX_DIMENSIONS:,} numbers, got the shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{argument}: the vector holds NaN or infinity; embed the text again")
    numbers = numbers / (np.abs(numbers).max() or 1.0)  # else the squares of very large or small ones are lost
    return (numbers / (np.linalg.norm(numbers) or 1.0)).astype(np.float32)


def _row(node: Node) -> dict[str, Any]:
    if not isinstance(node, Node):
        raise InvalidInput(f"nodes: expected a Node, got {type(node).__name__} {shown(node)}; use Node(id=..., ...)")
    node_id = _checks.identifier(node.id, "nodes: id")
    where = f"nodes: {shown(node_id)}"
    if not isinstance(node.text, str):
        raise InvalidInput(f"{where}: text: expected a string, got {type(node.text).__name__} {shown(node.text)}")
    if node.ref_doc_id is not None and not isinstance(node.ref_doc_id, str):
        raise InvalidInput(f"{where}: ref_doc_id: expected a string, got {shown(node.ref_doc_id)}; use str(...)")
    if node.vector is None:
        raise InvalidInput(f"{where} has no vector; embed its text first")
    payload: dict[str, Any] = {} if node.data is None else {"data": node.data}
    text = clean(node.text)
    if text != node.text:
        payload["text"] = node.text
    metadata = _metadata(node.metadata, f"{where}: metadata")
    fit = _clean_json(metadata)
    if fit != metadata:
        payload["metadata"] = metadata
    row = {
        "node_id": node_id,
        "ref_doc_id": None if node.ref_doc_id is None else clean(node.ref_doc_id),
        "vector": unit_vector(node.vector, where).astype("<f4").tobytes(),
        "metadata": encode(fit, where) if fit else None,
        "text": text,
        "payload": encode(payload, f"{where}: data"),
    }
    size = len(text) + len(row["payload"] or "") + len(row["metadata"] or "")
    if size > MAX_NODE:
        raise InvalidInput(f"{where} has {size:,} characters; keep a node within {MAX_NODE:,}")
    return row


def _metadata(value: Any, argument: str) -> dict[str, Any]:
    """``value`` as JSON gives it back.

    Raises:
        InvalidInput: when it is no mapping of finite JSON values, or too large.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{argument}: expected a mapping, got {type(value).__name__} {shown(value)}")
    text = encode(dict(value), argument)
    if len(text) > MAX_METADATA:
        raise InvalidInput(f"{argument}: {len(text):,} characters of JSON; keep it within {MAX_METADATA:,}")
    try:
        json.dumps(dict(value), allow_nan=False)
    except ValueError:
        raise InvalidInput(f"{argument}: holds NaN or infinity, which JSON has not; use None or a string") from None
    metadata: dict[str, Any] = decode(text)
    return metadata


def _clean_json(value: Any) -> Any:
    """``value`` with what a JSON column cannot hold taken out of every text in it."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_json(item) for key, item in value.items()}
    return [_clean_json(item) for item in value] if isinstance(value, list) else value


@cache
def _words(analyzer: Analyzer) -> Words:
    return Words(analyzer)
