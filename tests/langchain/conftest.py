"""Stores to test on: real ones, in memory and in a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from agent_session_core import SessionStore
from langchain_core.messages import BaseMessage

from langchain_sessions import SessionChatMessageHistory

Trip: TypeAlias = Callable[[Sequence[BaseMessage]], list[BaseMessage]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database in a file of its own."""
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """A store in a file, with its index."""
    with SessionStore.open(url) as store:
        yield store


@pytest.fixture(scope="module")
def trip() -> Iterator[Trip]:
    """Stores messages by one history of a new session and reads them by another."""
    numbers = itertools.count()
    with SessionStore.open("sqlite://", index="off") as store:

        def there_and_back(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
            session_id = f"trip-{next(numbers)}"
            SessionChatMessageHistory(session_id, store=store).add_messages(messages)
            return SessionChatMessageHistory(session_id, store=store).messages

        yield there_and_back
