"""The database's errors in the package's words. Here, and nowhere else, drivers' exceptions are translated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from agent_session_core.errors import CorruptRecord, SessionError, StorageUnavailable

DRIVER_ERRORS: tuple[type[BaseException], ...] = (sqlite3.Error, SQLAlchemyError, OSError, UnicodeDecodeError)
"""The last is SQLite's where its own message quotes a damaged file."""

_REMEDIES = (
    ("locked", "another program holds the database; end it or try again"),
    ("read-only", "the file or its folder cannot be written; change its permissions or open another file"),
    ("readonly", "the file or its folder cannot be written; change its permissions or open another file"),
    ("full", "the disk is full; free some space and try again"),
    ("unable to open", "make its folder, check its permissions, and give the path of a file"),
    ("not a database", "the file is no SQLite database; give another path"),
    ("malformed", "the file is damaged; restore it from a backup"),
    ("already exists", "the file holds tables of another program; give a file of its own"),
    ("permission denied", "the file or its folder cannot be written; change its permissions or open another file"),
    ("no space left", "the disk is full; free some space and try again"),
    ("disk i/o", "the disk failed; check it and try again"),
    ("no such table", "the database was changed by another program; restore it from a backup"),
)


def translated(error: BaseException, url: str) -> BaseException:
    """What to raise for ``error``: ours stay as they are, the driver's become ours, programming errors stay visible."""
    if isinstance(error, SessionError) or not isinstance(error, DRIVER_ERRORS):
        return error
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    reason = str(cause)
    if isinstance(cause, UnicodeDecodeError) or "decode to UTF-8" in reason:
        return CorruptRecord(f"{url}: what is stored is not UTF-8; restore it from a backup")
    remedy = next((remedy for word, remedy in _REMEDIES if word in reason.lower()), "nothing was stored; try again")
    return StorageUnavailable(f"{url}: {reason[:200]}; {remedy}")


@contextmanager
def translating(url: str) -> Iterator[None]:
    """Raise SQLite's errors in the package's words; see :func:`translated`."""
    try:
        yield
    except Exception as error:
        told = translated(error, url)
        if told is error:
            raise
        raise told from error
