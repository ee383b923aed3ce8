"""Statements about records: the versions of everything of a session but its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update

from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import records, scopes

_r = records.c


@dataclass(frozen=True, slots=True)
class Place:
    """Where records stand: a kind of them, in a scope of a tenant."""

    tenant: str
    scope: str
    subject: str
    kind: str

    def params(self) -> dict[str, Any]:
        """The bound values."""
        return {"tenant": self.tenant, "scope": self.scope, "subject": self.subject, "kind": self.kind}


class RecordRow(NamedTuple):
    """One version of one key."""

    id: int
    key: str
    value: str | None
    revision: int
    seq: int
    written_at: int


class Stamp(NamedTuple):
    """What every version written in one step has in common."""

    revision: int
    session: int
    seq: int
    written_at: int


_COLUMNS = [_r[name] for name in RecordRow._fields]
_HERE = (
    (_r.tenant == bindparam("tenant"))
    & (_r.scope == bindparam("scope"))
    & (_r.subject == bindparam("subject"))
    & (_r.kind == bindparam("kind"))
)
_CURRENT = _HERE & (_r.current == literal_column("1"))  # a bound value would not find the partial index
_ONE = Statement(select(*_COLUMNS).where(_CURRENT, _r.key == bindparam("key")))
_ALL = Statement(select(*_COLUMNS).where(_CURRENT).order_by(_r.id))
_RETIRE = Statement(update(records).where(_CURRENT, _r.key == bindparam("of_key")).values(current=0))
_WRITTEN = (
    *("tenant", "scope", "subject", "kind", "key", "value"),
    *("revision", "session", "seq", "written_at", "current", "blob"),
)
_INSERT = Statement(insert(records).values({name: bindparam(name) for name in _WRITTEN}))
_COUNT_UP = Statement(
    lambda insert_into: (
        insert_into(scopes)
        .values(tenant=bindparam("tenant"), scope=bindparam("scope"), subject=bindparam("subject"), revision=1)
        .on_conflict_do_update(index_elements=["tenant", "scope", "subject"], set_={"revision": scopes.c.revision + 1})
        .returning(scopes.c.revision)
    )
)
_REVISION = Statement(
    select(scopes.c.revision).where(
        scopes.c.tenant == bindparam("tenant"),
        scopes.c.scope == bindparam("scope"),
        scopes.c.subject == bindparam("subject"),
    )
)


def one(conn: Connection, place: Place, key: str) -> RecordRow | None:
    """The current version of ``key``; None where it was never written or is deleted."""
    row = _ONE.one(conn, {**place.params(), "key": key})
    return None if row is None or row[2] is None else RecordRow(*row)


def every(conn: Connection, place: Place) -> list[RecordRow]:
    """The current version of every key that is there, in the order they were last written."""
    return [RecordRow(*row) for row in _ALL.all(conn, place.params()) if row[2] is not None]


def as_of(conn: Connection, place: Place, seq: int) -> dict[str, RecordRow]:
    """The version of every key that was there when the session's last message was ``seq``."""
    newest = select(func.max(_r.id).label("id")).where(_HERE, _r.seq <= bindparam("at")).group_by(_r.key).subquery()
    statement = select(*_COLUMNS).join(newest, newest.c.id == _r.id).where(_r.value.is_not(None)).order_by(_r.id)
    rows = conn.execute(statement, {**place.params(), "at": seq})
    return {row.key: RecordRow(*row) for row in rows}


def as_of_record(conn: Connection, place: Place, number: int) -> dict[str, RecordRow]:
    """The version of every key that was there when the record ``number`` was the newest of all."""
    newest = select(func.max(_r.id).label("id")).where(_HERE, _r.id <= bindparam("at")).group_by(_r.key).subquery()
    statement = select(*_COLUMNS).join(newest, newest.c.id == _r.id).where(_r.value.is_not(None)).order_by(_r.id)
    return {row.key: RecordRow(*row) for row in conn.execute(statement, {**place.params(), "at": number})}


def history(conn: Connection, place: Place, key: str | None) -> list[RecordRow]:
    """Every version of ``key``, or of every key, in the order they were written, deletions included."""
    statement = select(*_COLUMNS).where(_HERE)
    if key is not None:
        statement = statement.where(_r.key == key)
    return [RecordRow(*row) for row in conn.execute(statement.order_by(_r.id), place.params())]


def newest(conn: Connection, place: Place, key: str) -> RecordRow | None:
    """The newest version of ``key`` that is no deletion."""
    statement = select(*_COLUMNS).where(_HERE, _r.key == key, _r.value.is_not(None)).order_by(_r.id.desc()).limit(1)
    row = conn.execute(statement, place.params()).one_or_none()
    return None if row is None else RecordRow(*row)


def revision(conn: Connection, place: Place) -> int:
    """How often the scope's state has been written."""
    row = _REVISION.one(conn, {name: value for name, value in place.params().items() if name != "kind"})
    return 0 if row is None else int(row[0])


def count_up(conn: Connection, place: Place) -> int:
    """Count one more write of the scope's state: its revision now."""
    row = _COUNT_UP.one(conn, {name: value for name, value in place.params().items() if name != "kind"})
    return int(row[0]) if row is not None else 0


def write(
    conn: Connection, place: Place, values: Mapping[str, str | None], stamp: Stamp, *, blob: int | None = None
) -> None:
    """Write a new version of each key; None deletes it. ``blob`` is the bytes that a version speaks of."""
    here = place.params()
    common = tuple(here.values())
    for key in values:
        _RETIRE.run(conn, {**here, "of_key": key})
    rows = [(*common, key, value, *stamp, 1, blob) for key, value in values.items()]
    _INSERT.run_many(conn, _WRITTEN, rows)
