"""Erasure: what goes for good, with everything that belongs to it, and the receipt for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from agent_session_core._json import decode
from agent_session_core.content import from_microseconds, new_id, now, to_microseconds
from agent_session_core.models import ErasureReceipt
from agent_session_core.sql import erasure as sql
from agent_session_core.sql.sessions import Scope, SessionRow

__all__ = ["erase_sessions", "erase_tenant", "erase_user", "receipt"]


def erase_sessions(
    conn: Connection, tenant: str, rows: Sequence[SessionRow], *, user_id: str | None = None, forks: bool = False
) -> ErasureReceipt:
    """Erase sessions with their messages, state, files, tasks and calls; with ``forks``, what was forked from them.

    The index is told in the same transaction; forks that stay no longer name where they came from. Where all of them
    are one user's, ``user_id``, the user may ask for the receipt.
    """
    chosen = {row.id: row for row in rows}
    if forks:
        waiting = list(rows)
        while waiting:
            children = sql.forks_of(conn, tenant, waiting)
            waiting = [child for child in children if child.id not in chosen]
            chosen.update((child.id, child) for child in waiting)
    counts = sql.erase(conn, tenant, list(chosen.values()))
    return _receipt(conn, Scope(tenant, user_id), chosen.values(), counts)


def erase_user(conn: Connection, tenant: str, user_id: str) -> ErasureReceipt:
    """Erase every session of a user, and what the user has besides: state and nodes."""
    rows = sql.sessions_of(conn, tenant, user_id)
    counts = sql.erase(conn, tenant, rows)
    _add(counts, sql.erase_scope(conn, tenant, "user", user_id))
    _add(counts, sql.erase_nodes(conn, tenant, user_id))
    return _receipt(conn, Scope(tenant, user_id), rows, counts)


def erase_tenant(conn: Connection, tenant: str) -> ErasureReceipt:
    """Erase everything of a tenant but the receipts."""
    rows = sql.sessions_of(conn, tenant, None)
    counts = sql.erase(conn, tenant, rows)
    _add(counts, sql.erase_scope(conn, tenant, None, None))
    _add(counts, sql.erase_nodes(conn, tenant, None))
    return _receipt(conn, Scope(tenant), rows, counts)


def receipt(conn: Connection, scope: Scope, receipt_id: str) -> ErasureReceipt | None:
    """A receipt that was given; complete where the index knows none of its sessions any more."""
    found = sql.receipt(conn, scope, receipt_id)
    if found is None:
        return None
    erased_at, counts, sessions = found
    pairs: list[tuple[int, str]] = [(number, name) for number, name in decode(sessions)]
    pending = sql.pending(conn, [number for number, _ in pairs])
    return _made(receipt_id, erased_at, [name for _, name in pairs], decode(counts), complete=not pending)


def _receipt(conn: Connection, scope: Scope, rows: Iterable[SessionRow], counts: dict[str, int]) -> ErasureReceipt:
    receipt_id, at = new_id(), to_microseconds(now())
    pairs = [(row.id, row.session_id) for row in rows]
    sql.keep_receipt(conn, receipt_id, scope, at, json.dumps(counts), json.dumps(pairs))
    return _made(receipt_id, at, [name for _, name in pairs], counts, complete=False)


def _made(receipt_id: str, at: int, names: Sequence[str], counts: dict[str, Any], *, complete: bool) -> ErasureReceipt:
    return ErasureReceipt(
        id=receipt_id, session_ids=tuple(names), erased_at=from_microseconds(at), complete=complete, **counts
    )


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
