"""What went wrong at a database server: which errors a second try may mend, and what the others are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from agent_session_core.errors import SessionError, StorageUnavailable

__all__ = ["Outages"]

PATIENCE = 15.0
"""Seconds for which a server that is gone is tried again."""
LONGEST_PAUSE = 1.0
"""Seconds between two tries, at most."""

_RACES = frozenset({"40001", "40P01", "23503", "23505"})
"""Serialization failure and deadlock; a key that is gone or taken: by a transaction that was faster."""
_NOT_READY = frozenset({"57P01", "57P02", "57P03", "53300", "25006"})
"""Shutting down, starting, too many connections, and read-only: a standby that is about to take over."""

_REMEDIES = {
    "28": "check user and password in the URL",
    "3D": "make the database, or name another in the URL",
    "3F": "make the schema, or name another in search_path",
    "42501": "give the user of the URL the rights to make and change tables",
    "42P01": "the tables were changed by another program; restore the database from a backup",
    "42P07": "the schema holds tables of another program; give a schema of its own",
    "53100": "the disk is full; free some space and try again",
}


class Outages:
    """Knows the errors of one dialect's driver.

    Args:
        dialect: a dialect whose driver is loaded.
        url: the database's name in errors, without its password.
    """

    def __init__(self, dialect: Dialect, url: str) -> None:
        self._dialect: Any = dialect
        self._url = url
        self._errors: tuple[type[BaseException], ...] = (SQLAlchemyError, OSError, self._dialect.loaded_dbapi.Error)

    def attempts(self) -> Retrying:
        """Tries again, for a while, what failed and left nothing behind."""
        return Retrying(**self._how())

    def attempts_async(self) -> AsyncRetrying:
        """As :meth:`attempts`, without blocking the event loop."""
        return AsyncRetrying(**self._how())

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
            raise StorageUnavailable(
                f"{self._url}: the connection was lost during the commit, and it is not known whether it was stored; "
                "look, or repeat it with the same message ids or idempotency key: what is there is not stored twice"
            ) from error

    def _how(self) -> dict[str, Any]:
        return {
            "retry": retry_if_exception(self._may_be_mended),
            "wait": wait_random_exponential(multiplier=0.01, max=LONGEST_PAUSE),
            "stop": stop_after_delay(PATIENCE),
            "reraise": True,
        }

    def _may_be_mended(self, error: BaseException) -> bool:
        return isinstance(error, self._errors) and (_state(error) in _RACES or self.is_lost(error))

    def _disconnecting(self) -> tuple[type[BaseException], ...]:
        dbapi = self._dialect.loaded_dbapi
        return (dbapi.OperationalError, dbapi.InterfaceError)

    def _told(self, error: BaseException) -> SessionError:
        state = _state(error) or ""
        if state in _RACES:
            return StorageUnavailable(f"{self._url}: other writers were faster; nothing was stored, try again")
        remedy = next((told for start, told in _REMEDIES.items() if state.startswith(start)), None)
        if remedy is None:
            remedy = "start the server or check its address" if self.is_lost(error) else "nothing was stored; try again"
        lines = str(_cause(error)).strip().splitlines() or [type(error).__name__]
        reason = lines[0]  # what follows may quote the row
        return StorageUnavailable(f"{self._url}: {reason[:200]}; {remedy}")


def _cause(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _state(error: BaseException) -> str | None:
    """The SQLSTATE, where the server gave one."""
    state = getattr(_cause(error), "sqlstate", None)
    return state if isinstance(state, str) else None
