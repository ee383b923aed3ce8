"""Statements about sessions: find, make, list, change and delete them. Each names the tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, literal_column, or_, select, update

from agent_session_core._checks import shown
from agent_session_core._json import decode_object
from agent_session_core.content import from_microseconds, now, to_microseconds
from agent_session_core.errors import CorruptRecord
from agent_session_core.filters import Filter
from agent_session_core.models import SessionRecord
from agent_session_core.sql.filters import holds_text, meets
from agent_session_core.sql.statement import Statement, insert_of
from agent_session_core.sql.tables import sessions


class SessionRow(NamedTuple):
    """A row of ``sessions``."""

    id: int
    session_id: str
    user_id: str | None
    agent_id: str | None
    title: str | None
    metadata: str | None
    status: str
    run: int
    revision: int
    last_seq: int
    created_at: int
    updated_at: int
    idle_timeout: int | None
    expires_at: int | None
    due_at: int | None
    parent_id: str | None
    forked_from: int | None

    def key(self, tenant: str) -> dict[str, Any]:
        """The bound values of a handle's key to it."""
        return {"session": self.id, "tenant": tenant, "owner": self.user_id, "session_id": self.session_id}

    def status_at(self, now: int) -> str:
        """The status: a session past its deadline is expired, whether a sweep has come by or not."""
        return "expired" if self.status == "active" and self.due_at is not None and self.due_at <= now else self.status

    def record(self) -> SessionRecord:
        """What callers see of it.

        Raises:
            CorruptRecord: when the row was not written by this package.
        """
        try:
            return self._record()
        except (CorruptRecord, TypeError, OverflowError) as error:
            raise self._corrupt(error) from error

    def made_at(self) -> datetime:
        """When it was made, UTC.

        Raises:
            CorruptRecord: when the row was not written by this package.
        """
        try:
            return from_microseconds(self.created_at)
        except (TypeError, OverflowError) as error:
            raise self._corrupt(error) from error

    def _corrupt(self, error: Exception) -> CorruptRecord:
        return CorruptRecord(f"session {shown(self.session_id)} cannot be read ({error}); restore it from a backup")

    def _record(self) -> SessionRecord:
        return SessionRecord(
            id=self.session_id,
            user_id=self.user_id,
            agent_id=self.agent_id,
            title=self.title,
            metadata={} if self.metadata is None else decode_object(self.metadata),
            status=self.status_at(to_microseconds(now())),  # type: ignore[arg-type]  # written by this package alone
            run=self.run,
            revision=self.revision,
            created_at=from_microseconds(self.created_at),
            updated_at=from_microseconds(self.updated_at),
            idle_timeout=None if self.idle_timeout is None else timedelta(microseconds=self.idle_timeout),
            expires_at=None if self.expires_at is None else from_microseconds(self.expires_at),
            parent_id=self.parent_id,
            forked_from=self.forked_from,
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose sessions a statement may touch: a tenant's, or one user's of it."""

    tenant: str
    user_id: str | None = None


def due_after(changed_at: Any) -> ColumnElement[Any]:
    """The deadline of a session that changes at this moment: the earlier of its two, or null."""
    idle = changed_at + sessions.c.idle_timeout
    absolute = sessions.c.expires_at
    return case((absolute.is_(None), idle), (idle.is_(None), absolute), (idle < absolute, idle), else_=absolute)


def _status_at(now: int) -> ColumnElement[str]:
    """As :meth:`SessionRow.status_at`."""
    return case(((sessions.c.status == "active") & (sessions.c.due_at <= now), "expired"), else_=sessions.c.status)


_COLUMNS = [sessions.c[name] for name in SessionRow._fields]
_FIND = Statement(
    select(*_COLUMNS).where(sessions.c.tenant == bindparam("tenant"), sessions.c.session_id == bindparam("name"))
)


def _is_its(session: Any, tenant: Any, owner: Any, session_id: Any) -> ColumnElement[bool]:
    """Whether a row is that of a handle's key."""
    return and_(
        sessions.c.id == session,
        sessions.c.tenant == tenant,
        sessions.c.session_id == session_id,
        sessions.c.user_id.is_not_distinct_from(owner),
    )


IS_ITS = _is_its(*map(bindparam, ("session", "tenant", "owner", "session_id")))
"""The same, for statements that are given a key."""
_GET_ONE = select(*_COLUMNS).where(IS_ITS)
_GET = Statement(_GET_ONE)
TOUCH = (
    update(sessions)
    .where(
        IS_ITS,
        sessions.c.status == "active",
        or_(sessions.c.due_at.is_(None), sessions.c.due_at > bindparam("now")),
    )
    .values(
        revision=sessions.c.revision + 1,
        last_seq=sessions.c.last_seq + bindparam("count"),
        updated_at=bindparam("now"),
        due_at=due_after(bindparam("now")),
    )
)
_GET_AND_HOLD = Statement(_GET_ONE.with_for_update(key_share=True))
_BUMP = Statement(TOUCH.returning(sessions.c.last_seq, sessions.c.run, sessions.c.revision))


def find(conn: Connection, scope: Scope, name: str) -> SessionRow | None:
    """The session ``name`` of the tenant, or None where there is none or another user's."""
    row = _FIND.one(conn, {"tenant": scope.tenant, "name": name})
    if row is None:
        return None
    found = SessionRow(*row)
    return found if scope.user_id is None or found.user_id == scope.user_id else None


def get(conn: Connection, key: Mapping[str, Any], *, held: bool = False) -> SessionRow | None:
    """The session of a handle's ``key`` (session, tenant, owner, session_id); ``held`` until the transaction ends."""
    row = (_GET_AND_HOLD if held else _GET).one(conn, key)
    return None if row is None else SessionRow(*row)


def numbered(conn: Connection, tenant: str, number: int) -> SessionRow | None:
    """The session of this row of the tenant, whoever owns it."""
    statement = select(*_COLUMNS).where(sessions.c.tenant == tenant, sessions.c.id == number)
    row = conn.execute(statement).one_or_none()
    return None if row is None else SessionRow(*row)


def create(conn: Connection, scope: Scope, name: str, values: Mapping[str, Any]) -> None:
    """Make the session ``name``, unless somebody was faster."""
    statement = insert_of(conn)(sessions).on_conflict_do_nothing(index_elements=["tenant", "session_id"])
    conn.execute(statement.values(tenant=scope.tenant, session_id=name, user_id=scope.user_id, **values))


def bump(conn: Connection, key: Mapping[str, Any], *, count: int, now: int) -> tuple[int, int, int] | None:
    """Take ``count`` numbers of an active session: its last seq, run and revision afterwards; None if not active."""
    row = _BUMP.one(conn, {**key, "count": count, "now": now})
    return None if row is None else (row[0], row[1], row[2])


def change(conn: Connection, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Set columns of the session of a handle's ``key``."""
    conn.execute(update(sessions).where(_is_its(**key)).values(**values))


_BEFORE = {"expired": ("active",), "archived": ("closed", "expired"), "deleted": ("archived",)}
"""What a session is before time brings it into a status."""


def due(conn: Connection, scope: Scope, status: str, before: int, limit: int | None) -> list[SessionRow]:
    """The sessions that are to become ``status``: those that have been what comes before it since ``before``."""
    found: list[SessionRow] = []
    for current in _BEFORE[status]:  # one by one: each is a stretch of an index
        statement = select(*_COLUMNS).where(sessions.c.tenant == scope.tenant)
        if scope.user_id is not None:
            statement = statement.where(sessions.c.user_id == scope.user_id)
        if current == "active":
            since = sessions.c.due_at
            statement = statement.where(sessions.c.status == literal_column("'active'"))  # as its index has it
        else:
            since = sessions.c.updated_at
            statement = statement.where(sessions.c.status != literal_column("'active'"), sessions.c.status == current)
        statement = statement.where(since <= before).order_by(since, sessions.c.id)
        if limit is not None:  # to be changed: each by one of those who ask at once
            statement = statement.limit(limit - len(found)).with_for_update(skip_locked=True, key_share=True)
        found += [SessionRow(*row) for row in conn.execute(statement)]
    return found


def set_status(conn: Connection, numbers: Sequence[int], status: str, at: int) -> None:
    """Bring sessions into ``status``."""
    conn.execute(
        update(sessions)
        .where(sessions.c.id.in_(numbers))
        .values(status=status, updated_at=at, revision=sessions.c.revision + 1)
    )


def by_number(conn: Connection, scope: Scope, after: int, limit: int) -> list[SessionRow]:
    """Sessions in the order they were made, from behind the row ``after`` on."""
    statement = select(*_COLUMNS).where(sessions.c.tenant == scope.tenant, sessions.c.id > after)
    if scope.user_id is not None:
        statement = statement.where(sessions.c.user_id == scope.user_id)
    return [SessionRow(*row) for row in conn.execute(statement.order_by(sessions.c.id).limit(limit))]


def page(
    conn: Connection,
    scope: Scope,
    *,
    statuses: tuple[str, ...] | None,
    text: str | None,
    metadata: Filter | None,
    before: tuple[int, int] | None,
    limit: int,
) -> list[SessionRow]:
    """Sessions by their last change, newest first, that come after the place ``before`` (updated_at, id)."""
    statement = select(*_COLUMNS).where(sessions.c.tenant == scope.tenant)
    if scope.user_id is not None:
        statement = statement.where(sessions.c.user_id == scope.user_id)
    if statuses is not None:
        statement = statement.where(_status_at(to_microseconds(now())).in_(statuses))
    if text is not None:
        statement = statement.where(
            or_(holds_text(conn, sessions.c.title, text), holds_text(conn, sessions.c.session_id, text))
        )
    if metadata is not None:
        statement = statement.where(meets(conn, metadata, sessions.c.metadata))
    if before is not None:
        moment, number = before
        statement = statement.where(
            sessions.c.updated_at <= moment, or_(sessions.c.updated_at < moment, sessions.c.id < number)
        )
    statement = statement.order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(limit)
    return [SessionRow(*row) for row in conn.execute(statement)]
