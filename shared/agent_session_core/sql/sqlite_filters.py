"""Conditions on a JSON column as SQLite understands them; see :mod:`agent_session_core.sql.filters`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.sql.selectable import NamedFromClause

from agent_session_core.filters import And, Compare, Filter, Not, Or, compares

__all__ = ["holds_text", "meets", "one_of", "with_entries"]

_LOWER = "agent_session_lower"
_NESTED = ("array", "object")
_NUMBERS = ("integer", "real", "true", "false")


def meets(conn: Connection, condition: Filter, document: ColumnElement[str]) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.meets`, for a checked condition."""
    if any(part.operator == "text_match_insensitive" for part in compares(condition)):
        _know_letters(conn)
    return _condition(condition, document)


def holds_text(conn: Connection, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.holds_text`."""
    _know_letters(conn)
    return func.instr(getattr(func, _LOWER)(cast(column, LargeBinary)), text.lower()) > 0


def one_of(column: ColumnElement[Any], values: Sequence[str] | Sequence[int]) -> ColumnElement[bool]:
    """As :func:`agent_session_core.sql.filters.one_of`."""
    given = _each(literal(json.dumps(list(values))))
    return column.in_(select(given.c.value))


def with_entries(document: ColumnElement[Any], entries: Mapping[str, ColumnElement[Any]]) -> ColumnElement[Any]:
    """As :func:`agent_session_core.sql.filters.with_entries`."""
    added = [value for key, column in entries.items() for value in (f'$."{key}"', column)]
    return func.json_insert(func.coalesce(document, "{}"), *added)


def _know_letters(conn: Connection) -> None:
    """Give SQLite a lower-casing that knows all of Unicode, as its own does not."""
    driver: Any = conn.connection.dbapi_connection
    if not conn.info.get(_LOWER):
        driver.create_function(_LOWER, 1, _lower, deterministic=True)
        conn.info[_LOWER] = True


def _lower(text: bytes | None) -> str | None:
    """Lower case. The text comes as bytes: a lone surrogate in stored JSON is none that can be handed over."""
    return None if text is None else text.decode("utf-8", "replace").lower()


def _condition(condition: Filter, document: ColumnElement[str]) -> ColumnElement[bool]:
    if isinstance(condition, And):
        return and_(true(), *(_condition(part, document) for part in condition.parts))
    if isinstance(condition, Or):
        return or_(false(), *(_condition(part, document) for part in condition.parts))
    if isinstance(condition, Not):
        return not_(_condition(condition.part, document))
    entry = _each(document)
    found = select(literal(1)).select_from(entry).where(entry.c.key == literal(condition.key), _holds(condition, entry))
    present = found.correlate_except(entry).exists()
    return not_(present) if condition.operator in ("!=", "nin", "is_empty") else present


def _holds(compare: Compare, entry: NamedFromClause) -> ColumnElement[bool]:
    """What the entry of the key must meet; for the negated operators, what it must not."""
    operator, value = compare.operator, compare.value
    if operator == "is_empty":
        text, empty_list = (
            and_(entry.c.type == "text", entry.c.atom == ""),
            and_(entry.c.type == "array", entry.c.value == "[]"),
        )
        return not_(or_(entry.c.type == "null", text, empty_list))
    if operator in ("==", "!="):
        return _equals_list(entry, value) if isinstance(value, tuple) else _equals(entry, value)
    if operator in ("in", "nin"):
        given = _values(value)
        return and_(_scalar(entry), entry.c.atom.in_(select(given.c.atom).where(given.c.type != "null")))
    if operator == "text_match":
        return and_(entry.c.type == "text", func.instr(entry.c.atom, value) > 0)
    if operator == "text_match_insensitive":
        lower = getattr(func, _LOWER)(cast(entry.c.atom, LargeBinary))
        return and_(entry.c.type == "text", func.instr(lower, value.lower()) > 0)
    if operator in ("contains", "any"):
        given = _values(value if operator == "any" else (value,))
        return select(literal(1)).select_from(given).where(_contains(entry, given)).correlate_except(given).exists()
    if operator == "all":
        given = _values(value)
        lacking = select(literal(1)).select_from(given).where(not_(_contains(entry, given)))
        return and_(entry.c.type != "null", not_(lacking.correlate_except(given).exists()))
    comparable = entry.c.type == "text" if isinstance(value, str) else entry.c.type.in_(_NUMBERS)
    return and_(comparable, entry.c.atom.op(operator)(_bound(value)))


def _equals(entry: NamedFromClause, value: Any) -> ColumnElement[bool]:
    return false() if value is None else and_(_scalar(entry), entry.c.atom == _bound(value))


def _equals_list(entry: NamedFromClause, values: tuple[Any, ...]) -> ColumnElement[bool]:
    """A list of the same length whose elements are equal one by one."""
    held, given = _each(_list_of(entry)), _values(values)
    alike = select(func.count()).select_from(held).join(given, held.c.key == given.c.key)
    alike = alike.where(_same(held, given)).correlate_except(held, given)
    length = select(func.count()).select_from(other := _each(_list_of(entry))).correlate_except(other)
    count = literal(len(values))
    return and_(entry.c.type == "array", length.scalar_subquery() == count, alike.scalar_subquery() == count)


def _contains(entry: NamedFromClause, given: NamedFromClause) -> ColumnElement[bool]:
    """A list holds the given value, a text the part, an object the key. True or false, never null."""
    element, key = _each(_list_of(entry)), _each(case((entry.c.type == "object", entry.c.value)))
    in_list = select(literal(1)).select_from(element).where(_same(element, given)).correlate_except(element)
    in_object = select(literal(1)).select_from(key).where(key.c.key == given.c.atom).correlate_except(key)
    return case(
        (entry.c.type == "array", in_list.exists()),
        (given.c.type != "text", false()),
        (entry.c.type == "text", func.instr(entry.c.atom, given.c.atom) > 0),
        (entry.c.type == "object", in_object.exists()),
        else_=false(),
    )


def _same(left: NamedFromClause, right: NamedFromClause) -> ColumnElement[bool]:
    """Two scalars are equal; null equals null, as in a Python list."""
    return and_(left.c.type.not_in(_NESTED), left.c.atom.is_not_distinct_from(right.c.atom))


def _scalar(entry: NamedFromClause) -> ColumnElement[bool]:
    return entry.c.type.not_in(("null", *_NESTED))


def _list_of(entry: NamedFromClause) -> ColumnElement[str]:
    """The text of a list; null for anything else, which would not be JSON."""
    return case((entry.c.type == "array", entry.c.value))


def _values(values: tuple[Any, ...]) -> NamedFromClause:
    return _each(literal(json.dumps(values)))


def _each(document: ColumnElement[Any]) -> NamedFromClause:
    return func.json_each(document).table_valued("key", "value", "type", "atom").alias()


def _bound(value: Any) -> ColumnElement[Any]:
    """A scalar as a parameter; numbers that SQLite would read from JSON in its own way go the same way."""
    if isinstance(value, str):
        return literal(value)
    return func.json_extract(literal(json.dumps([value])), "$[0]")
