"""A store for each test, and what is said in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent_session_core import SessionStore


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """A store on a database of the test's own."""
    with SessionStore.open(url, index="off") as opened:
        yield opened
