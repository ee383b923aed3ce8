"""Frequent slips are answered with the line to write instead."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import InvalidInput, SessionStore


@pytest.mark.parametrize(
    ("slip", "remedy"),
    [
        (lambda store: store.load(Path("conversations.json")), r"load\(exchange\.read_file\(path\)\)"),
        (lambda store: store.load("conversations.json"), r"load\(exchange\.read_file\(path\)\)"),
        (lambda store: store.load(['[{"title": "Moving house"}]']), r"ChatGPT.*load\(exchange\.read_file\(path\)\)"),
        (lambda store: store.search("x", roles="assistant"), r"write \['assistant'\]"),
        (lambda store: store.search("x", roles=["bot"]), "'bot' is no role; use some of system, user"),
        (lambda store: store.search("x", since=datetime(2026, 5, 1, 8)), "2026-05-01T08:00:00 has no time zone"),  # noqa: DTZ001
    ],
)
def test_the_remedy_is_named(slip: Callable[[SessionStore], Any], remedy: str) -> None:
    """The error shows what was handed in, and what to hand in instead."""
    with SessionStore.open("sqlite://") as store, pytest.raises(InvalidInput, match=remedy):
        slip(store)
