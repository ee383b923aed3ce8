"""The pieces of a streamed message, added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk

__all__ = ["added_up"]


def added_up(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages, with neighbouring chunks of one streamed message made one chunk.

    Chunks belong together when they are of one class, id and speaker, and the stream did not end between them.
    """
    whole: list[BaseMessage] = []
    for message in messages:
        previous = whole[-1] if whole else None
        if (
            isinstance(previous, BaseMessageChunk)
            and isinstance(message, BaseMessageChunk)
            and _stream(previous) == _stream(message)
            and getattr(previous, "chunk_position", None) != "last"
        ):
            whole[-1] = previous + message
        else:
            whole.append(message)
    return whole


def _stream(chunk: BaseMessageChunk) -> tuple[Any, ...]:
    return (type(chunk), chunk.id, chunk.name, getattr(chunk, "role", None), getattr(chunk, "tool_call_id", None))
