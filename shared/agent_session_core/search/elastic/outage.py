"""An answer from the database alone while Elasticsearch is out: by words, from the newest messages, read anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from agent_session_core.models import SearchResults
from agent_session_core.search import changes
from agent_session_core.search.entries import Source, entries
from agent_session_core.search.scope import Addition, Mark, empty_scope
from agent_session_core.search.searching import search
from agent_session_core.search.statements import IndexRow, SessionMark, key_of
from agent_session_core.sql.tables import ATTACHED, REMOVED, sessions

if TYPE_CHECKING:
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.words import Words

__all__ = ["answer_from_database"]

MOST_MESSAGES = 4_000
"""Messages that are looked through: those of the sessions that changed last."""
MOST_SESSIONS = 1_000


def answer_from_database(conn: Connection, request: SearchRequest, words: Words, reason: str) -> SearchResults:
    """The hits of a request among the newest messages of its scope, marked with the reason."""
    columns = (sessions.c.id, sessions.c.status, sessions.c.updated_at, sessions.c.last_seq)
    wanted = select(*columns).where(sessions.c.tenant == request.tenant, sessions.c.last_seq > 0)
    if request.user_id is not None:
        wanted = wanted.where(sessions.c.user_id == request.user_id)
    newest_first = wanted.order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(MOST_SESSIONS + 1)
    scope, marks, room, truncated = empty_scope(words, 0), [], MOST_MESSAGES, False
    for place, (session, status, updated_at, last_seq) in enumerate(conn.execute(newest_first)):
        if room <= 0 or place == MOST_SESSIONS:
            truncated = True
            break
        first = max(1, last_seq - room + 1)
        truncated = truncated or first > 1
        room -= last_seq - first + 1
        rows = _rows(session, first, changes.sources(conn, session, first, last_seq, after=False), words)
        scope = scope.extended([Addition(session, Mark(last_seq, 0), rows)])
        marks.append(SessionMark(session, status, updated_at, last_seq, 0))
    return SearchResults(search(conn, request, scope, marks, None), degraded=reason, truncated=truncated)


def _rows(session: int, first: int, sources: list[Source], words: Words) -> list[IndexRow]:
    wanted: list[tuple[Source, list[str]]] = []
    near: list[Source] = []  # the two messages before, nearest first
    for source in sources:
        if source.state == REMOVED or source.text == "":
            continue
        spoken = source.state != ATTACHED
        if source.seq >= first:
            wanted.append((source, [other.text for other in near if other.run == source.run and spoken]))
        if spoken:
            near = [source, *near[:1]]
    made = entries(wanted, words)
    return [
        IndexRow(key_of(session, source.seq), None, *entry) for (source, _), entry in zip(wanted, made, strict=True)
    ]
