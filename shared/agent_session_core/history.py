"""What can be done to a session's messages, each as one function over a connection. None of them commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import (
    StoredMessage,
    as_stored,
    from_microseconds,
    from_row,
    new_id,
    now,
    same_content,
    same_history,
    to_microseconds,
    to_row,
)
from agent_session_core.errors import InvalidInput, MessageConflict
from agent_session_core.keys import Key, require_active, take_numbers
from agent_session_core.models import PASSAGE_ORIGIN, Message
from agent_session_core.reading import Reading, read, visible, with_own_calls
from agent_session_core.sql import messages as sql
from agent_session_core.sql.statement import Row
from agent_session_core.sql.tables import ARCHIVED, LIVE, REMOVED
from agent_session_core.turns import calls

MAX_BATCH = 100_000
"""Messages in one append or replace."""


class Draft(NamedTuple):
    """A message on its way in: its columns, the message they were made of, and whether that brought an id."""

    row: StoredMessage
    message: Message
    has_id: bool


def drafts(given: Sequence[Message], *, loose: bool) -> list[Draft]:
    """Check messages and turn them into rows.

    With ``loose`` an id that cannot be used is left to the origin, and the row gets one of its own.

    Raises:
        InvalidInput: naming what cannot be stored.
    """
    if len(given) > MAX_BATCH:
        raise InvalidInput(f"messages: {len(given):,} at once; give at most {MAX_BATCH:,} a call")
    at = to_microseconds(now())
    made = []
    for message in given:
        row = to_row(message, at=at)
        if message.origin is not None and message.origin.framework == PASSAGE_ORIGIN:
            raise InvalidInput(
                f"origin.framework: {_checks.shown(PASSAGE_ORIGIN)} is what the text of files comes from; use another"
            )
        has_id = message.id is not None
        if has_id:
            try:
                _checks.identifier(message.id, "id")
            except InvalidInput:
                if not loose:
                    raise
                has_id, row = False, row._replace(id=new_id())
        made.append(Draft(row, message, has_id))
    return made


def is_one_statement(key: Key, given: Sequence[Draft]) -> bool:
    """Whether :func:`append` of these is a single statement where the database can do it in one."""
    return key.turn is None and bool(given) and not any(draft.has_id for draft in given)


def append(conn: Connection, key: Key, given: Sequence[Draft], *, loose: bool, archived: bool = False) -> list[Message]:
    """Add messages at the end, live or set aside at once; those that are there already stay as they are.

    Raises:
        MessageConflict: when an id is taken by another content (never with ``loose``).
        SessionNotFound, SessionNotActive: as :func:`require_active`.
    """
    known: dict[str, Row] = {}
    if any(draft.has_id for draft in given):
        require_active(conn, key, held=True)
        known = sql.by_ids(conn, key.session, (draft.row.id for draft in given if draft.has_id))
    resent = _resent(conn, key, given, known) if loose else None
    fresh, answer = _without_repeats(given, known, resent=resent)
    first, run = 0, 0
    if fresh:
        first, run = _add(conn, key, [draft.row for draft in fresh], ARCHIVED if archived else LIVE)
    elif not given:
        take_numbers(conn, key, 0)
    made = _as_stored(fresh, first, run)
    if len(answer) == len(made):
        return made
    by_id = {message.id: message for message in made}
    return [by_id[said.row.id] if isinstance(said, Draft) else from_row(said) for said in answer]


def append_again(
    conn: Connection, key: Key, given: Sequence[Draft], *, loose: bool, archived: bool = False
) -> list[Message]:
    """As :func:`append`, where it may have been done: the ids, which were made before, tell what is stored already."""
    return append(conn, key, [draft._replace(has_id=True) for draft in given], loose=loose, archived=archived)


def _add(conn: Connection, key: Key, rows: Sequence[StoredMessage], state: int) -> tuple[int, int]:
    """Store messages: the seq of the first, and their run."""
    while conn.dialect.name == "postgresql" and key.turn is None:  # a turn is looked at with the session held
        from agent_session_core.sql import at_once

        added = at_once.append(conn, key.params(), rows, now=to_microseconds(now()), state=state)
        if added is not None:
            return added[0] - len(rows) + 1, added[1]
        require_active(conn, key)  # says what stands in the way; if that has gone meanwhile, once more
    last, run, _ = take_numbers(conn, key, len(rows))
    first = last - len(rows) + 1
    sql.add(conn, key.session, run, first, rows, state)
    sql.announce(conn, key.tenant, key.session, first, last)
    return first, run


def _as_stored(fresh: Sequence[Draft], first: int, run: int) -> list[Message]:
    at = next((row.created_at for row, message, _ in fresh if message.created_at is None), 0)
    moment = from_microseconds(at)  # one for all of the call
    return [as_stored(row, message, seq, run, moment) for seq, (row, message, _) in enumerate(fresh, first)]


def _resent(conn: Connection, key: Key, given: Sequence[Draft], known: Mapping[str, Row]) -> int:
    """How many of the first of ``given`` are messages sent again.

    They repeat stored ones in their order, to the end of the history. Where something else was said since, they are
    messages of their own: a model that answers from a cache repeats the id too.
    """
    count, last = 0, 0
    for draft in given:
        stored = known.get(draft.row.id) if draft.has_id else None
        if stored is None or stored[0] <= last or not _repeats(draft, stored[2:]):
            break
        count, last = count + 1, stored[0]
    return count if count and last == sql.end_of(conn, key.session) else 0


def _repeats(draft: Draft, stored: Row) -> bool:
    """Whether a message says what a row (in the order of content.COLUMNS) says."""
    return same_content(draft.row, stored, with_time=draft.message.created_at is not None)


def _without_repeats(
    given: Sequence[Draft], known: Mapping[str, Row], *, resent: int | None
) -> tuple[list[Draft], list[Draft | Row]]:
    """What is to be stored, and for each message given what stands for it: a stored row, or a draft to be stored.

    Args:
        given: the messages.
        known: the stored rows with their ids.
        resent: how many at the beginning were sent again, any other that repeats an id being a message of its own;
            None where a message that repeats an id is that message.

    Raises:
        MessageConflict: where it is, and says something else.
    """
    fresh: list[Draft] = []
    answer: list[Draft | Row] = []
    new: dict[str, Draft] = {}
    for place, draft in enumerate(given):
        row = draft.row
        if draft.has_id:
            stored, twin = known.get(row.id), new.get(row.id)
            if stored is not None and (_repeats(draft, stored[2:]) if resent is None else place < resent):
                answer.append(stored)
                continue
            if twin is not None and resent is None and _repeats(draft, twin.row):
                answer.append(twin)
                continue
            if stored is not None or twin is not None:
                if resent is None:
                    raise MessageConflict(
                        f"id: {_checks.shown(row.id)} is taken by a message with other content; give it another id, "
                        "or none to have one made"
                    )
                draft = Draft(row._replace(id=new_id()), draft.message, has_id=False)
            else:
                new[row.id] = draft
        fresh.append(draft)
        answer.append(draft)
    return fresh, answer


def replace(conn: Connection, key: Key, given: Sequence[Draft], *, archived: bool = False) -> list[Message]:
    """Make the live history of the current run, or what was set aside of it, equal to what is given.

    The beginning that is equal stays as it is stored, also where the change before this one took it back: frameworks
    clear a history to write it again. Compared is what a read shows. The rest is taken back, and what is new added
    behind.

    Raises:
        SessionNotFound, SessionNotActive: as :func:`require_active`.
    """
    session = require_active(conn, key)
    live = _live(conn, key, archived)
    taken_back = [] if archived else sql.taken_back_last(conn, key.session, session.run, session.revision)
    returning = {row[0] for row in taken_back}
    stored = visible(conn, key, [from_row(row) for row in live])
    equal = _equal_beginning(given, stored)
    if taken_back and equal < len(given):
        rows = sorted([*live, *taken_back], key=lambda row: int(row[0]))
        whole = visible(conn, key, [from_row(row) for row in rows])
        if (longer := _equal_beginning(given, whole)) > equal:
            stored, equal = whole, longer
    _, _, revision = take_numbers(conn, key, 0)
    back = [message.seq for message in stored[:equal] if message.seq in returning and message.seq is not None]
    kept_up_to = stored[equal - 1].seq or 0 if equal else 0
    gone = [row[0] for row in live if row[0] > kept_up_to]
    sql.set_state(conn, key.session, back, LIVE, revision)
    sql.set_state(conn, key.session, gone, REMOVED, revision)
    if back or gone:
        sql.announce(conn, key.tenant, key.session, min(back + gone), max(back + gone))
    if equal == len(given):
        return stored[:equal]
    taken = set(sql.by_ids(conn, key.session, (draft.row.id for draft in given[equal:] if draft.has_id)))
    rest = []
    for draft in given[equal:]:
        row = draft.row if draft.row.id not in taken else draft.row._replace(id=new_id())
        taken.add(row.id)
        rest.append(Draft(row, draft.message, has_id=False))  # whatever is there already: this is another message
    return stored[:equal] + append(conn, key, rest, loose=True, archived=archived)


def _equal_beginning(given: Sequence[Draft], stored: Sequence[Message]) -> int:
    """How many messages at the beginning of both say the same."""
    pairs = enumerate(zip(given, stored, strict=False))
    return next(
        (place for place, (draft, message) in pairs if not same_history(draft.message, message)),
        min(len(given), len(stored)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which messages of the current run to take: the first or last n, one by its place, or by their seqs; or all."""

    first: int | None = None
    last: int | None = None
    index: int | None = None
    seqs: tuple[int, ...] | None = None
    archived: bool | None = False


def take(conn: Connection, key: Key, selected: Selection, *, into: int) -> list[Message]:
    """Mark the selected messages removed or archived, and return them, oldest first.

    Counted is what a read shows. A tool's result that is not shown, because its call is gone, goes with its neighbours;
    one that is shown goes with its call.

    Raises:
        SessionNotFound, SessionNotActive: as :func:`require_active`.
    """
    require_active(conn, key)
    chosen = shown = read(conn, key, Reading(archived=selected.archived))
    if selected.first is not None:
        chosen = shown[: selected.first]
    elif selected.last is not None:
        chosen = shown[len(shown) - min(selected.last, len(shown)) :]
    elif selected.index is not None:
        chosen = shown[selected.index : selected.index + 1]
    elif selected.seqs is not None:
        wanted = set(selected.seqs)
        chosen = [message for message in shown if message.seq in wanted]
    rows = _live(conn, key, selected.archived)
    seqs = {message.seq for message in chosen}
    if selected.seqs is None and selected.index is None:
        hidden = {row[0] for row in rows} - {message.seq for message in shown}
        first, last = (chosen[0].seq or 0, chosen[-1].seq or 0) if chosen else (1, 0)
        if len(chosen) == len(shown):
            seqs |= hidden
        elif selected.first is not None:
            seqs |= {seq for seq in hidden if seq <= last}
        else:
            seqs |= {seq for seq in hidden if seq >= first}
    if any(True for message in chosen for _ in calls(message)):
        left = [from_row(row) for row in rows if row[0] not in seqs]
        whole = with_own_calls(conn, key, left)
        seqs |= {message.seq for message in left} - {message.seq for message in whole}
    _mark(conn, key, [row[0] for row in rows if row[0] in seqs], into)
    return chosen


def _live(conn: Connection, key: Key, archived: bool | None, after: int = 0) -> list[Row]:
    """The rows of the current run, live or set aside, that come after a seq."""
    statement = sql.view(archived, None).statement(newest_first=False, limited=False, after=True)
    return statement.all(conn, key.params() | {"below": sql.END, "after": after})


def pop_turn(conn: Connection, key: Key) -> list[Message]:
    """Take back the newest user message and everything after it; nothing where no user has spoken.

    Raises:
        SessionNotFound, SessionNotActive: as :func:`require_active`.
    """
    require_active(conn, key)
    start = sql.last_turn(conn, key.params())
    if start is None:
        return []
    rows = _live(conn, key, archived=False, after=start - 1)
    _mark(conn, key, [row[0] for row in rows], REMOVED)
    return [from_row(row) for row in rows]


def _mark(conn: Connection, key: Key, seqs: Sequence[int], state: int) -> None:
    if not seqs:
        return
    _, _, revision = take_numbers(conn, key, 0)
    sql.set_state(conn, key.session, seqs, state, revision)
    if state != ARCHIVED:  # what a framework set aside is still to be found
        sql.announce(conn, key.tenant, key.session, seqs[0], seqs[-1])
