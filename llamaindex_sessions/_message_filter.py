"""Which messages are meant: what LlamaIndex filters by, told to the search as far as it can be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from llama_index.core.schema import BaseNode

from agent_session_core.filters import And, Compare, Filter, Not, Or, checked, compares, matches
from agent_session_core.models import ROLES
from llamaindex_sessions._arguments import strings

__all__ = ["OWN_KEYS", "MessageFilter"]

SESSION_KEYS = ("session_id", "ref_doc_id", "doc_id", "document_id")
"""The names of a message's session in a filter: it is the message's document."""
OWN_KEYS = frozenset({*SESSION_KEYS, "message_id", "seq", "role", "author", "name", "created_at", "session_title"})
"""What the store says of a message; a key of the message's own metadata never takes its place."""


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages are meant: those that meet all that is given. An empty list restricts nothing.

    Attributes:
        condition: on the metadata of a message's node.
        node_ids: ids of its nodes.
        session_ids: ids of sessions.
    """

    condition: Filter | None
    node_ids: Sequence[str] | None
    session_ids: Sequence[str] | None

    @classmethod
    def of(
        cls, condition: Filter | None, node_ids: Sequence[str] | None, session_ids: Sequence[str] | None = None
    ) -> MessageFilter:
        """The filter, checked; times that ``created_at`` is compared with may have any offset, or none for UTC.

        Raises:
            InvalidInput: when the condition is beyond the limits, or what should be ids is no list of strings.
        """
        told = None if condition is None else _in_utc(checked(condition))
        return cls(told, strings(node_ids, "node_ids"), strings(session_ids, "doc_ids"))

    @property
    def sessions(self) -> list[str] | None:
        """The only sessions that can be meant; None where that is not known."""
        named: list[set[Any]] = [set(self.session_ids)] if self.session_ids else []
        if self.node_ids:
            named.append({node_id.rpartition("/")[0] for node_id in self.node_ids})
        parts = [part for part in _conjuncts(self.condition) if isinstance(part, Compare)]
        named += [set(_listed(part)) for part in parts if part.key in SESSION_KEYS and part.operator in ("==", "in")]
        return sorted(one for one in set.intersection(*named) if isinstance(one, str) and one) if named else None

    def allows(self, node: BaseNode) -> bool:
        """Whether a message's node is meant."""
        if self.node_ids and node.node_id not in self.node_ids:
            return False
        if self.session_ids and node.ref_doc_id not in self.session_ids:
            return False
        seen = {**dict.fromkeys(SESSION_KEYS, node.ref_doc_id), **node.metadata}
        return self.condition is None or matches(self.condition, seen)

    def chosen(self, nodes: Sequence[BaseNode]) -> list[BaseNode]:
        """Those of ``nodes`` that are meant, in the order of the ids asked for, if there are any."""
        found = [node for node in nodes if self.allows(node)]
        if self.node_ids:
            place = {node_id: place for place, node_id in enumerate(self.node_ids)}
            found.sort(key=lambda node: place[node.node_id])
        return found

    def told(self) -> tuple[dict[str, Any], bool]:
        """Arguments of ``SessionStore.search`` that every message meant meets; and whether they say everything."""
        told: dict[str, Any] = {} if self.sessions is None else {"session_ids": self.sessions}
        own: list[Filter] = []
        exact = not self.node_ids
        for part in _conjuncts(self.condition):
            if not any(each.key in OWN_KEYS for each in compares(part)):
                own.append(part)
            elif not isinstance(part, Compare) or not _tell(part, told):
                exact = False
        if own:
            told["metadata"] = And(tuple(own))
        return told, exact


def _conjuncts(condition: Filter | None) -> Iterator[Filter]:
    """The parts that must all be met."""
    if isinstance(condition, And):
        for part in condition.parts:
            yield from _conjuncts(part)
    elif condition is not None:
        yield condition


def _tell(part: Compare, told: dict[str, Any]) -> bool:
    """Tell the search what ``part`` means; whether it can be told exactly."""
    if part.key in SESSION_KEYS and part.operator in ("==", "in"):
        return True  # the session ids have been told
    if part.key == "role" and part.operator in ("==", "in"):
        roles = [role for role in ROLES if role in _listed(part) and role in told.get("roles", ROLES)]
        told["roles"] = roles
        return bool(roles)
    if part.key == "author" and part.operator == "==" and isinstance(part.value, str) and "author" not in told:
        told["author"] = part.value
        return True
    moment = _moment(part.value) if part.key == "created_at" else None
    if moment is None or part.operator not in _FROM | _UNTIL:
        return False
    try:
        if part.operator in _FROM:
            since = moment + _FROM[part.operator]
            told["since"] = max(since, told.get("since", since))
        if part.operator in _UNTIL:
            until = moment + _UNTIL[part.operator]
            told["until"] = min(until, told.get("until", until))
    except OverflowError:  # the last moment there is has none after it
        return False
    return True


_FROM = {"==": timedelta(0), ">=": timedelta(0), ">": timedelta(microseconds=1)}
_UNTIL = {"==": timedelta(microseconds=1), "<=": timedelta(microseconds=1), "<": timedelta(0)}
"""From when on, and until when, a message may have been written to compare so; times are whole microseconds."""


def _in_utc(condition: Filter) -> Filter:
    """``condition`` with the times that ``created_at`` is compared with as the nodes have them."""
    if isinstance(condition, And):
        return And(tuple(map(_in_utc, condition.parts)))
    if isinstance(condition, Or):
        return Or(tuple(map(_in_utc, condition.parts)))
    if isinstance(condition, Not):
        return Not(_in_utc(condition.part))
    if condition.key != "created_at":
        return condition
    several = isinstance(condition.value, tuple)
    values = [_iso(value) for value in _listed(condition)]
    return replace(condition, value=tuple(values) if several else values[0])


def _listed(compare: Compare) -> tuple[Any, ...]:
    return compare.value if isinstance(compare.value, tuple) else (compare.value,)


def _iso(value: Any) -> Any:
    moment = _moment(value)
    return value if moment is None else moment.isoformat()


def _moment(value: Any) -> datetime | None:
    """The time that a text says, in UTC; None where it says none, and is compared as text."""
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        aware = moment if moment.utcoffset() is not None else moment.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc)
    except (AttributeError, ValueError, OverflowError):
        return None
