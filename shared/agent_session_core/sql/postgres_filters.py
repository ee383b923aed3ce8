"""Conditions on a JSON column as PostgreSQL understands them; see :mod:`agent_session_core.sql.filters`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, any_, case, cast, false, func, literal, not_, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from agent_session_core.filters import And, Compare, Filter, Not, Or

__all__ = ["holds_text", "meets", "one_of", "with_entries"]

_LETTERS = "und-x-icu"
"""A collation that lowers all of Unicode, whatever the database's own does."""

_ODD = r"\\u(0000|d[89a-f])"
_BACKSLASH = r"\\\\"
_LONE_HIGH = r"\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})"
_LONE_LOW = r"(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}"


def meets(_: Connection, condition: Filter, document: ColumnElement[Any]) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.meets`, for a checked condition."""
    return _condition(condition, _json(document))


def holds_text(_: Connection, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.holds_text`."""
    return func.strpos(_lower(column), text.lower()) > 0


def one_of(column: ColumnElement[Any], values: Sequence[str] | Sequence[int]) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.one_of`."""
    storable = [value for value in values if not (isinstance(value, str) and "\x00" in value)]
    return column == any_(literal(storable, ARRAY(column.type)))


def with_entries(document: ColumnElement[Any], entries: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """As :func:`agent_session_core.sql.filters.with_entries`."""
    added = [part for key, column in entries.items() for part in (literal(key, Text), column)]
    return cast(func.jsonb_build_object(*added).op("||")(_json(func.coalesce(document, "{}"))), Text)


def _json(document: ColumnElement[Any]) -> ColumnElement[Any]:
    """The text as JSON. What JSONB refuses, NUL and lone surrogates, is replaced; other backslashes are no escapes."""
    tame = func.regexp_replace(document, _BACKSLASH, r"\\u005c", "g")
    tame = func.replace(tame, r"\u0000", r"\ufffd")
    for lone in (_LONE_HIGH, _LONE_LOW):
        tame = func.regexp_replace(tame, lone, r"\\ufffd", "g")
    return cast(case((document.regexp_match(_ODD), tame), else_=document), JSONB)


def _condition(condition: Filter, document: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(condition, And):
        return and_(literal(True), *(_condition(part, document) for part in condition.parts))
    if isinstance(condition, Or):
        return or_(false(), *(_condition(part, document) for part in condition.parts))
    if isinstance(condition, Not):
        return not_(_condition(condition.part, document))
    held = func.jsonb_extract_path(document, literal(condition.key, Text), type_=JSONB)
    if condition.operator == "is_empty":
        empty = or_(held == _given(None), held == _given(""), held == _given([]))
        return func.coalesce(empty, literal(True))
    found = func.coalesce(_holds(condition, held), false())
    return not_(found) if condition.operator in ("!=", "nin") else found


def _holds(compare: Compare, held: ColumnElement[Any]) -> ColumnElement[bool]:
    """What the value of the key must meet; for the negated operators, what it must not."""
    operator, value = compare.operator, compare.value
    if operator in ("==", "!="):
        if isinstance(value, tuple):
            return and_(_is(held, "array"), _numbered(held) == _given(value))
        return false() if value is None else _plain(held) == _given(value)
    if operator in ("in", "nin"):
        return _plain(held).in_(_each([one for one in value if one is not None]))
    if operator == "text_match":
        return and_(_is(held, "string"), func.strpos(_text(held), value) > 0)
    if operator == "text_match_insensitive":
        return and_(_is(held, "string"), func.strpos(_lower(_text(held)), value.lower()) > 0)
    if operator == "contains":
        return _contains(held, value)
    if operator == "any":
        return or_(false(), *(_contains(held, one) for one in value))
    if operator == "all":
        return and_(not_(_is(held, "null")), *(_contains(held, one) for one in value))
    if isinstance(value, str):
        return and_(_is(held, "string"), _text(held).collate("C").op(operator, is_comparison=True)(value))
    plain = _plain(held)
    return and_(_is(plain, "number"), plain.op(operator, is_comparison=True)(_given(value)))


def _contains(held: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    """A list holds the value, a text the part, an object the key."""
    in_list = and_(_is(held, "array"), _given(value).in_(_elements(held)))
    if not isinstance(value, str):
        return in_list
    in_text = and_(_is(held, "string"), func.strpos(_text(held), value) > 0)
    in_object = and_(_is(held, "object"), func.jsonb_exists(held, literal(value, Text)))
    return or_(in_list, in_text, in_object)


def _elements(held: ColumnElement[Any]) -> Any:
    """The elements of a list, none of anything else."""
    element = func.jsonb_array_elements(_list_of(held), type_=JSONB).column_valued("element")
    return select(_plain(element))


def _numbered(held: ColumnElement[Any]) -> ColumnElement[Any]:
    """The list with its truth values as numbers."""
    entry = func.jsonb_array_elements(_list_of(held)).table_valued("value", with_ordinality="place")
    value = cast(entry.c.value, JSONB)
    made = select(func.coalesce(func.jsonb_agg(_plain(value)), _given([]))).select_from(entry)
    return made.scalar_subquery()


def _each(values: Sequence[Any]) -> Any:
    element = func.jsonb_array_elements(_given(values), type_=JSONB).column_valued("given")
    return select(element)


def _list_of(held: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((_is(held, "array"), held), else_=_given([]))


def _plain(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """True and false as the numbers 1 and 0, which they equal."""
    return case((value == _given_as_is(True), _given(1)), (value == _given_as_is(False), _given(0)), else_=value)


def _given(value: Any) -> ColumnElement[Any]:
    """A value of the condition as JSON, its truth values as numbers."""
    if isinstance(value, list | tuple):
        return _given_as_is([int(one) if isinstance(one, bool) else one for one in value])
    return _given_as_is(int(value) if isinstance(value, bool) else value)


def _given_as_is(value: Any) -> ColumnElement[Any]:
    return cast(literal(json.dumps(value), Text), JSONB)


def _is(value: ColumnElement[Any], kind: str) -> ColumnElement[bool]:
    return func.jsonb_typeof(value) == kind


def _text(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.jsonb_extract_path_text(func.jsonb_build_array(value), "0", type_=Text)


def _lower(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.lower(cast(column, Text).collate(_LETTERS))
