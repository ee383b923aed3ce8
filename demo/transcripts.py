"""The conversations of a transcript, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent_session_core import Message
from agent_session_core.exchange import MessageEntry, Problem, SessionEntry, read_file
from agent_session_core.models import SessionRecord

BUNDLED_FILE = Path(__file__).with_name("transcript.jsonl")
"""What the demo shows where no file is named: six sessions of one person over three weeks."""


@dataclass(slots=True)
class Conversation:
    """One session of a transcript, with the messages that a framework would be shown."""

    record: SessionRecord
    messages: list[Message] = field(default_factory=list)


def conversations(path: Path) -> Iterator[Conversation | Problem]:
    """The conversations of the file at ``path`` in their order, and what of it cannot be read.

    Raises:
        InvalidInput: when the file cannot be opened, or is of a newer version.
    """
    current: Conversation | None = None
    for entry in read_file(path):
        if isinstance(entry, Problem):
            yield entry
        elif isinstance(entry, SessionEntry):
            if current is not None:
                yield current
            current = Conversation(entry.record)
        elif isinstance(entry, MessageEntry) and current is not None and entry.state == "live":
            current.messages.append(entry.message)
    if current is not None:
        yield current
