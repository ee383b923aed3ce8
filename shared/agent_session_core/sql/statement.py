"""SQL compiled once per dialect from Core constructs and run on the driver's cursor.

Core's own execution costs about three times the statement itself (docs/decisions); this keeps its dialects and leaves
out its results. Values are bound as they are given: integers, strings and bytes, no type conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import ClauseElement, Connection, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPICursor

Row: TypeAlias = Sequence[Any]
Insert: TypeAlias = Callable[[Table], Any]
"""An ``INSERT`` that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``: each dialect has its own."""


def insert_of(conn: Connection) -> Insert:
    """The insert of the connection's dialect. PostgreSQL's is imported by those who use it."""
    if conn.dialect.name == "sqlite":
        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


class Statement:
    """One statement. Parameters of a run override the values that the construct was written with.

    Args:
        clause: the construct, or what makes it of the dialect's own insert.
    """

    __slots__ = ("_clause", "_compiled")

    def __init__(self, clause: ClauseElement | Callable[[Insert], ClauseElement]) -> None:
        self._clause = clause
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None, Mapping[str, Any]]] = {}

    def run(self, conn: Connection, params: Mapping[str, Any] | None = None) -> int:
        """Run it; the number of rows it changed."""
        cursor = self._execute(conn, params or {})
        count = int(cursor.rowcount)
        cursor.close()
        return count

    def run_many(self, conn: Connection, names: Sequence[str], rows: Sequence[Row]) -> None:
        """Run it once for each of ``rows``, whose values are in the order of ``names``, in one call of the driver."""
        text, order, _ = self._compile(conn)
        many: Sequence[Any] = rows
        if order is None:
            many = [dict(zip(names, row, strict=True)) for row in rows]
        elif order != tuple(names):
            pick = itemgetter(*map(names.index, order))
            many = [pick(row) for row in rows]
        cursor = _driver(conn).cursor()
        if len(many) == 1:
            cursor.execute(text, many[0])
        else:
            cursor.executemany(text, many)
        cursor.close()

    def one(self, conn: Connection, params: Mapping[str, Any]) -> Row | None:
        """The first row, or None."""
        rows = self.all(conn, params)
        return rows[0] if rows else None

    def all(self, conn: Connection, params: Mapping[str, Any]) -> list[Row]:
        """Every row, as tuples."""
        cursor = self._execute(conn, params)
        rows: list[Row] = list(cursor.fetchall())
        cursor.close()
        return rows

    def _execute(self, conn: Connection, params: Mapping[str, Any]) -> DBAPICursor:
        text, names, defaults = self._compile(conn)
        values: Any = {**defaults, **params} if defaults else params
        if names is not None:
            values = tuple([values[name] for name in names])
        cursor: DBAPICursor = _driver(conn).cursor()
        cursor.execute(text, values)
        return cursor

    def _compile(self, conn: Connection) -> tuple[str, tuple[str, ...] | None, Mapping[str, Any]]:
        key = conn.dialect.name + conn.dialect.driver
        found = self._compiled.get(key)
        if found is None:
            clause = self._clause if isinstance(self._clause, ClauseElement) else self._clause(insert_of(conn))
            compiled = clause.compile(dialect=conn.dialect)
            names = getattr(compiled, "positiontup", None)
            found = (str(compiled), None if names is None else tuple(names), dict(compiled.params))
            self._compiled[key] = found
        return found


def _driver(conn: Connection) -> Any:
    return conn.connection.dbapi_connection
