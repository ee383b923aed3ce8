"""Text files as searchable passages: rows beside the messages, which histories do not show and searches find."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

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


def restore_passages(conn: Connection, key: Key, versions: Mapping[str, int]) -> None:
    """Make the passages that were stored with these versions of files, and no others, the searchable ones again."""
    gone, back = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for seq, name, origin, state in sql.passages(conn, key.session):
        wanted = name in versions and origin == f"{PASSAGE_ORIGIN}/{versions[name]}"
        if wanted != (state == ATTACHED):
            (back if wanted else gone)[name].append(seq)
    for seqs in gone.values():
        _mark(conn, key, seqs, REMOVED)
    for seqs in back.values():
        _mark(conn, key, seqs, ATTACHED)


def _hide(conn: Connection, key: Key, name: str) -> None:
    _mark(conn, key, sql.attached(conn, key.session, name), REMOVED)


def _mark(conn: Connection, key: Key, seqs: Sequence[int], state: int) -> None:
    if seqs:
        sql.set_state(conn, key.session, seqs, state, None)
        sql.announce(conn, key.tenant, key.session, seqs[0], seqs[-1])
