"""What a file of sessions holds, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent_session_core.models import Message, SessionRecord

__all__ = ["Entry", "MessageEntry", "MessageState", "Problem", "SessionEntry"]

MessageState: TypeAlias = Literal["live", "archived", "removed"]
STATES: tuple[MessageState, ...] = ("live", "archived", "removed")
"""In the order of the numbers that the database gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEntry:
    """A session, before its messages.

    Attributes:
        record: what is known of the session.
        last_seq: the highest place ever given to one of its messages, where it is above that of the last one.
        where: where in the file it stands, as in "line 3"; "" where it comes from no file.
    """

    record: SessionRecord
    last_seq: int | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEntry:
    """A message of the session ``session_id``, whose :class:`SessionEntry` came before.

    Attributes:
        session_id: the session it belongs to.
        message: the message; ``seq`` and ``run`` are None where the file gives no place, only an order.
        state: ``live``, ``archived`` (set aside by a framework) or ``removed`` (taken back).
        where: where in the file it stands, as in "line 4"; "" where it comes from no file.
    """

    session_id: str
    message: Message
    state: MessageState = "live"
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be read: where it stands, and why. The rest is read all the same."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


Entry: TypeAlias = SessionEntry | MessageEntry
