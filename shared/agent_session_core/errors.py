"""The errors of the package: one tree, so that one ``except SessionError`` catches all of it.

    SessionError
    ├── InvalidInput            an argument cannot be used; also a ValueError
    ├── SessionNotFound         no such session for this tenant and user; also a LookupError
    ├── FileNotInSession        the session has no such file, or not that version; also a LookupError
    ├── TaskNotFound            the session has no such task; also a LookupError
    ├── SessionExists           the id is taken and the call would have made it anew
    ├── ToolCallUnsettled       an earlier call of the same id or idempotency key has not ended, or nobody knows how
    ├── TurnTaken               another worker has the session's turn, or took it over
    ├── SessionNotActive        the session is closed, expired or archived and refuses writes
    ├── StateConflict           somebody else has written the state meanwhile
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

from collections.abc import Callable
from functools import partial

__all__ = [
    "CorruptRecord",
    "DatabaseTooNew",
    "EmbeddingChanged",
    "FileNotInSession",
    "IndexUnavailable",
    "InvalidInput",
    "MessageConflict",
    "SessionError",
    "SessionExists",
    "SessionNotActive",
    "SessionNotFound",
    "StateConflict",
    "StorageUnavailable",
    "TaskNotFound",
    "ToolCallUnsettled",
    "TurnTaken",
]


class SessionError(Exception):
    """The base of every error this package raises on purpose."""


class InvalidInput(SessionError, ValueError):
    """An argument has a type, value or size that cannot be used; nothing was changed."""


class SessionNotFound(SessionError, LookupError):
    """There is no such session for this tenant and user."""


class FileNotInSession(SessionError, LookupError):
    """The session has no file of this name, or not this version of it."""


class TaskNotFound(SessionError, LookupError):
    """The session has no task with this id."""


class SessionExists(SessionError):
    """A session with this id is there already."""


class ToolCallUnsettled(SessionError):
    """An earlier call of the same id or idempotency key still runs, or its outcome is not known."""


class TurnTaken(SessionError):
    """Another worker has the session's turn, or took it over when this one had stood still for too long."""


class SessionNotActive(SessionError):
    """The session is closed, expired or archived: it can be read, not written."""


class StateConflict(SessionError):
    """The state was written by somebody else since the revision that was expected.

    Attributes:
        expected: the revision the caller had seen.
        current: the revision there is.
    """

    def __init__(self, message: str, *, expected: int, current: int) -> None:
        super().__init__(message)
        self.expected = expected
        self.current = current

    def __reduce__(self) -> tuple[Callable[..., StateConflict], tuple[str]]:
        return partial(StateConflict, expected=self.expected, current=self.current), (str(self),)  # for process pools


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
