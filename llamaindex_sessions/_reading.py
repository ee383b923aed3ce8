"""What both chat stores read from the store: messages as LlamaIndex has them, and sessions page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from llama_index.core.base.llms.types import ChatMessage

from agent_session_core import Message, Session, SessionStore
from llamaindex_sessions._messages import record_to_message

__all__ = ["asessions_of", "read_all", "read_one", "seqs_at", "sessions_of"]

PAGE = 1_000
"""Sessions listed at a time."""


def read_all(records: Sequence[Message]) -> list[ChatMessage]:
    """Stored messages as LlamaIndex has them."""
    return [record_to_message(record) for record in records]


def read_one(records: Sequence[Message]) -> ChatMessage | None:
    """The first of ``records``, or None where there is none."""
    return record_to_message(records[0]) if records else None


def seqs_at(records: Sequence[Message], place: int) -> list[int]:
    """The seq of the message at ``place``, counted as lists do; none where there is no such place."""
    at = records[place:][:1] if -len(records) <= place < len(records) else []
    return [record.seq for record in at if record.seq is not None]


def sessions_of(store: SessionStore) -> Iterator[Session]:
    """Every session the store can reach, the one that changed last first."""
    page = store.sessions(limit=PAGE)
    yield from page
    while page.next_cursor is not None:
        page = store.sessions(limit=PAGE, before=page.next_cursor)
        yield from page


async def asessions_of(store: SessionStore) -> AsyncIterator[Session]:
    """As :func:`sessions_of`."""
    page = await store.asessions(limit=PAGE)
    while True:
        for session in page:
            yield session
        if page.next_cursor is None:
            return
        page = await store.asessions(limit=PAGE, before=page.next_cursor)
