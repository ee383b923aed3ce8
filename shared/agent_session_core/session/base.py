"""What every part of a session's handle builds on: who it is, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import to_microseconds
from agent_session_core.keys import Key, KeyedDatabase, require, require_active, take_numbers
from agent_session_core.leases import Keeper, NoKeeper, fenced
from agent_session_core.lifecycle import duration
from agent_session_core.models import ErasureReceipt, SessionRecord, Status
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql.engine import Database
from agent_session_core.sql.locks import holding
from agent_session_core.sql.sessions import SessionRow
from agent_session_core.telemetry import Watch

T = TypeVar("T")
Work: TypeAlias = Callable[[Connection], T]

__all__ = ["KEEP", "Services", "SessionBase", "Work"]

KEEP: Any = object()
"""The value of an argument that means "as it is", where None means something else."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a handle has from its store.

    Attributes:
        confirmed: completes a receipt once the index has forgotten what was erased.
        aconfirmed: as ``confirmed``.
        watch: is told of what is done; None where nobody looks on.
    """

    database: Database
    keeper: Keeper
    confirmed: Callable[[ErasureReceipt], ErasureReceipt]
    aconfirmed: Callable[[ErasureReceipt], Awaitable[ErasureReceipt]]
    watch: Watch | None = None


class SessionBase:
    """A session's identity, and its attributes, which are read when they are asked."""

    __slots__ = ("_agent_id", "_created_at", "_database", "_plain_key", "_services")

    def __init__(self, services: Services, tenant: str, row: SessionRow) -> None:
        """For the store, which has found ``row``."""
        self._services = services
        self._plain_key = Key(row.id, tenant, row.user_id, row.session_id, id(services.database))
        database = services.database
        if isinstance(services.keeper, NoKeeper):  # the transactions are a caller's, who may roll them back
            database = KeyedDatabase(database, self._plain_key)
        self._database = holding(database, row.id)
        self._created_at = row.made_at()
        self._agent_id = row.agent_id

    def __repr__(self) -> str:
        return f"Session({self.id!r}, user_id={self.user_id!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, SessionBase) and self._plain_key == other._plain_key and self._database == other._database
        )

    def __hash__(self) -> int:
        return hash(self._plain_key)

    @property
    def _key(self) -> Key:
        """The key for a statement: in a turn, with the turn's token."""
        return fenced(self._plain_key)

    @property
    def id(self) -> str:
        """The session's id, unique in its tenant."""
        return self._plain_key.name

    @property
    def user_id(self) -> str | None:
        """Whose session it is, or None where it is the application's own."""
        return self._plain_key.owner

    @property
    def created_at(self) -> datetime:
        """When it was made, UTC."""
        return self._created_at

    @property
    def agent_id(self) -> str | None:
        """The agent it was made for."""
        return self.record().agent_id

    @property
    def title(self) -> str | None:
        """What it is about."""
        return self.record().title

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The caller's own facts about it."""
        return self.record().metadata

    @property
    def status(self) -> Status:
        """``active``, ``closed``, ``expired`` or ``archived``."""
        return self.record().status

    @property
    def revision(self) -> int:
        """A number that every change of the session raises."""
        return self.record().revision

    @property
    def run(self) -> int:
        """The current run, from 1."""
        return self.record().run

    @property
    def updated_at(self) -> datetime:
        """When it last changed, UTC."""
        return self.record().updated_at

    @property
    def idle_timeout(self) -> timedelta | None:
        """After how long without a change it expires."""
        return self.record().idle_timeout

    @property
    def expires_at(self) -> datetime | None:
        """When it expires at the latest."""
        return self.record().expires_at

    @property
    def parent_id(self) -> str | None:
        """The session it was forked from, as long as that is there."""
        return self.record().parent_id

    @property
    def forked_from(self) -> int | None:
        """The message (seq) at which it was forked."""
        return self.record().forked_from

    def record(self) -> SessionRecord:
        """Everything about the session at this moment, in one read.

        Raises:
            SessionNotFound: when it has been deleted.
        """
        return self._database.read(self._record)

    async def arecord(self) -> SessionRecord:
        """As :meth:`record`."""
        return await self._database.aread(self._record)

    def update(
        self,
        *,
        title: str | None = KEEP,
        metadata: Mapping[str, Any] | None = KEEP,
        idle_timeout: timedelta | None = KEEP,
        expires_at: datetime | None = KEEP,
    ) -> None:
        """Change what is given; None takes it away. Metadata is replaced as a whole.

        Raises:
            InvalidInput: naming what cannot be stored.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        self._database.write(self._update(title, metadata, idle_timeout, expires_at))

    async def aupdate(
        self,
        *,
        title: str | None = KEEP,
        metadata: Mapping[str, Any] | None = KEEP,
        idle_timeout: timedelta | None = KEEP,
        expires_at: datetime | None = KEEP,
    ) -> None:
        """As :meth:`update`."""
        await self._database.awrite(self._update(title, metadata, idle_timeout, expires_at))

    def _record(self, conn: Connection) -> SessionRecord:
        return require(conn, self._plain_key).record()

    def _update(self, title: Any, metadata: Any, idle_timeout: Any, expires_at: Any) -> Work[None]:
        values: dict[str, Any] = {}
        if title is not KEEP:
            values["title"] = _checks.title(title)
        if metadata is not KEEP:
            values["metadata"] = _checks.json_object(metadata, "metadata")
        if idle_timeout is not KEEP:
            values["idle_timeout"] = duration(idle_timeout, "idle_timeout")
        if expires_at is not KEEP:
            values["expires_at"] = deadline(expires_at)
        return partial(_change, key=self._key, values=values)


def deadline(expires_at: object) -> int | None:
    """An absolute deadline in microseconds, or None.

    Raises:
        InvalidInput: when it is no aware datetime.
    """
    return None if expires_at is None else to_microseconds(_checks.moment(expires_at, "expires_at"))


def _change(conn: Connection, key: Key, values: Mapping[str, Any]) -> None:
    require_active(conn, key)
    if values:
        sql_sessions.change(conn, key.params(), values)
    take_numbers(conn, key, 0)
