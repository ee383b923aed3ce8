"""Sessions out of a store: read in pages, one session after another."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import cast

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import from_microseconds, from_row
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import (
    BlobEntry,
    Entry,
    MessageEntry,
    RecordEntry,
    RecordKind,
    RecordScope,
    ScopeEntry,
    SessionEntry,
)
from agent_session_core.exchange.records import STATES
from agent_session_core.models import Status
from agent_session_core.record_values import value_of
from agent_session_core.sql import blobs
from agent_session_core.sql import messages as sql_messages
from agent_session_core.sql import records as sql_records
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql import transfer as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place
from agent_session_core.sql.sessions import Scope, SessionRow

__all__ = ["export", "records_of"]

MESSAGES = 500
"""Messages read at a time, at most."""
VERSIONS = 50
"""Versions of records read at a time."""
PIECES = 8
"""Pieces of a file's bytes read at a time."""


def export(database: Database, scope: Scope, session_ids: Iterable[str] | None) -> Iterator[Entry]:
    """Each session with its messages, in whatever state, and the versions of all else in it, as they were written.

    Without ``session_ids``, the variables of the users and of the application come at the end; those of the one user
    where the store is bound to one.

    Raises:
        InvalidInput: for one of ``session_ids`` that is not there.
    """
    told: set[bytes] = set()
    for number in _sessions(database, scope, session_ids):
        yield from _session(database, scope.tenant, number, told)
    if session_ids is None:
        yield from _shared(database, scope, "user")
        if scope.user_id is None:
            yield from _shared(database, scope, "app")


def _sessions(database: Database, scope: Scope, session_ids: Iterable[str] | None) -> Iterator[int]:
    if session_ids is not None:
        for name in session_ids:
            found = database.read(partial(sql_sessions.find, scope=scope, name=name))
            if found is None:
                raise InvalidInput(f"session_ids: {_checks.shown(name)} is not found; leave it out")
            yield found.id
        return
    after = 0
    while page := database.read(partial(sql_sessions.by_number, scope=scope, after=after, limit=100)):
        yield from (row.id for row in page)
        after = page[-1].id


def _session(database: Database, tenant: str, number: int, told: set[bytes]) -> Iterator[Entry]:
    row, last, state_revision, numbers = database.read(partial(_begun, tenant=tenant, number=number), snapshot=True)
    if row is None:  # deleted meanwhile
        return
    yield SessionEntry(
        record=replace(row.record(), status=cast("Status", row.status)),
        last_seq=row.last_seq if row.last_seq > last else None,
        state_revision=state_revision,
    )
    after = 0
    page = partial(sql_messages.page, session=number, last=last, limit=MESSAGES)
    while rows := database.read(partial(page, after=after)):
        for state, changed, *message in rows:
            yield MessageEntry(
                session_id=row.session_id,
                message=from_row(message),
                state=STATES[state],
                changed_at_revision=changed,
            )
        after = rows[-1][2]
    place = Place(tenant, "session", str(number), "")
    for entry, blob in records_of(database, place, row.session_id, numbers):
        if blob is not None and (digest := bytes.fromhex(entry.value["sha256"])) not in told:
            told.add(digest)
            yield from _bytes(database, tenant, blob, entry.value)
        yield entry


def _begun(conn: Connection, tenant: str, number: int) -> tuple[SessionRow | None, int, int, array[int]]:
    """The session, its last message, the revision of its variables, the numbers of its records: all of one moment."""
    row = sql_sessions.numbered(conn, tenant, number)
    standing = _standing(conn, Place(tenant, "session", str(number), "state"))
    return row, sql_messages.newest(conn, number), *standing


def _standing(conn: Connection, place: Place) -> tuple[int, array[int]]:
    """The revision of a scope's variables, and the numbers of its records."""
    return sql_records.revision(conn, place), sql.numbers(conn, place)


def _shared(database: Database, scope: Scope, kind: RecordScope) -> Iterator[Entry]:
    """The variables that sessions share: of each user, or of the application."""
    for subject in database.read(
        partial(sql.shared_scopes, tenant=scope.tenant, scope=kind, subject=scope.user_id if kind == "user" else "")
    ):
        place = Place(scope.tenant, kind, subject, "state")
        revision, numbers = database.read(partial(_standing, place=place), snapshot=True)
        yield ScopeEntry(scope=kind, subject=subject, revision=revision)
        yield from (entry for entry, _ in records_of(database, place, subject, numbers))


def records_of(
    database: Database, place: Place, subject: str, numbers: array[int]
) -> Iterator[tuple[RecordEntry, int | None]]:
    """The versions with these ``numbers``, and the bytes (a blob's number) that each speaks of.

    What only this database knows is put in words of the file: bytes are named by their digest, and how far back an
    undone rewind goes by the number of versions before it.
    """
    scope = cast("RecordScope", place.scope)
    for start in range(0, len(numbers), VERSIONS):
        chosen = numbers[start : start + VERSIONS]
        for row in database.read(partial(sql.versions, tenant=place.tenant, chosen=chosen)):
            value = value_of(row.kind, row)
            if row.kind == "file" and row.value is not None:
                del value["blob"]
            if row.kind == "rewind" and row.value is not None:
                value["record"] = bisect_right(numbers, value["record"])
            entry = RecordEntry(
                scope=scope,
                subject=subject,
                kind=cast("RecordKind", row.kind),
                key=row.key,
                value=value,
                deleted=row.value is None,
                revision=row.revision,
                seq=row.seq,
                written_at=from_microseconds(row.written_at),
                current=bool(row.current),
                session_id=None if scope == "session" else row.session_id,
            )
            yield entry, None if entry.deleted else row.blob


def _bytes(database: Database, tenant: str, blob: int, file: dict[str, object]) -> Iterator[BlobEntry]:
    sha256, size = str(file["sha256"]), int(str(file["size"]))
    if not size:
        yield BlobEntry(sha256=sha256, size=0, offset=0, data=b"")
    first = offset = 0
    while pieces := database.read(partial(blobs.pieces, tenant=tenant, blob=blob, first=first, count=PIECES)):
        for data in pieces:
            yield BlobEntry(sha256=sha256, size=size, offset=offset, data=data)
            offset += len(data)
        first += len(pieces)
