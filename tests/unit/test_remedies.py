"""Frequent slips are answered with the line to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import InvalidInput, SessionStore

ROOT = Path(__file__).parents[2]


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


def test_what_is_to_be_installed_is_quoted() -> None:
    """Every hint at an extra can be pasted into any shell: some read brackets as a pattern of names of files."""
    sources = [
        path
        for name in ("shared", "langchain_sessions", "llamaindex_sessions")
        for path in ROOT.glob(f"{name}/**/*.py")
    ]
    hints = [hint for path in sources for hint in re.findall(r"pip install (.*?\[)", path.read_text(encoding="utf-8"))]
    assert len(hints) >= 5
    assert set(hints) == {"'agent-session-core["}
