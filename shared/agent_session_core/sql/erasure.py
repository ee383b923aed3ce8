"""Statements that destroy: sessions and what belongs to them. Deleted pages are overwritten (``secure_delete``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update

from agent_session_core.sql import blobs
from agent_session_core.sql.locks import alone
from agent_session_core.sql.sessions import Scope, SessionRow
from agent_session_core.sql.tables import (
    elastic_sessions,
    erasures,
    index_sessions,
    leases,
    messages,
    node_collections,
    nodes,
    outbox,
    records,
    scopes,
    sessions,
)

_COLUMNS = [sessions.c[name] for name in SessionRow._fields]
_KINDS = {"state": "state", "task": "tasks", "call": "tool_calls", "file": "files"}
"""The kinds of records, and what a receipt calls them."""


def sessions_of(conn: Connection, tenant: str, user_id: str | None) -> list[SessionRow]:
    """A user's sessions, or all of the tenant's."""
    statement = select(*_COLUMNS).where(sessions.c.tenant == tenant)
    if user_id is not None:
        statement = statement.where(sessions.c.user_id == user_id)
    return [SessionRow(*row) for row in conn.execute(statement)]


def forks_of(conn: Connection, tenant: str, rows: Sequence[SessionRow]) -> list[SessionRow]:
    """The sessions that were forked from these."""
    found: list[SessionRow] = []
    for some in _slices(rows):
        for clause in _forked_from(tenant, some):
            found += [SessionRow(*row) for row in conn.execute(select(*_COLUMNS).where(clause))]
    return found


def _forked_from(tenant: str, rows: Sequence[SessionRow]) -> Iterator[ColumnElement[bool]]:
    """The conditions on forks of these sessions, an owner at a time: a parent is named, and names are the owner's."""
    names = defaultdict[str | None, list[str]](list)
    for row in rows:
        names[row.user_id].append(row.session_id)
    for owner, some in names.items():
        yield (sessions.c.tenant == tenant) & (sessions.c.user_id == owner) & sessions.c.parent_id.in_(some)


def erase(conn: Connection, tenant: str, rows: Sequence[SessionRow]) -> dict[str, int]:
    """Delete sessions with all they have, and tell the index; how many there were of each thing."""
    counts = dict.fromkeys(("messages", *_KINDS.values()), 0)
    for some in _slices(sorted(rows)):  # in one order, so that two who erase never wait for each other
        numbers = [row.id for row in some]
        held = select(sessions.c.id).where(sessions.c.id.in_(numbers)).order_by(sessions.c.id).with_for_update()
        conn.execute(held)  # first of all: what others are just adding is there before it is deleted
        counts["messages"] += _deleted(conn, messages, messages.c.session.in_(numbers))
        subjects = [str(number) for number in numbers]
        for name, count in _erase_records(conn, tenant, records.c.subject.in_(subjects), "session").items():
            counts[name] += count
        of_these = (scopes.c.tenant == tenant) & (scopes.c.scope == "session") & scopes.c.subject.in_(subjects)
        _deleted(conn, scopes, of_these)
        _deleted(conn, leases, leases.c.session.in_(numbers))
        blobs.discard(conn, blobs.unfinished_of(conn, numbers))
        for clause in _forked_from(tenant, some):
            conn.execute(update(sessions).where(clause).values(parent_id=None))
        _deleted(conn, sessions, (sessions.c.tenant == tenant) & sessions.c.id.in_(numbers))
        told = [{"tenant": tenant, "session": row.id, "first_seq": 1, "last_seq": max(row.last_seq, 1)} for row in some]
        conn.execute(insert(outbox), told)
    return counts


def erase_scope(conn: Connection, tenant: str, scope: str | None, subject: str | None) -> dict[str, int]:
    """Delete the state of a user, or (without a scope) whatever is left of the tenant's."""
    clause: ColumnElement[bool] = records.c.tenant == tenant
    of_scope: ColumnElement[bool] = scopes.c.tenant == tenant
    if subject is not None:
        clause = records.c.subject == subject
        of_scope = of_scope & (scopes.c.scope == scope) & (scopes.c.subject == subject)
    counts = _erase_records(conn, tenant, clause, scope)
    if scope is None:
        blobs.discard(conn, blobs.unfinished_in(conn, tenant))
    _deleted(conn, scopes, of_scope)
    return counts


def erase_nodes(conn: Connection, tenant: str, user_id: str | None) -> dict[str, int]:
    """Delete a user's nodes, or all of the tenant's."""
    of_these = select(node_collections.c.id).where(node_collections.c.tenant == tenant)
    clause = node_collections.c.tenant == tenant
    if user_id is not None:
        of_these = of_these.where(node_collections.c.user_id == user_id)
        clause = clause & (node_collections.c.user_id == user_id)
    count = _deleted(conn, nodes, nodes.c.collection.in_(of_these))
    _deleted(conn, node_collections, clause)
    return {"nodes": count}


def keep_receipt(conn: Connection, receipt_id: str, scope: Scope, at: int, counts: str, names: str) -> None:
    """Store a receipt."""
    values = {"id": receipt_id, "tenant": scope.tenant, "user_id": scope.user_id, "erased_at": at}
    conn.execute(insert(erasures).values(**values, counts=counts, sessions=names))


def receipt(conn: Connection, scope: Scope, receipt_id: str) -> tuple[int, str, str] | None:
    """When, how many of each thing, and which sessions; None where there is none, or it is another user's."""
    statement = select(erasures.c.erased_at, erasures.c.counts, erasures.c.sessions)
    statement = statement.where(erasures.c.tenant == scope.tenant, erasures.c.id == receipt_id)
    if scope.user_id is not None:
        statement = statement.where(erasures.c.user_id == scope.user_id)
    row = conn.execute(statement).one_or_none()
    return None if row is None else (row[0], row[1], row[2])


def pending(conn: Connection, numbers: Sequence[int]) -> bool:
    """Whether the index still knows one of these sessions."""
    return any(
        conn.execute(select(table.c.session).where(table.c.session.in_(some)).limit(1)).first()
        for some in _slices(numbers)
        for table in (index_sessions, elastic_sessions)
    )


def _erase_records(conn: Connection, tenant: str, clause: ColumnElement[bool], scope: str | None) -> dict[str, int]:
    here = (records.c.tenant == tenant) & clause
    if scope is not None:
        here = here & (records.c.scope == scope)
    there = select(records.c.kind, func.count()).where(here, records.c.current == 1, records.c.value.is_not(None))
    counts = dict.fromkeys(_KINDS.values(), 0)
    for kind, count in conn.execute(there.group_by(records.c.kind)):
        if kind in _KINDS:
            counts[_KINDS[kind]] = int(count)
    held = conn.execute(select(records.c.blob).where(here, records.c.blob.is_not(None)).distinct()).scalars().all()
    conn.execute(delete(records).where(here))
    if held:
        alone(conn, f"files of {tenant}")
    for some in _slices(held):
        kept = set(conn.execute(select(records.c.blob).where(records.c.blob.in_(some)).distinct()).scalars())
        blobs.discard(conn, [blob for blob in some if blob not in kept])
    return counts


def _deleted(conn: Connection, table: Table, clause: ColumnElement[bool]) -> int:
    return int(conn.execute(delete(table).where(clause)).rowcount)


def _slices(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + 200] for start in range(0, len(values), 200))
