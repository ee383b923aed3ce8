"""One search, on one snapshot of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agent_session_core.content import to_microseconds
from agent_session_core.models import ROLES, Message, SearchHit
from agent_session_core.search import statements as sql
from agent_session_core.search.hits import explanation, file_of, highlights, key
from agent_session_core.search.query import read_question
from agent_session_core.search.ranking import Found, Ranking, by_message, by_session, score
from agent_session_core.search.scope import NOBODY
from agent_session_core.search.scoring import nearness, word_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from agent_session_core.ports import Vectors
    from agent_session_core.search.fusion import Mode
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.scope import Scope

__all__ = ["neighbours", "search"]


def search(
    conn: Connection, request: SearchRequest, scope: Scope, marks: Sequence[sql.SessionMark], vector: Vectors | None
) -> list[SearchHit]:
    """The hits of a request in a scope.

    Args:
        conn: a connection on the snapshot that ``scope`` shows.
        request: what is sought. Of its mode, ``keyword`` is taken where there is no vector.
        scope: what is searched.
        marks: its sessions.
        vector: the unit vector of the question; None to search by words alone.
    """
    if not len(scope):
        return []
    mode: Mode = "keyword" if vector is None else request.mode
    question = read_question(request.query, scope.speakers, scope.words)
    words = word_scores(scope, () if mode == "semantic" else question.stems)
    near = np.zeros(len(scope), dtype=np.float32) if vector is None else nearness(scope, vector)
    scored = score(scope, mode, words, near, question.named, request.recency)
    ranking = Ranking.of(scope, scored, _allowed(conn, request, scope, marks), request.min_score)
    grouped = request.group_by == "session"
    candidates = (by_session if grouped else by_message)(ranking, request.limit)
    read: list[tuple[Found, sql.Title, Message]] = []
    for found in candidates:
        if len(read) == request.limit:
            break
        at = sql.message_at(conn, request.tenant, request.user_id, *key(scope, found.place))
        if at is not None:  # taken back since it was indexed
            read.append((found, *at))
    marked = highlights([message.text for _, _, message in read], question, scope.words)
    return [
        SearchHit(
            message=message,
            session_id=title.session_id,
            session_title=title.title,
            score=min(1.0, float(scored.shown[found.place])),
            file=file_of(message),
            highlights=pieces,
            neighbours=tuple(
                neighbours(
                    conn, request, key(scope, found.place), [key(scope, one)[1] for one in found.further], message
                )
            ),
            duplicates=found.duplicates,
            explanation=explanation(scope, scored, words, question, found.place, message.text)
            if request.explain
            else None,
        )
        for (found, title, message), pieces in zip(read, marked, strict=True)
    ]


def neighbours(
    conn: Connection, request: SearchRequest, at: tuple[int, int], further: Iterable[int], message: Message
) -> Iterator[Message]:
    """The messages around a hit, and those that stand for its session with it, in their order; no files' passages.

    Args:
        conn: a connection on the snapshot of the search.
        request: what was sought.
        at: the session and seq of the hit.
        further: the seqs of the messages that stand for its session with it.
        message: the hit.
    """
    session, seq = at
    seqs = set(further)
    if request.neighbours and message.run is not None:
        seqs.update(sql.around(conn, session, seq, message.run, request.neighbours))
    for near in sorted(seqs):
        found = sql.message_at(conn, request.tenant, request.user_id, session, near)
        if found is not None and file_of(found[1]) is None:
            yield found[1]


def _allowed(
    conn: Connection, request: SearchRequest, scope: Scope, marks: Sequence[sql.SessionMark]
) -> NDArray[np.bool_]:
    """Which messages of ``scope`` pass the filters."""
    allowed: NDArray[np.bool_] = _sessions(conn, request, scope, marks)[scope.message("session")]
    if request.roles is not None:
        allowed &= np.isin(scope.message("role"), [ROLES.index(role) for role in request.roles])
    if request.author is not None:
        author = scope.speakers.find(request.author)
        allowed &= scope.message("author") == (NOBODY - 1 if author is None else author)
    if request.since is not None:
        allowed &= scope.message("created_at") >= to_microseconds(request.since)
    if request.until is not None:
        allowed &= scope.message("created_at") < to_microseconds(request.until)
    if request.condition is not None or request.max_length is not None:
        matching = sql.matching(conn, request.tenant, request.user_id, request.condition, request.max_length)
        allowed &= np.isin(scope.message("id"), np.array(matching, dtype=np.int64))
    return allowed


def _sessions(
    conn: Connection, request: SearchRequest, scope: Scope, marks: Sequence[sql.SessionMark]
) -> NDArray[np.bool_]:
    """Which sessions of ``scope`` pass the filters, by their number."""
    wanted = {mark.session for mark in marks if request.archived or mark.status != "archived"}
    if request.session_ids is not None:
        wanted &= sql.numbers_of(conn, request.tenant, request.session_ids)
    if request.exclude_session_ids is not None:
        wanted -= sql.numbers_of(conn, request.tenant, request.exclude_session_ids)
    return np.array([session in wanted for session in scope.sessions], dtype=np.bool_)
