"""What Elasticsearch is asked: pure functions from a request to the bodies of one multi-search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_session_core.content import to_microseconds
from agent_session_core.search.elastic import metadata
from agent_session_core.search.elastic.mapping import VECTOR
from agent_session_core.search.rows import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from agent_session_core.ports import Vectors
    from agent_session_core.search.request import SearchRequest

__all__ = [
    "EVERYWHERE",
    "Where",
    "by_vector",
    "by_words",
    "is_filtered",
    "is_rough",
    "newest",
    "parts_of_words",
    "restriction",
    "size_of",
    "unfiltered",
]

DEPTH = 200
"""Documents of each list, at least."""
MOST_CANDIDATES = 10_000

_FIELDS = [f"{name}^{weight}" for name, weight in WEIGHTS.items()]
_COLUMNS = ["session", "seq", "chunk", "speaker", "created_at", "digest"]


class Where(NamedTuple):
    """Sessions by their internal ids: only these (None for all), and not those."""

    sessions: Collection[int] | None = None
    excluded: Collection[int] = ()


EVERYWHERE = Where()


def is_filtered(request: SearchRequest) -> bool:
    """Whether a search is of less than its user's or tenant's messages."""
    given = (
        request.session_ids,
        request.exclude_session_ids,
        request.roles,
        request.author,
        request.since,
        request.until,
        request.max_length,
        request.condition,
    )
    return any(one is not None for one in given)


def unfiltered(request: SearchRequest) -> SearchRequest:
    """The same search of all of its scope."""
    return replace(
        request,
        session_ids=None,
        exclude_session_ids=None,
        roles=None,
        author=None,
        since=None,
        until=None,
        max_length=None,
        metadata=None,
    )


def is_rough(request: SearchRequest) -> bool:
    """Whether the database must say which messages meet the condition, since the index can tell only roughly."""
    return request.condition is not None and metadata.is_rough(request.condition)


def size_of(request: SearchRequest) -> int:
    """How many documents of each list are looked at."""
    return MOST_CANDIDATES if is_rough(request) else max(DEPTH, 2 * request.limit)


def restriction(request: SearchRequest, where: Where) -> dict[str, Any]:
    """What a document must meet whatever it is found by: its tenant's above all, which no tombstone has."""
    filters: list[dict[str, Any]] = [{"term": {"tenant": request.tenant}}]
    excluded: list[dict[str, Any]] = []
    if request.user_id is not None:
        filters.append({"term": {"user": request.user_id}})
    if where.sessions is not None:
        filters.append({"terms": {"session": sorted(where.sessions)}})
    if where.excluded:
        excluded.append({"terms": {"session": sorted(where.excluded)}})
    if request.roles is not None:
        filters.append({"terms": {"role": list(request.roles)}})
    if request.author is not None:
        filters.append({"term": {"author": request.author}})
    span = {
        name: to_microseconds(moment)
        for name, moment in (("gte", request.since), ("lt", request.until))
        if moment is not None
    }
    if span:
        filters.append({"range": {"created_at": span}})
    if request.max_length is not None:
        filters.append({"range": {"length": {"lte": request.max_length}}})
    if request.condition is not None:
        filters.append(metadata.query_of(request.condition))
    if not request.archived:
        excluded.append({"term": {"archived": True}})
    return {"bool": {"filter": filters, "must_not": excluded}}


def by_words(words: Sequence[str], restriction: dict[str, Any], size: int) -> dict[str, Any]:
    """The documents that have most of the words."""
    sought = {"combined_fields": {"query": " ".join(words), "operator": "or", "fields": _FIELDS}}
    return _listing(size) | {"query": {"bool": {"must": [sought], "filter": [restriction]}}}


def by_vector(vector: Vectors, restriction: dict[str, Any], size: int) -> dict[str, Any]:
    """The messages whose vectors are nearest; compared exactly, however they are found."""
    near = {
        "field": VECTOR,
        "query_vector": [float(value) for value in vector],
        "k": size,
        "num_candidates": min(2 * size, MOST_CANDIDATES),
        "rescore_vector": {"oversample": 1.0},
        "filter": [restriction],
    }
    return _listing(size) | {"knn": near}


def newest(restriction: dict[str, Any]) -> dict[str, Any]:
    """The newest message of a scope."""
    return _listing(1) | {"query": restriction, "sort": [{"created_at": "desc"}]}


def parts_of_words(words: Sequence[str], ids: Sequence[str]) -> dict[str, Any]:
    """What each word alone earns in some documents: a query for each, named by its place."""
    each = [
        {"combined_fields": {"query": word, "fields": _FIELDS, "_name": str(place)}} for place, word in enumerate(words)
    ]
    return {
        "query": {"bool": {"filter": [{"ids": {"values": list(ids)}}], "should": each}},
        "size": len(ids),
        "source": False,
        "track_total_hits": False,
    }


def _listing(size: int) -> dict[str, Any]:
    """Without fetching any document: columns alone, which costs a quarter."""
    return {"size": size, "track_total_hits": False, "stored_fields": "_none_", "docvalue_fields": _COLUMNS}
