"""Statements of export and load: all versions of records, in the order they were written."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from agent_session_core.sql.records import Place
from agent_session_core.sql.statement import insert_of
from agent_session_core.sql.tables import blobs, records, scopes, sessions

_r = records.c


class VersionRow(NamedTuple):
    """One version of one key, with the name of the session that wrote it."""

    id: int
    kind: str
    key: str
    value: str | None
    revision: int
    seq: int
    written_at: int
    current: int
    blob: int | None
    session_id: str | None


class NewVersion(NamedTuple):
    """A version to be added."""

    kind: str
    key: str
    value: str | None
    revision: int
    session: int | None
    seq: int
    written_at: int
    blob: int | None


def numbers(conn: Connection, place: Place) -> array[int]:
    """The numbers of all records of the scope, whatever their kind, in order: eight bytes for each."""
    statement = select(_r.id).where(_of(place)).order_by(_r.id)
    return array("q", conn.execute(statement).scalars())


def versions(conn: Connection, tenant: str, chosen: Sequence[int]) -> list[VersionRow]:
    """The records with these numbers, in order."""
    columns = [_r[name] for name in VersionRow._fields[:-1]]
    writer = (sessions.c.id == _r.session) & (sessions.c.tenant == tenant)
    statement = select(*columns, sessions.c.session_id).select_from(records.outerjoin(sessions, writer))
    of_tenant = func.coalesce(_r.tenant, "") == tenant  # else SQLite seeks all of the tenant's, and not by number
    statement = statement.where(of_tenant, _r.id.in_(chosen)).order_by(_r.id)
    return [VersionRow._make(row) for row in conn.execute(statement)]


def add(conn: Connection, place: Place, new: Sequence[NewVersion]) -> None:
    """Add versions in their order; of each key the last one becomes the current one."""
    last = {(version.kind, version.key): index for index, version in enumerate(new)}
    for kind, key in last:
        conn.execute(
            update(records).where(_of(place), _r.kind == kind, _r.key == key, _r.current == 1).values(current=0)
        )
    common = {"tenant": place.tenant, "scope": place.scope, "subject": place.subject}
    conn.execute(
        insert(records),
        [
            {**common, **version._asdict(), "current": int(last[version.kind, version.key] == index)}
            for index, version in enumerate(new)
        ],
    )


def set_value(conn: Connection, number: int, value: str) -> None:
    """Change the value of one record."""
    conn.execute(update(records).where(_r.id == number).values(value=value))


def shared_scopes(conn: Connection, tenant: str, scope: str, subject: str | None) -> list[str]:
    """The users (or, for ``app``, the one subject) that have variables of their own."""
    statement = select(scopes.c.subject).where(scopes.c.tenant == tenant, scopes.c.scope == scope)
    if subject is not None:
        statement = statement.where(scopes.c.subject == subject)
    return list(conn.execute(statement.order_by(scopes.c.subject)).scalars())


def begin_scope(conn: Connection, place: Place, revision: int) -> None:
    """Let a scope that has never been written begin at this revision."""
    row = {"tenant": place.tenant, "scope": place.scope, "subject": place.subject, "revision": revision}
    conn.execute(insert_of(conn)(scopes).values(row).on_conflict_do_nothing())


def blob_named(conn: Connection, tenant: str, sha256: str) -> int | None:
    """The tenant's bytes with this digest."""
    statement = select(blobs.c.id).where(blobs.c.tenant == tenant, blobs.c.sha256 == sha256)
    found: Any = conn.execute(statement).scalar()
    return None if found is None else int(found)


def _of(place: Place) -> ColumnElement[bool]:
    """All records of the place's scope, of whatever kind."""
    return (_r.tenant == place.tenant) & (_r.scope == place.scope) & (_r.subject == place.subject)
