"""The errors of the package: one tree, so that one ``except SessionError`` catches all of it.

    SessionError
    ├── InvalidInput            an argument cannot be used; also a ValueError
    ├── SessionNotFound         no such session for this tenant and user; also a LookupError
    ├── SessionExists           the id is taken and the call would have made it anew
    ├── SessionNotActive        the session is closed, expired or archived and refuses writes
    ├── MessageConflict         the message id is there already, with other content
    ├── StorageUnavailable      the database cannot be reached, read or written just now
    │   └── DatabaseTooNew      the database was written by a newer version of this package
    ├── CorruptRecord           a stored row cannot be read back
    └── IndexUnavailable        the search index cannot answer
        └── EmbeddingChanged    the index was made with another embedding; ``reindex()`` mends it

Every message names the argument or the thing, its value (shortened) and the remedy.
A session of another tenant or user is reported exactly like one that does not exist.
"""

from __future__ import annotations

__all__ = [
    "CorruptRecord",
    "DatabaseTooNew",
    "EmbeddingChanged",
    "IndexUnavailable",
    "InvalidInput",
    "MessageConflict",
    "SessionError",
    "SessionExists",
    "SessionNotActive",
    "SessionNotFound",
    "StorageUnavailable",
]


class SessionError(Exception):
    """The base of every error this package raises on purpose."""


class InvalidInput(SessionError, ValueError):
    """An argument has a type, value or size that cannot be used; nothing was changed."""


class SessionNotFound(SessionError, LookupError):
    """There is no such session for this tenant and user."""


class SessionExists(SessionError):
    """A session with this id is there already."""


class SessionNotActive(SessionError):
    """The session is closed, expired or archived: it can be read, not written."""


class MessageConflict(SessionError):
    """A message with this id is there already and its content differs."""


class StorageUnavailable(SessionError):
    """The database cannot be reached, read or written just now."""


class DatabaseTooNew(StorageUnavailable):
    """The database was written by a newer version of this package."""


class CorruptRecord(SessionError):
    """A stored row cannot be read back; the message names the row."""


class IndexUnavailable(SessionError):
    """The search index cannot answer; the message names the cause."""


class EmbeddingChanged(IndexUnavailable):
    """The index holds vectors of another embedding; they are never mixed."""
