"""Conditions on a JSON column, in SQL. One compiler per backend; every key and value is bound, never written out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from sqlalchemy import ColumnElement, Connection

from agent_session_core.filters import Filter, checked
from agent_session_core.sql import sqlite_filters

__all__ = ["holds_text", "meets", "one_of", "with_entries"]


def meets(conn: Connection, condition: Filter, document: ColumnElement[Any]) -> ColumnElement[bool]:
    """``condition`` on ``document``, an expression that is the text of a JSON object, or null; for use on ``conn``.

    Raises:
        InvalidInput: when it is no condition, or beyond the limits.
    """
    made: ColumnElement[bool] = _of(conn).meets(conn, checked(condition), document)
    return made


def holds_text(conn: Connection, column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """``column`` holds ``text``, in any case of letters; for use on ``conn``."""
    made: ColumnElement[bool] = _of(conn).holds_text(conn, column, text)
    return made


def one_of(conn: Connection, column: ColumnElement[Any], values: Sequence[str] | Sequence[int]) -> ColumnElement[bool]:
    """``column`` is one of ``values``: one bound parameter, however many there are."""
    made: ColumnElement[bool] = _of(conn).one_of(column, values)
    return made


def with_entries(
    conn: Connection, document: ColumnElement[Any], entries: Mapping[str, ColumnElement[Any]]
) -> ColumnElement[Any]:
    """``document`` with further entries, texts, under keys that it does not have itself."""
    made: ColumnElement[Any] = _of(conn).with_entries(document, entries)
    return made


def _of(conn: Connection) -> ModuleType:
    if conn.dialect.name == "sqlite":
        return sqlite_filters
    from agent_session_core.sql import postgres_filters

    return postgres_filters
