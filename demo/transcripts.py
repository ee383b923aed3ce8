"""The conversations of a transcript, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from agent_session_core import InvalidInput, Message
from agent_session_core.exchange import MessageEntry, Problem, SessionEntry, read_file
from agent_session_core.models import SessionRecord

BUNDLED_FILE = Path(__file__).with_name("transcript.jsonl")
"""What the demo shows where no file is named: six sessions of one person over three weeks."""


@dataclass(slots=True)
class Conversation:
    """One session of a transcript, with the messages that a framework would be shown."""

    record: SessionRecord
    messages: list[Message] = field(default_factory=list)


def conversations_in(path: Path) -> Iterator[Conversation | Problem]:
    """As :func:`conversations`, once it is clear that there is something in the file.

    Raises:
        InvalidInput: when not one message in it can be read.
    """
    items = conversations(path)
    first: list[Conversation | Problem] = []
    for item in items:
        first.append(item)
        if isinstance(item, Conversation) and item.messages:
            return chain(first, items)
    problems = [str(item) for item in first if isinstance(item, Problem)]
    why = f" ({problems[0]}{f', and {len(problems) - 1:,} more like it' if problems[1:] else ''})" if problems else ""
    raise InvalidInput(
        f"{path.name} holds no conversation{why}; name a JSON-lines export of a store, or the conversations.json of a "
        "ChatGPT data export"
    )


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
