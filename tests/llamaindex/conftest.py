"""A store for each test, and what is said in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_session_core import SessionStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database file of the test's own."""
    return f"sqlite:///{tmp_path / 'sessions.db'}"


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """A store on that file."""
    with SessionStore.open(url, index="off") as opened:
        yield opened
