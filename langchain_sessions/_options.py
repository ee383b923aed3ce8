"""What a search can be asked for, and how a call narrows what was settled before it."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypedDict

from agent_session_core import InvalidInput
from agent_session_core.filters import And, equals

if TYPE_CHECKING:
    from agent_session_core import Role
    from agent_session_core.filters import Filter
    from agent_session_core.store import GroupBy, Mode, OnOutage

__all__ = ["SearchOptions", "narrowed"]


class SearchOptions(TypedDict, total=False):
    """The options of one search; see :class:`~langchain_sessions.SessionRetriever` for what each means."""

    k: int
    user_id: str | None
    session_ids: Sequence[str] | None
    exclude_session_ids: Sequence[str] | None
    roles: Sequence[Role] | None
    filter: Mapping[str, Any] | Filter | None
    since: datetime | None
    until: datetime | None
    min_score: float
    mode: Mode
    group_by: GroupBy
    neighbours: int
    author: str | None
    archived: bool
    recency: float
    wait: bool
    on_outage: OnOutage


_SEARCH_NAMES = {"k": "limit", "filter": "metadata"}
_KNOWN = SearchOptions.__optional_keys__


def narrowed(settled: SearchOptions, called: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for ``store.search``: what is settled, with what one call asks for.

    A call can narrow whose and which sessions are searched, and the filter; it cannot widen them. What else it names
    takes the place of what is settled.

    Raises:
        InvalidInput: for an option that is not known, what is no list of ids, or another user than the one settled.
    """
    unknown = called.keys() - _KNOWN
    if unknown:
        raise InvalidInput(f"{min(unknown)}: not an option of a search; use some of {', '.join(sorted(_KNOWN))}")
    options: dict[str, Any] = {**settled, **called}
    owner = settled.get("user_id")
    if owner is not None and called.get("user_id", owner) != owner:
        raise InvalidInput("user_id: not the user this retriever is bound to; leave it out")
    within, asked = _ids(settled, "session_ids"), _ids(called, "session_ids")
    options["session_ids"] = asked if within is None else [id_ for id_ in within if asked is None or id_ in set(asked)]
    options["exclude_session_ids"] = [
        *(_ids(settled, "exclude_session_ids") or ()),
        *(_ids(called, "exclude_session_ids") or ()),
    ] or None
    options["filter"] = _both(settled.get("filter"), called.get("filter"))
    return {_SEARCH_NAMES.get(name, name): value for name, value in options.items()}


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


def _both(settled: Mapping[str, Any] | Filter | None, called: Mapping[str, Any] | Filter | None) -> Any:
    """The filter that meets both."""
    given = [_condition(filter_) for filter_ in (settled, called) if filter_]
    return And(tuple(given)) if given else None


def _condition(given: Mapping[str, Any] | Filter) -> Filter:
    if isinstance(given, Mapping):
        return equals(given)
    return given
