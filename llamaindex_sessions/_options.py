"""What a search can be told, and how one call narrows what its retriever was made with."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from typing_extensions import TypedDict

from agent_session_core import InvalidInput, Role
from agent_session_core.filters import And, Filter, equals

__all__ = ["SearchOptions", "narrowed"]


class SearchOptions(TypedDict, total=False):
    """The options of a search; each means what it means to ``SessionStore.search``."""

    similarity_top_k: int
    session_ids: Sequence[str] | None
    exclude_session_ids: Sequence[str] | None
    roles: Sequence[Role] | None
    metadata: Mapping[str, Any] | Filter | None
    since: datetime | None
    until: datetime | None
    min_score: float
    mode: Literal["hybrid", "keyword", "semantic"]
    group_by: Literal["message", "session"]
    neighbours: int
    author: str | None
    archived: bool
    recency: float
    explain: bool
    wait: bool
    on_outage: Literal["raise", "keyword"]


def narrowed(settled: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """``settled`` with the ``options`` of one call, which may narrow the sessions and the filter, and not widen them.

    Everything else an option names takes the place of what was settled.

    Raises:
        InvalidInput: for an option that is not known, and for what is no list of ids.
    """
    known = SearchOptions.__annotations__
    if unknown := options.keys() - known.keys():
        raise InvalidInput(f"{min(unknown)}: not known to a search; use one of {', '.join(known)}")
    both = {**settled, **options}
    within, asked = _ids(settled, "session_ids"), _ids(options, "session_ids")
    both["session_ids"] = asked if within is None else [id_ for id_ in within if asked is None or id_ in set(asked)]
    if excluded := [*(_ids(settled, "exclude_session_ids") or ()), *(_ids(options, "exclude_session_ids") or ())]:
        both["exclude_session_ids"] = excluded
    conditions = [_condition(given["metadata"]) for given in (settled, options) if given.get("metadata")]
    if conditions:
        both["metadata"] = And(tuple(conditions))
    return both


def _ids(options: Mapping[str, Any], name: str) -> list[str] | None:
    """The ids that an option names, or None. A bare string is a slip: it would be taken for a list of letters.

    Raises:
        InvalidInput: when it is no list of strings.
    """
    given = options.get(name)
    if given is None:
        return None
    listed = isinstance(given, Iterable) and not isinstance(given, str)
    ids = list(given) if listed else []
    if not listed or not all(isinstance(id_, str) for id_ in ids):
        raise InvalidInput(f"{name}: expected a list of ids, got {reprlib.repr(given)}; write ['...']")
    return ids


def _condition(metadata: Mapping[str, Any] | Filter) -> Filter:
    if not isinstance(metadata, Mapping):
        return metadata
    return equals(metadata)
