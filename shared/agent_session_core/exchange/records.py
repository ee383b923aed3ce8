"""What a file of sessions holds, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from agent_session_core.models import Message, SessionRecord

__all__ = [
    "BlobEntry",
    "Entry",
    "MessageEntry",
    "MessageState",
    "Problem",
    "RecordEntry",
    "RecordKind",
    "RecordScope",
    "ScopeEntry",
    "SessionEntry",
]

MessageState: TypeAlias = Literal["live", "archived", "removed", "attached"]
RecordScope: TypeAlias = Literal["session", "user", "app"]
RecordKind: TypeAlias = Literal["state", "task", "call", "file", "key", "rewind"]
STATES: tuple[MessageState, ...] = ("live", "archived", "removed", "attached")
"""In the order of the numbers that the database gives them."""
SCOPES: tuple[RecordScope, ...] = ("session", "user", "app")
KINDS: tuple[RecordKind, ...] = ("state", "task", "call", "file", "key", "rewind")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEntry:
    """A session, before its messages.

    Attributes:
        record: what is known of the session; its status is the one it was brought into, whatever its deadlines say.
        last_seq: the highest place ever given to one of its messages, where it is above that of the last one.
        state_revision: how often its own variables have been written.
        where: where in the file it stands, as in "line 3"; "" where it comes from no file.
    """

    record: SessionRecord
    last_seq: int | None = None
    state_revision: int = 0
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEntry:
    """A message of the session ``session_id``, whose :class:`SessionEntry` came before.

    Attributes:
        session_id: the session it belongs to.
        message: the message; ``seq`` and ``run`` are None where the file gives no place, only an order.
        state: ``live``, ``archived`` (set aside by a framework), ``removed`` (taken back) or ``attached`` (a passage
            of a text file, which is searched and not shown).
        changed_at_revision: the session's revision with which the state last changed, where it did.
        where: where in the file it stands, as in "line 4"; "" where it comes from no file.
    """

    session_id: str
    message: Message
    state: MessageState = "live"
    changed_at_revision: int | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEntry:
    """One version of one thing that is no message: a variable, a task, a tool call, a file, or the last rewind.

    Attributes:
        scope: whose it is: a ``session``'s, a ``user``'s, or the ``app``'s.
        subject: the session's id, the user's id, or "".
        kind: ``state``, ``task``, ``call``, ``file``, ``key`` (an idempotency key and its call) or ``rewind``.
        key: the variable, the task's or the call's id, the file's name, or the idempotency key.
        value: what it became: JSON, as the database keeps it (times in whole microseconds since 1970, a file by the
            ``sha256`` of its bytes, a rewind by the number of the session's records before it).
        deleted: whether it was deleted; then there is no value.
        revision: of what it belongs to, when it was written.
        seq: the place of the newest message then.
        written_at: when (aware).
        current: whether it is the newest version.
        session_id: the session in which it was written, where that is there and not the subject.
        where: where in the file it stands, as in "line 5"; "" where it comes from no file.
    """

    scope: RecordScope
    subject: str
    kind: RecordKind
    key: str
    value: Any = None
    deleted: bool = False
    revision: int
    seq: int
    written_at: datetime
    current: bool = False
    session_id: str | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeEntry:
    """The variables of a user or of the application, before their records.

    Attributes:
        scope: ``user`` or ``app``.
        subject: the user's id, or "".
        revision: how often they have been written.
        where: where in the file it stands, as in "line 6"; "" where it comes from no file.
    """

    scope: RecordScope
    subject: str
    revision: int
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobEntry:
    """A piece of the bytes of files, before the first version that has them.

    Attributes:
        sha256: of all the bytes, in hexadecimal.
        size: of all the bytes.
        offset: where the piece begins.
        data: the piece, at most 16 MiB; empty for a file without bytes.
        where: where in the file it stands, as in "line 7"; "" where it comes from no file.
    """

    sha256: str
    size: int
    offset: int
    data: bytes
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read: where it stands, and why. The rest is read all the same."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


Entry: TypeAlias = SessionEntry | MessageEntry | RecordEntry | ScopeEntry | BlobEntry
