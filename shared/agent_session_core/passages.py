"""Text files as searchable passages: rows beside the messages, which histories do not show and searches find."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from agent_session_core.content import now, to_microseconds, to_row
from agent_session_core.keys import Key
from agent_session_core.models import PASSAGE_ORIGIN, Message, Origin
from agent_session_core.sql import messages as sql
from agent_session_core.sql.tables import ATTACHED, REMOVED

__all__ = ["PASSAGE", "announce_passages", "passages_of", "restore_passages"]

PASSAGE = 1_500
"""Characters of a passage, at most: about what one vector can stand for."""


def passages_of(text: str) -> list[str]:
    """``text`` in passages that end, where they can, at the end of a paragraph, a line, a sentence or a word."""
    found: list[str] = []
    rest = text.strip()
    while len(rest) > PASSAGE:
        ends = (rest.rfind(mark, PASSAGE // 3, PASSAGE) + len(mark) for mark in ("\n\n", "\n", ". ", " "))
        end = next((end for end in ends if end > PASSAGE // 3), PASSAGE)
        found.append(rest[:end].strip())
        rest = rest[end:].strip()
    return [*found, rest] if rest else found


def announce_passages(
    conn: Connection, key: Key, name: str, version: int, passages: Sequence[str], *, first_seq: int, run: int
) -> None:
    """Make ``passages`` the searchable text of the file ``name``, in place of what was; the index is told."""
    _hide(conn, key, name)
    if not passages:
        return
    at = to_microseconds(now())
    origin = Origin(PASSAGE_ORIGIN, str(version), name)
    rows = [to_row(Message(role="tool", text=passage, name=name, origin=origin), at=at) for passage in passages]
    sql.add(conn, key.session, run, first_seq, rows, state=ATTACHED)
    sql.announce(conn, key.tenant, key.session, first_seq, first_seq + len(rows) - 1)


def restore_passages(conn: Connection, key: Key, name: str, version: int | None) -> None:
    """Make the passages that were stored with ``version`` the file's searchable text again; None for no text."""
    there = sql.attached(conn, key.session, name, None)
    wanted = [] if version is None else sql.attached(conn, key.session, name, f"{PASSAGE_ORIGIN}/{version}")
    _mark(conn, key, sorted(set(there).difference(wanted)), REMOVED)
    _mark(conn, key, sorted(set(wanted).difference(there)), ATTACHED)


def _hide(conn: Connection, key: Key, name: str) -> None:
    _mark(conn, key, sql.attached(conn, key.session, name, None), REMOVED)


def _mark(conn: Connection, key: Key, seqs: Sequence[int], state: int) -> None:
    if seqs:
        sql.set_state(conn, key.session, seqs, state, None)
        sql.announce(conn, key.tenant, key.session, seqs[0], seqs[-1])
