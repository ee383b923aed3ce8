"""Stores to test on: real ones, in memory and in a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TypeAlias

import pytest
from langchain_core.messages import BaseMessage

from agent_session_core import Message, Role, SessionStore
from langchain_sessions import SessionChatMessageHistory

DAY = datetime(2024, 5, 3, 10, 12, tzinfo=timezone(timedelta(hours=1)))
SAID: dict[str, tuple[str, str, list[tuple[Role, str]]]] = {
    "trip": (
        "ana",
        "Lisbon trip",
        [
            ("user", "We fly to Lisbon on the fourth of May."),
            ("assistant", "Noted: the flight to Lisbon leaves on the fourth of May."),
            ("user", "The hotel in Lisbon is near the river."),
            ("assistant", "The hotel near the river is booked for Lisbon."),
        ],
    ),
    "garden": (
        "ana",
        "Garden",
        [
            ("user", "The tomatoes need water every morning."),
            ("assistant", "Watering tomatoes every morning is on the list."),
        ],
    ),
    "bobs": ("bob", "Bob's secret", [("user", "My own flight to Lisbon is a secret canary."), ("assistant", "Kept.")]),
}
"""What the sessions of the indexed store hold: owner, title and what was said."""

Trip: TypeAlias = Callable[[Sequence[BaseMessage]], list[BaseMessage]]


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """A store; it needs no index."""
    with SessionStore.open(url, index="off") as store:
        yield store


@pytest.fixture
def indexed(open_indexed: Callable[[], SessionStore]) -> Iterator[SessionStore]:
    """A store with its index, and the sessions of two users in it."""
    with open_indexed() as store:
        for session_id, (user_id, title, said) in SAID.items():
            session = store.session(session_id, user_id=user_id, title=title)
            session.append([Message(role=role, text=text, created_at=DAY) for role, text in said])
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
