"""Bringing a scope in memory up to what the database holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_session_core.search import statements as sql
from agent_session_core.search.scope import Addition, Mark, Scope

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["MOST_MESSAGES", "up_to_date"]

MOST_MESSAGES = 100_000
"""Messages of a scope that are searched; of larger ones the sessions that changed last."""


def up_to_date(
    conn: Connection, scope: Scope, slot: int, tenant: str, user_id: str | None
) -> tuple[Scope, list[sql.SessionMark], bool]:
    """The scope as it stands now, its sessions, and whether messages were left out because there are too many."""
    marks, truncated = _newest(sql.marks(conn, slot, tenant, user_id))
    epochs = {mark.session: mark.epoch for mark in marks}
    stale = {session for session, known in scope.marks.items() if epochs.get(session) != known.epoch}
    if stale:
        scope = scope.without(stale)
    additions = []
    for mark in marks:
        known = scope.marks.get(mark.session)
        if known is None or mark.last_seq > known.last_seq:
            after = max(0 if known is None else known.last_seq, mark.last_seq - MOST_MESSAGES)
            rows = sql.entries_of(conn, slot, mark.session, after + 1)
            additions.append(Addition(mark.session, Mark(mark.last_seq, mark.epoch), rows))
    return scope.extended(additions) if additions else scope, marks, truncated


def _newest(marks: list[sql.SessionMark]) -> tuple[list[sql.SessionMark], bool]:
    """The sessions that changed last, as many as may be searched."""
    if sum(mark.last_seq for mark in marks) <= MOST_MESSAGES:
        return marks, False
    chosen = []
    room = MOST_MESSAGES
    for mark in sorted(marks, key=lambda mark: (mark.updated_at, mark.session), reverse=True):
        if room <= 0:
            break
        chosen.append(mark)
        room -= mark.last_seq
    return chosen, True
