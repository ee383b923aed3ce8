"""Turns: a user's message and all that answers it. A tool's result is never shown without its call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent_session_core.models import Message, ToolCallPart, ToolResultPart

__all__ = ["answers", "calls", "unanswerable", "without_orphans"]


def calls(message: Message) -> Iterator[str]:
    """The ids of the tool calls that ``message`` makes."""
    for part in message.parts:
        if isinstance(part, ToolCallPart) and part.id is not None:
            yield part.id


def answers(message: Message) -> Iterator[str]:
    """The ids of the tool calls that ``message`` answers."""
    if message.tool_call_id is not None:
        yield message.tool_call_id
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            yield part.tool_call_id


def unanswerable(messages: Sequence[Message]) -> set[str]:
    """The ids of calls that are answered in ``messages`` (oldest first) and not made in them by then."""
    made: set[str] = set()
    missing: set[str] = set()
    for message in messages:
        made.update(calls(message))  # first: a provider's own tools are called and answered in one message
        missing.update(call for call in answers(message) if call not in made)
    return missing


def without_orphans(messages: Iterable[Message], missing: set[str]) -> list[Message]:
    """``messages`` without those that answer one of the calls ``missing``."""
    return [message for message in messages if missing.isdisjoint(answers(message))]
