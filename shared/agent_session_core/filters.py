"""Conditions on metadata: a small closed language of records, and what they mean in plain Python.

A condition compares one key of a JSON object with a value, or joins other conditions. The meaning is that of
LlamaIndex's own ``build_metadata_filter_fn``, with nesting, and without its type errors: values that cannot be compared
do not match. A key that is missing, or holds null, matches ``!=``, ``nin`` and ``is_empty`` and nothing else. Dates are
ISO 8601 text and compare in order.

========================  ============================================================================================
``==`` ``!=``             equal (a list: element by element); 1, 1.0 and true are equal, 1 and "1" are not
``>`` ``<`` ``>=`` ``<=`` two numbers, or two texts by code point
``in`` ``nin``            is one of the values of a list
``contains``              a list holds the value, a text the part, an object the key
``any`` ``all``           contains one of the values, contains each of them
``text_match``            a text holds the part; ``text_match_insensitive``: in whatever case
``is_empty``              missing, null, "" or []
========================  ============================================================================================

Keys and values are data: no character has a meaning of its own. Backends compile these records
(:mod:`agent_session_core.sql.filters`); none adds rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput

__all__ = ["OPERATORS", "And", "Compare", "Filter", "Not", "Or", "checked", "compares", "equals", "matches"]

MAX_DEPTH = 16
"""How deep conditions may be nested."""
MAX_CONDITIONS = 200
"""Conditions in one filter, the joining ones included."""
MAX_VALUES = 10_000
"""Values in one list."""
MAX_TEXT = 64 * 1024
"""Characters of a text to compare with."""
MAX_KEY = 512
"""Characters of a key."""

ORDERING = (">", "<", ">=", "<=")
LISTING = ("in", "nin", "any", "all")
MATCHING = ("text_match", "text_match_insensitive")
OPERATORS = ("==", "!=", *ORDERING, *LISTING, *MATCHING, "contains", "is_empty")
"""Every operator there is."""


@dataclass(frozen=True, slots=True)
class Compare:
    """One key compared with a value.

    Args:
        key: the key, a plain string; dots and quotes have no meaning.
        operator: one of :data:`OPERATORS`.
        value: text, a number, a boolean or None; a list of these for ``in``, ``nin``, ``any``, ``all``, ``==`` and
            ``!=``; a number or text for the ordering operators; text for the matching ones; unused by ``is_empty``.

    Raises:
        InvalidInput: for another operator, or a key or value that does not fit it.
    """

    key: str
    operator: str
    value: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise InvalidInput(f"filters: the key {shown(self.key)} is not a string; use str(...)")
        _check_text(self.key, MAX_KEY, "the key")
        if self.operator not in OPERATORS:
            raise InvalidInput(f"filters: {shown(self.operator)} is no operator; use one of {' '.join(OPERATORS)}")
        if isinstance(self.value, list | tuple):
            object.__setattr__(self, "value", tuple(self.value))
        if self.operator != "is_empty":
            _check_value(self.operator, self.value, f"{self.operator} on {shown(self.key)}")


@dataclass(frozen=True, slots=True)
class And:
    """Every one of ``parts``; none of them is no restriction."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of ``parts``."""

    parts: tuple[Filter, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))


@dataclass(frozen=True, slots=True)
class Not:
    """Whatever ``part`` does not match."""

    part: Filter


Filter: TypeAlias = Union[Compare, And, Or, Not]  # noqa: UP007 - the names are not defined yet where they are used


def checked(condition: Filter, argument: str = "filters") -> Filter:
    """``condition``, when it is made of the records of this module only and within the limits.

    Raises:
        InvalidInput: naming the argument and what is wrong.
    """
    for count, (part, depth) in enumerate(_walk(condition), 1):
        if depth > MAX_DEPTH:
            raise InvalidInput(f"{argument}: nested deeper than {MAX_DEPTH} levels; flatten them")
        if count > MAX_CONDITIONS:
            raise InvalidInput(
                f"{argument}: more than {MAX_CONDITIONS} conditions; use in or any with a list of values"
            )
        if not isinstance(part, Compare | And | Or | Not):
            raise InvalidInput(f"{argument}: {shown(part)} is no condition; use Compare, And, Or or Not")
    return condition


def equals(metadata: Mapping[str, Any], argument: str = "metadata") -> Filter:
    """The condition that a mapping is short for: each of its keys has its value.

    Raises:
        InvalidInput: naming the argument, and the key or value that cannot be used.
    """
    try:
        compared = tuple(Compare(key, "==", value) for key, value in metadata.items())
    except InvalidInput as error:
        raise InvalidInput(f"{argument}: {str(error).removeprefix('filters: ')}") from None
    return checked(And(compared), argument)


def compares(condition: Filter) -> Iterator[Compare]:
    """Every comparison in ``condition``."""
    return (part for part, _ in _walk(condition) if isinstance(part, Compare))


def matches(condition: Filter, metadata: Mapping[str, Any]) -> bool:
    """Whether ``metadata`` (JSON values) meets a ``condition`` that was :func:`checked`."""
    if isinstance(condition, And):
        return all(matches(part, metadata) for part in condition.parts)
    if isinstance(condition, Or):
        return any(matches(part, metadata) for part in condition.parts)
    if isinstance(condition, Not):
        return not matches(condition.part, metadata)
    return _compare(condition.operator, metadata.get(condition.key), condition.value)


def _compare(operator: str, held: Any, value: Any) -> bool:
    if operator == "is_empty":
        return held is None or held == "" or held == []
    if held is None:
        return operator in ("!=", "nin")
    if operator in ("==", "!="):
        return _equal(held, value) == (operator == "==")
    if operator in ("in", "nin"):
        return any(_equal(held, one) for one in value) == (operator == "in")
    if operator == "contains":
        return _contains(held, value)
    if operator == "any":
        return any(_contains(held, one) for one in value)
    if operator == "all":
        return all(_contains(held, one) for one in value)
    if operator == "text_match":
        return isinstance(held, str) and value in held
    if operator == "text_match_insensitive":
        return isinstance(held, str) and value.lower() in held.lower()
    return _ordered(operator, held, value)


def _equal(held: Any, value: Any) -> bool:
    return bool(held == (list(value) if isinstance(value, tuple) else value))


def _contains(held: Any, value: Any) -> bool:
    if isinstance(held, str):
        return isinstance(value, str) and value in held
    return isinstance(held, list | dict) and value in held


def _ordered(operator: str, held: Any, value: Any) -> bool:
    if isinstance(held, str) is not isinstance(value, str) or not isinstance(held, str | int | float):
        return False
    if operator == ">":
        return bool(held > value)
    if operator == "<":
        return bool(held < value)
    return bool(held >= value) if operator == ">=" else bool(held <= value)


def _walk(condition: Filter) -> Iterator[tuple[Filter, int]]:
    pending = [(condition, 1)]
    while pending:
        part, depth = pending.pop()
        yield part, depth
        if isinstance(part, Not):
            pending.append((part.part, depth + 1))
        elif isinstance(part, And | Or):
            pending += [(inner, depth + 1) for inner in part.parts]


def _check_value(operator: str, value: Any, where: str) -> None:
    if isinstance(value, tuple):
        if operator not in (*LISTING, "==", "!="):
            raise InvalidInput(f"filters: {where} takes one value, got {shown(value)}; use any or all for several")
        if len(value) > MAX_VALUES:
            raise InvalidInput(f"filters: {where} has {len(value):,} values; give at most {MAX_VALUES:,}")
        for one in value:
            _check_scalar(one, where)
        return
    if operator in LISTING:
        raise InvalidInput(f"filters: {where} takes a list, got {shown(value)}; write [{shown(value)}]")
    if operator in MATCHING and not isinstance(value, str):
        raise InvalidInput(f"filters: {where} takes text, got {shown(value)}; use == for other values")
    if operator in ORDERING and value is None:
        raise InvalidInput(f"filters: {where} takes a number or text, got None; use is_empty to find what is missing")
    _check_scalar(value, where)


def _check_scalar(value: Any, where: str) -> None:
    if value is not None and not isinstance(value, str | int | float):
        raise InvalidInput(f"filters: {where} cannot use {type(value).__name__} {shown(value)}; use text or a number")
    if isinstance(value, float) and value - value != 0:
        raise InvalidInput(f"filters: {where} cannot use {value}, which JSON has not; use a finite number")
    if isinstance(value, str):
        _check_text(value, MAX_TEXT, where)


def _check_text(value: str, most: int, where: str) -> None:
    if len(value) > most:
        raise InvalidInput(f"filters: {where} has {len(value):,} characters; give at most {most:,}")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInput(f"filters: {where}: {shown(value)} holds NUL or a lone surrogate; remove it")
