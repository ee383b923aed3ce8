"""Sessions into a store: entry by entry, in small commits, so that a load that was broken off can be gone on with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import to_microseconds
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import (
    BlobEntry,
    Entry,
    MessageEntry,
    Problem,
    RecordEntry,
    ScopeEntry,
    SessionEntry,
)
from agent_session_core.lifecycle import duration
from agent_session_core.models import SessionRecord
from agent_session_core.sql import sessions as sql
from agent_session_core.sql import transfer as sql_transfer
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place
from agent_session_core.sql.sessions import Scope
from agent_session_core.transfer.incoming_bytes import IncomingBytes
from agent_session_core.transfer.incoming_messages import MAX_GAP, MAX_SEQ, store_messages
from agent_session_core.transfer.incoming_records import Target, store_records
from agent_session_core.transfer.report import LoadReport, Tally

__all__ = ["load"]

MAX_REVISION = 2**62


def load(database: Database, scope: Scope, entries: Iterable[Entry | Problem]) -> LoadReport:
    """Store what ``entries`` hold in ``scope``; what is there already stays as it is.

    A load that was broken off is resumed by loading the same again. A message with a place (seq) keeps it, a message
    without comes at the end of its session.
    """
    loading = _Loading(database, scope)
    try:
        for group, some in groupby(entries, key=_group):
            loading.take(group, some)
        loading.end_session()
    finally:
        loading.bytes.discard()
    return loading.tally.report()


def _group(entry: Entry | Problem) -> tuple[str, ...] | None:
    """What is stored together: messages of one session, versions of one session or scope."""
    if isinstance(entry, MessageEntry):
        return ("message", entry.session_id)
    if isinstance(entry, RecordEntry):
        return ("record", entry.scope, entry.subject)
    return None


class _Loading:
    """A load under way."""

    def __init__(self, database: Database, scope: Scope) -> None:
        self._database = database
        self._scope = scope
        self._refused: set[str] = set()
        self._session: SessionEntry | None = None
        self._target: Target | None = None
        self.bytes = IncomingBytes(database, scope)
        self.tally = Tally()

    def take(self, group: tuple[str, ...] | None, entries: Iterable[Any]) -> None:
        """Store entries that belong together."""
        if group is None:
            for entry in entries:
                self._one(entry)
        elif group[0] == "message":
            if group[1] not in self._refused:
                store_messages(self._database, self._scope, group[1], entries, self.tally)
        else:
            self._records(group[1], group[2], entries)

    def end_session(self) -> None:
        """Keep the places free that were given to messages of the session and are not in the file."""
        entry, self._session, self._target = self._session, None, None
        if entry is not None and entry.last_seq and entry.record.id not in self._refused:
            last = min(entry.last_seq, MAX_SEQ)
            self._database.write(partial(_raise_last_seq, scope=self._scope, name=entry.record.id, last=last))

    def _one(self, entry: SessionEntry | ScopeEntry | BlobEntry | Problem) -> None:
        if isinstance(entry, SessionEntry):
            self.end_session()
            self._begin_session(entry)
        elif isinstance(entry, Problem):
            self.tally.problem(entry.where, entry.reason)
        elif isinstance(entry, ScopeEntry):
            self._begin_scope(entry)
        elif isinstance(entry, BlobEntry):
            try:
                self.bytes.take(entry, None if self._session is None else self._session.record.id)
            except InvalidInput as error:
                self.tally.problem(entry.where, str(error))
        else:
            self.tally.problem("", f"expected an entry of a file, got {type(entry).__name__} {_checks.shown(entry)}")

    def _begin_session(self, entry: SessionEntry) -> None:
        record = entry.record
        try:
            _checks.identifier(record.id, "session_id")
            _checks.optional_identifier(record.user_id, "user_id")
            values = _columns(record)
            revision = _checks.whole(entry.state_revision, "state_revision", least=0, most=MAX_REVISION)
        except InvalidInput as error:
            self._refused.add(record.id)
            self.tally.problem(entry.where, str(error))
            return
        owner = self._scope.user_id if self._scope.user_id is not None else record.user_id
        make = partial(_make, scope=replace(self._scope, user_id=owner), name=record.id, values=values)
        made = self._database.write(partial(make, state_revision=revision))
        if made is None:
            self._refused.add(record.id)
            self.tally.problem(
                entry.where, f"session {_checks.shown(record.id)}: its id is not to be had; load it under another"
            )
        else:
            self.tally.sessions += made
            self._session = entry

    def _begin_scope(self, entry: ScopeEntry) -> None:
        place = self._place(entry.scope, entry.subject)
        if place is None:
            self.tally.problem(
                entry.where, "variables of the application; load them by a store that is bound to no user"
            )
        elif entry.revision:
            revision = min(entry.revision, MAX_REVISION)
            self._database.write(partial(sql_transfer.begin_scope, place=place, revision=revision))

    def _records(self, scope: str, subject: str, entries: Iterable[RecordEntry]) -> None:
        if scope == "session" and subject in self._refused:
            return
        if self._target is None or (self._target.scope, self._target.subject) != (scope, subject):
            self._target = Target.found(self._database, self._scope, scope, subject, self._place(scope, subject))
        if self._target is not None:
            store_records(self._database, self._target, entries, self.bytes, self.tally)
        elif scope == "session":
            for entry in entries:
                self.tally.problem(entry.where, f"session {_checks.shown(subject)}: not there; its line is missing")

    def _place(self, scope: str, subject: str) -> Place | None:
        """Where variables that sessions share go: a bound store's to its user; the application's not by such a one."""
        bound = self._scope.user_id
        if scope == "app":
            return None if bound is not None else Place(self._scope.tenant, "app", "", "state")
        return Place(self._scope.tenant, "user", subject if bound is None else bound, "state")


def _columns(record: SessionRecord) -> dict[str, object]:
    created_at, updated_at = (
        to_microseconds(_checks.moment(getattr(record, name), name)) for name in ("created_at", "updated_at")
    )
    idle = duration(record.idle_timeout, "idle_timeout")
    expires_at = None if record.expires_at is None else to_microseconds(_checks.moment(record.expires_at, "expires_at"))
    due = [moment for moment in (expires_at, None if idle is None else updated_at + idle) if moment is not None]
    return {
        "agent_id": _checks.optional_identifier(record.agent_id, "agent_id"),
        "title": _checks.title(record.title),
        "metadata": _checks.json_object(record.metadata, "metadata"),
        "status": record.status,
        "run": _checks.whole(record.run, "run", most=2**31 - 1),
        "revision": _checks.whole(record.revision, "revision", least=0, most=MAX_REVISION),
        "created_at": created_at,
        "updated_at": updated_at,
        "idle_timeout": idle,
        "expires_at": expires_at,
        "due_at": min(due, default=None),
        "parent_id": _checks.optional_identifier(record.parent_id, "parent_id"),
        "forked_from": record.forked_from,
    }


def _make(conn: Connection, scope: Scope, name: str, values: dict[str, object], state_revision: int) -> bool | None:
    """Make the session: True where it is new, False where it was there, None where it is somebody else's."""
    if sql.find(conn, scope, name) is not None:
        return False
    sql.create(conn, scope, name, values)
    made = sql.find(conn, scope, name)
    if made is None:
        return None
    if state_revision:
        sql_transfer.begin_scope(conn, Place(scope.tenant, "session", str(made.id), "state"), state_revision)
    return True


def _raise_last_seq(conn: Connection, scope: Scope, name: str, last: int) -> None:
    row = sql.find(conn, scope, name)
    if row is not None and row.last_seq < last <= row.last_seq + MAX_GAP:
        sql.change(conn, row.key(scope.tenant), {"last_seq": last})
