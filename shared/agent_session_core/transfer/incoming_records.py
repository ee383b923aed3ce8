"""Versions of variables, tasks, tool calls and files on their way into the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core._json import AROUND, decode, encode
from agent_session_core.content import to_microseconds
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import RecordEntry
from agent_session_core.sql import records as sql_records
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql import transfer as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place
from agent_session_core.sql.sessions import Scope
from agent_session_core.sql.transfer import NewVersion
from agent_session_core.transfer.batches import batches
from agent_session_core.transfer.exporting import records_of
from agent_session_core.transfer.incoming_bytes import IncomingBytes
from agent_session_core.transfer.report import Tally

__all__ = ["Target", "store_records"]

MAX_VALUE = 9 * 1024 * 1024
"""Characters of JSON in one version: the arguments and the result of a tool call, and what is around them."""
MAX_NUMBER = 2**62


@dataclass(slots=True)
class Target:
    """Where the versions of one session, user or application go.

    Attributes:
        scope: ``session``, ``user`` or ``app``.
        subject: as the file names it.
        place: where they are stored.
        owner: whose sessions may be named as writers.
        revision: of what they belong to, when the load came to it: it must not move meanwhile.
        there: a digest of each version that is there and has not been met in the file.
    """

    scope: str
    subject: str
    place: Place
    owner: Scope
    revision: int
    there: set[int]

    @classmethod
    def found(cls, database: Database, owner: Scope, scope: str, subject: str, shared: Place | None) -> Target | None:
        """The target as it stands now; ``shared`` is its place where it is no session. None where there is none."""
        place = shared
        if scope == "session":
            row = database.read(partial(sql_sessions.find, scope=owner, name=subject))
            place = None if row is None else Place(owner.tenant, "session", str(row.id), "")
        if place is None:
            return None
        revision = database.read(partial(_revision, place=place, scope=scope))
        numbers = database.read(partial(sql.numbers, place=place))
        there = {_identity(entry) for entry, _ in records_of(database, place, subject, numbers)}
        return cls(scope, subject, place, owner, revision, there)


def store_records(
    database: Database, target: Target, entries: Iterable[RecordEntry], incoming: IncomingBytes, tally: Tally
) -> None:
    """Store versions in their order, behind those that are there; those that are there stay as they are.

    The newest version of a key becomes the current one. Nothing is put behind versions of another history: where
    the session has gone on by itself, each version that it does not have is a problem.
    """
    for batch in batches(_sized(entries, tally)):
        new: list[RecordEntry] = []
        for entry in batch:
            identity = _identity(entry)
            if identity in target.there:
                target.there.discard(identity)
                tally.repeated += 1
            elif target.there:
                tally.problem(entry.where, _gone_on(target))
            else:
                new.append(entry)
        if not new:
            continue
        stored = database.write(partial(_store, target=target, entries=new, incoming=incoming))
        for index, entry in enumerate(new):
            if stored is None:
                tally.problem(entry.where, _gone_on(target))
            elif not stored[index]:
                tally.problem(entry.where, f"file {_checks.shown(entry.key)}: its bytes did not come with it")
            else:
                tally.records += 1
                if entry.kind == "file" and not entry.deleted:
                    incoming.given(entry.value["sha256"])


def _sized(entries: Iterable[RecordEntry], tally: Tally) -> Iterator[tuple[RecordEntry, int]]:
    """The versions that can be stored, with their characters."""
    for entry in entries:
        try:
            _checks.whole(entry.revision, "revision", least=0, most=MAX_NUMBER)
            _checks.whole(entry.seq, "seq", least=0, most=MAX_NUMBER)
            _checks.moment(entry.written_at, "written_at")
            size = len(encode(entry.value, "value", around=1))  # a call's result is a level within it
            if size > MAX_VALUE:
                raise InvalidInput(f"value: {size:,} characters of JSON; the limit is {MAX_VALUE:,}")
        except InvalidInput as error:
            tally.problem(entry.where, str(error))
        else:
            yield entry, size


def _identity(entry: RecordEntry) -> int:
    """A digest of what a version says, without whether it is still current."""
    at = to_microseconds(entry.written_at)
    said = [entry.kind, entry.key, entry.deleted, entry.value, entry.revision, entry.seq, at]
    return hash(encode(said, "value", around=AROUND))


def _store(
    conn: Connection, target: Target, entries: Sequence[RecordEntry], incoming: IncomingBytes
) -> list[bool] | None:
    """Add versions: of each whether it was stored; None where somebody else has written meanwhile."""
    place = target.place
    if _revision(conn, place, target.scope) != target.revision:
        return None
    names = {entry.session_id for entry in entries if entry.session_id is not None}
    found = {name: sql_sessions.find(conn, target.owner, name) for name in names}
    writers = {name: row.id for name, row in found.items() if row is not None}
    new: list[NewVersion] = []
    stored: list[bool] = []
    for entry in entries:
        value, blob = entry.value, None
        if entry.kind == "file" and not entry.deleted:
            blob = incoming.blob(conn, value["sha256"], value["size"])
            value = {**value, "blob": blob}
        stored.append(blob is not None or entry.kind != "file" or entry.deleted)
        if stored[-1]:
            version = NewVersion(
                kind=entry.kind,
                key=entry.key,
                value=None if entry.deleted else encode(value, "value", around=AROUND),
                revision=entry.revision,
                session=int(place.subject) if target.scope == "session" else writers.get(entry.session_id or ""),
                seq=entry.seq,
                written_at=to_microseconds(entry.written_at),
                blob=blob,
            )
            new.append(version)
    if new:
        sql.add(conn, place, new)
        _number_rewinds(conn, place, new)
    return stored


def _number_rewinds(conn: Connection, place: Place, added: Sequence[NewVersion]) -> None:
    """Turn the count of versions before a rewind, as the file has it, into the number of the last of them here."""
    rewinds = [index for index, version in enumerate(added) if version.kind == "rewind" and version.value is not None]
    if not rewinds:
        return
    numbers = sql.numbers(conn, place)
    for index in rewinds:
        value = decode(added[index].value or "{}")
        before = min(value["record"], len(numbers))
        value["record"] = numbers[before - 1] if before else 0
        sql.set_value(conn, numbers[index - len(added)], encode(value, "rewind"))


def _revision(conn: Connection, place: Place, scope: str) -> int:
    """How often what the versions belong to has been changed; -1 where it is gone."""
    if scope != "session":
        return sql_records.revision(conn, place)
    row = sql_sessions.numbered(conn, place.tenant, int(place.subject))
    return -1 if row is None else row.revision


def _gone_on(target: Target) -> str:
    what = {"session": f"session {_checks.shown(target.subject)}", "user": f"user {_checks.shown(target.subject)}"}
    return (
        f"{what.get(target.scope, 'the application')}: what is stored has gone on by itself; to have what the file "
        "says, load it where that is not there"
    )
