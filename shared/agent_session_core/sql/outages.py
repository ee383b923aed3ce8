"""What went wrong at a database server: which errors a second try may mend, and what the others are called."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from agent_session_core.errors import SessionError, StorageUnavailable

T = TypeVar("T")

__all__ = ["CommitLost", "Freshness", "Outages"]

PATIENCE = 15.0
"""Seconds for which a server that is gone is tried again."""
LONGEST_PAUSE = 1.0
"""Seconds between two tries, at most."""

_RACES = frozenset({"40001", "40P01", "23503", "23505"})
"""Serialization failure and deadlock; a key that is gone or taken: by a transaction that was faster."""
_NOT_READY = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "53300", "25006"})
"""Shutting down, starting, idle for too long for the server, too many connections, and read-only: a standby that is
about to take over."""

_REMEDIES = {
    "28": "check user and password in the URL",
    "3D": "make the database, or name another in the URL",
    "3F": "make the schema, or name another in search_path",
    "42501": "give the user of the URL the rights to make and change tables",
    "42P01": "the tables were changed by another program; restore the database from a backup",
    "42P07": "the schema holds tables of another program; give a schema of its own",
    "53100": "the disk is full; free some space and try again",
}

_WORDS = {
    "authentication failed": _REMEDIES["28"],
    "role": _REMEDIES["28"],
    "database": _REMEDIES["3D"],
}


class Outages:
    """Knows the errors of one dialect's driver.

    Args:
        dialect: a dialect whose driver is loaded.
        url: the database's name in errors, without its password.

    Attributes:
        patience: seconds for which a server that is gone is tried again.
    """

    def __init__(self, dialect: Dialect, url: str, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._dialect: Any = dialect
        self._url = url
        self._errors: tuple[type[BaseException], ...] = (SQLAlchemyError, OSError, self._dialect.loaded_dbapi.Error)

    def run(self, once: Callable[[], T], *, lost_commits: bool = False) -> T:
        """Run ``once``, and for a while again where it failed and left nothing behind.

        With ``lost_commits`` also where it may have left something.
        """
        try:
            return once()  # without the machinery, which costs as much as a statement
        except Exception as error:
            if not self._may_be_mended(error, lost_commits):
                raise
        return Retrying(**self._how(lost_commits))(once)

    async def arun(self, once: Callable[[], Awaitable[T]], *, lost_commits: bool = False) -> T:
        """As :meth:`run`, without blocking the event loop."""
        try:
            return await once()
        except Exception as error:
            if not self._may_be_mended(error, lost_commits):
                raise
        return await AsyncRetrying(**self._how(lost_commits))(once)

    def is_lost(self, error: BaseException) -> bool:
        """Whether the connection is gone, or could not be made."""
        if not isinstance(error, self._errors):
            return False
        state = _state(error)
        if state is None:
            return isinstance(_cause(error), (OSError, *self._disconnecting()))
        return state.startswith("08") or state in _NOT_READY

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the driver's errors in the package's words."""
        try:
            yield
        except SessionError:
            raise
        except CommitLost as error:
            raise StorageUnavailable(
                f"{self._url}: the connection was lost during the commit, and it is not known whether it was stored; "
                "look before you repeat it"
            ) from error
        except self._errors as error:
            raise self._told(error) from error

    @contextmanager
    def committing(self, conn: Connection | None) -> Iterator[None]:
        """Around a commit: where the connection is lost in it, nobody knows what became of it."""
        try:
            yield
        except self._errors as error:
            if not self.is_lost(error):
                raise
            if conn is not None:
                conn.invalidate()
            raise CommitLost from error

    def _how(self, lost_commits: bool) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(lambda error: self._may_be_mended(error, lost_commits)),
            "wait": wait_random_exponential(multiplier=0.01, max=LONGEST_PAUSE),
            "stop": stop_after_delay(self.patience),
            "reraise": True,
        }

    def _may_be_mended(self, error: BaseException, lost_commits: bool) -> bool:
        if isinstance(error, CommitLost):
            return lost_commits
        return isinstance(error, self._errors) and (_state(error) in _RACES or self.is_lost(error))

    def _disconnecting(self) -> tuple[type[BaseException], ...]:
        dbapi = self._dialect.loaded_dbapi
        return (dbapi.OperationalError, dbapi.InterfaceError)

    def _told(self, error: BaseException) -> SessionError:
        state = _state(error)
        if state in _RACES:
            return StorageUnavailable(f"{self._url}: other writers were faster; nothing was stored, try again")
        lines = str(_cause(error)).strip().splitlines() or [type(error).__name__]
        reason = lines[0]  # what follows may quote the row
        found = [told for start, told in _REMEDIES.items() if state is not None and state.startswith(start)]
        if state is None:  # a connection that was refused: only words tell why
            found = [told for words, told in _WORDS.items() if words in reason]
            reason = reason.rpartition("FATAL: ")[2].strip()
        gone = "start the server or check its address"
        remedy = found[0] if found else gone if self.is_lost(error) else "nothing was stored; try again"
        return StorageUnavailable(f"{self._url}: {reason[:200]}; {remedy}")


class CommitLost(Exception):  # what happened, and nobody's mistake
    """The connection was lost in a commit, and nobody knows what became of it."""


class Freshness:
    """Where one connection of a pool was lost, those made before are not trusted: they are made anew when next used."""

    def __init__(self) -> None:
        self._lost_at = 0.0

    def watch(self, engine: Engine) -> None:
        """Look after the pool of ``engine``."""
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._used)

    def lost(self) -> None:
        """Note that a connection was lost just now."""
        self._lost_at = time.monotonic()

    def _connected(self, _: object, record: ConnectionPoolEntry) -> None:
        record.info["connected_at"] = time.monotonic()

    def _used(self, _: object, record: ConnectionPoolEntry, __: object) -> None:
        if record.info.get("connected_at", 0.0) <= self._lost_at:
            raise DisconnectionError("made before another one was lost")  # the pool makes another in its place


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _state(error: BaseException) -> str | None:
    """The SQLSTATE, where the server gave one."""
    state = getattr(_cause(error), "sqlstate", None)
    return state if isinstance(state, str) else None
