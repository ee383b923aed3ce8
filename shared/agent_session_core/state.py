"""A session's variables, in scopes: the session's own, its user's, the application's, and the handle's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import from_microseconds, now, to_microseconds
from agent_session_core.errors import InvalidInput, StateConflict
from agent_session_core.keys import Key, require, take_numbers
from agent_session_core.leases import fenced
from agent_session_core.record_values import value_of
from agent_session_core.sql import records as sql
from agent_session_core.sql.branching import before_next
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place, RecordRow, Stamp

__all__ = ["ScopedState", "SessionState", "StateWrite"]

MAX_VALUE = 1024 * 1024
"""Characters of JSON in one value."""
MAX_WRITE = 8 * 1024 * 1024
"""Characters of JSON in one update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateWrite:
    """One write of one key: what it became (``deleted`` where it went), when, and after which message."""

    key: str
    value: Any
    deleted: bool
    revision: int
    seq: int
    written_at: datetime


class ScopedState(MutableMapping[str, Any]):
    """The variables of one scope: a mapping from names to JSON values.

    Every read sees what is stored now. Every write is durable on return and touches its own keys only, so that
    writers of different keys never lose each other's. ``None`` is a value; deleting is deleting.
    """

    __slots__ = ("_database", "_key", "_place")

    def __init__(self, database: Database, key: Key, place: Place) -> None:
        """For the session's handle."""
        self._database = database
        self._key = key
        self._place = place

    def __repr__(self) -> str:
        return f"<state of the {self._place.scope} scope of {self._key.name!r}>"

    def __getitem__(self, key: str) -> Any:
        row = self._database.read(partial(self._one, key=_name(key)))
        if row is None:
            raise KeyError(key)
        return value_of("state", row)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({_name(key): value})

    def __delitem__(self, key: str) -> None:
        self._database.write(partial(self._delete, key=fenced(self._key), name=_name(key)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def __contains__(self, key: object) -> bool:
        try:
            name = _name(key)
        except InvalidInput:  # what cannot be a name is none
            return False
        return self._database.read(partial(self._one, key=name)) is not None

    @property
    def revision(self) -> int:
        """How often the scope has been written: what ``expected_revision`` compares with."""
        return self._database.read(partial(sql.revision, place=self._place))

    async def arevision(self) -> int:
        """As :attr:`revision`."""
        return await self._database.aread(partial(sql.revision, place=self._place))

    def all(self) -> dict[str, Any]:
        """Every variable, in one read.

        Raises:
            SessionNotFound: when the session has been deleted.
        """
        return _values(self._database.read(self._every))

    async def aall(self) -> dict[str, Any]:
        """As :meth:`all`."""
        return _values(await self._database.aread(self._every))

    async def aget(self, key: str, default: Any = None) -> Any:
        """As :meth:`get`."""
        row = await self._database.aread(partial(self._one, key=_name(key)))
        return default if row is None else value_of("state", row)

    def update(  # type: ignore[override]  # a write is atomic and can be conditional: more than a mapping's
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        *,
        delete: Iterable[str] = (),
        expected_revision: int | None = None,
        **more: Any,
    ) -> int:
        """Set and delete variables in one step, all or none.

        Args:
            values: what to set.
            delete: names to delete, others than those that are set; what is not there is passed over.
            expected_revision: write only if the scope's revision is still this one.
            more: further variables to set, by keyword.

        Returns:
            The scope's revision afterwards.

        Raises:
            StateConflict: when somebody else was faster; it has ``expected`` and ``current``.
            InvalidInput: for a value that is not JSON or too large, and a name that is both set and deleted.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        return self._database.write(self._update(values, more, delete, expected_revision))

    async def aupdate(
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
        /,
        *,
        delete: Iterable[str] = (),
        expected_revision: int | None = None,
        **more: Any,
    ) -> int:
        """As :meth:`update`."""
        return await self._database.awrite(self._update(values, more, delete, expected_revision))

    def clear(self) -> None:
        """Delete every variable of the scope, in one step."""
        self._database.write(partial(self._clear, key=fenced(self._key)))

    async def aclear(self) -> None:
        """As :meth:`clear`."""
        await self._database.awrite(partial(self._clear, key=fenced(self._key)))

    def history(self, key: str | None = None) -> list[StateWrite]:
        """Every write of ``key``, or of all keys, oldest first.

        Raises:
            SessionNotFound: when the session has been deleted.
        """
        return self._database.read(partial(self._history, key=None if key is None else _name(key)))

    async def ahistory(self, key: str | None = None) -> list[StateWrite]:
        """As :meth:`history`."""
        return await self._database.aread(partial(self._history, key=None if key is None else _name(key)))

    def _one(self, conn: Connection, key: str) -> RecordRow | None:
        row = sql.one(conn, self._place, key)
        if row is None:
            require(conn, self._key)
        return row

    def _every(self, conn: Connection) -> list[RecordRow]:
        rows = sql.every(conn, self._place)
        if not rows:
            require(conn, self._key)
        return rows

    def _history(self, conn: Connection, key: str | None) -> list[StateWrite]:
        rows = sql.history(conn, self._place, key)
        if not rows:
            require(conn, self._key)
        return [_written(row) for row in rows]

    def _update(
        self,
        values: Mapping[str, Any] | Iterable[tuple[str, Any]],
        more: Mapping[str, Any],
        delete: Iterable[str],
        expected: int | None,
    ) -> Callable[[Connection], int]:
        try:
            given = {**dict(values), **more}
        except (TypeError, ValueError):
            raise InvalidInput(f"values: expected a mapping, got {_checks.shown(values)}; use a dict") from None
        written: dict[str, str | None] = dict.fromkeys(_checks.identifiers(delete, "delete") or ())
        for key, value in given.items():
            if key in written:
                raise InvalidInput(f"delete: {_checks.shown(key)} is also set; give it in values or in delete")
            written[_name(key)] = _checked(key, value)
        if sum(len(value or "") for value in written.values()) > MAX_WRITE:
            raise InvalidInput(f"values: over {MAX_WRITE:,} characters of JSON in one update; write them in several")
        if expected is not None:
            _checks.whole(expected, "expected_revision", least=0, most=2**63 - 1)
        return partial(self._write, key=fenced(self._key), written=written, expected=expected)

    def _write(self, conn: Connection, key: Key, written: Mapping[str, str | None], expected: int | None = None) -> int:
        last_seq, _, _ = take_numbers(conn, key, 0)
        revision = sql.count_up(conn, self._place)
        if expected is not None and expected != revision - 1:
            raise StateConflict(
                f"expected_revision: {expected}, but the {self._place.scope} state is at {revision - 1}; "
                "read it again and decide anew",
                expected=expected,
                current=revision - 1,
            )
        stamp = Stamp(revision, self._key.session, last_seq, to_microseconds(now()))
        sql.write(conn, self._place, written, stamp)
        return revision

    def _delete(self, conn: Connection, key: Key, name: str) -> None:
        if self._one(conn, name) is None:
            raise KeyError(name)
        self._write(conn, key, {name: None})

    def _clear(self, conn: Connection, key: Key) -> None:
        there = self._every(conn)
        if there:
            self._write(conn, key, {row.key: None for row in there})


class SessionState(ScopedState):
    """The session's own variables, with those of its user (``.user``), the application (``.app``), and ``.temp``.

    The session's own come back with a fork and a rewind; the user's and the application's, which others share, do
    not. ``temp`` is a plain dict that lives as long as this handle.
    """

    __slots__ = ("temp",)

    def __init__(self, database: Database, key: Key) -> None:
        """For the session's handle."""
        super().__init__(database, key, Place(key.tenant, "session", str(key.session), "state"))
        self.temp: dict[str, Any] = {}

    @property
    def user(self) -> ScopedState:
        """The variables that all sessions of the user share.

        Raises:
            InvalidInput: when the session has no user.
        """
        if self._key.owner is None:
            raise InvalidInput(
                f"state.user: session {_checks.shown(self._key.name)} has no user; make it with user_id="
            )
        return ScopedState(self._database, self._key, Place(self._key.tenant, "user", self._key.owner, "state"))

    @property
    def app(self) -> ScopedState:
        """The variables that all sessions of the tenant share."""
        return ScopedState(self._database, self._key, Place(self._key.tenant, "app", "", "state"))

    def at(self, seq: int) -> dict[str, Any]:
        """The session's variables as they were when its last message was ``seq``: as a fork there would have them."""
        return _values(self._database.read(self._at(seq)).values())

    async def aat(self, seq: int) -> dict[str, Any]:
        """As :meth:`at`."""
        return _values((await self._database.aread(self._at(seq))).values())

    def _at(self, seq: int) -> Callable[[Connection], dict[str, RecordRow]]:
        _checks.whole(seq, "seq", least=0, most=2**62)

        def work(conn: Connection) -> dict[str, RecordRow]:
            end = before_next(conn, self._key.session, seq)
            rows = sql.as_of(conn, self._place, 2**62 if end is None else end)
            if not rows:
                require(conn, self._key)
            return rows

        return work


def _name(key: object) -> str:
    return _checks.identifier(key, "key")


def _checked(key: str, value: Any) -> str:
    text = _checks.json_value(value, f"state[{_checks.shown(key)}]")
    if len(text) > MAX_VALUE:
        raise InvalidInput(
            f"state[{_checks.shown(key)}]: {len(text):,} characters of JSON; the limit is {MAX_VALUE:,}: "
            "keep it in a file"
        )
    return text


def _values(rows: Iterable[RecordRow]) -> dict[str, Any]:
    return {row.key: value_of("state", row) for row in rows if row.value is not None}


def _written(row: RecordRow) -> StateWrite:
    return StateWrite(
        key=row.key,
        value=value_of("state", row),
        deleted=row.value is None,
        revision=row.revision,
        seq=row.seq,
        written_at=from_microseconds(row.written_at),
    )
