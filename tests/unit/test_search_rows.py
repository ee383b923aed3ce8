"""What of a message is searched."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_session_core.search.rows import CHUNK, CONTEXT, chunks, clean, context, date_words, embedded_text, speaker_of


@given(st.text(max_size=5_000))
def test_chunks_are_the_text(text: str) -> None:
    """Put together, the chunks are the text; none is longer than 800 characters, and there is always one."""
    pieces = chunks(text)
    assert "".join(pieces) == text
    assert pieces
    assert max(map(len, pieces)) <= CHUNK


def test_chunks_end_between_words() -> None:
    """A text with spaces is not cut inside a word."""
    pieces = chunks("wonderful " * 300)
    assert all(piece.endswith(" ") for piece in pieces[:-1])
    assert len(pieces) == 4


@given(st.text(max_size=700), st.lists(st.text(max_size=700), max_size=3))
def test_context_stays_within_500_characters(text: str, before: list[str]) -> None:
    """The message and what is taken from before it stay within 500 characters; a longer message gets nothing."""
    prev, prev2 = context(text, before)
    assert len(prev) + len(prev2) <= max(0, CONTEXT - len(text))
    assert not prev or before[0].startswith(prev)
    assert not prev2 or before[1].startswith(prev2)


def test_date_words_are_of_the_writers_clock() -> None:
    """The weekday is that of the offset a time was given in."""
    moment = datetime(2023, 5, 8, 1, 30, tzinfo=timezone(timedelta(hours=9)))
    assert date_words(moment) == "May 8 2023 Monday"
    assert date_words(moment.astimezone(timezone.utc)) == "May 7 2023 Sunday"


def test_embedded_text_names_date_and_speaker() -> None:
    """A vector is made of date, speaker and text."""
    moment = datetime(2024, 2, 29, tzinfo=timezone.utc)
    assert embedded_text(moment, "Ana", "We fly.") == "[February 29 2024 Thursday] Ana: We fly."


@pytest.mark.parametrize(
    ("name", "author", "speaker"), [(None, None, "user"), ("Ana", None, "Ana"), ("Ana", "planner", "planner")]
)
def test_speaker(name: str | None, author: str | None, speaker: str) -> None:
    """The author speaks, else who the model was told, else the role."""
    assert speaker_of("user", name, author) == speaker


@given(st.text())
def test_clean_text_can_be_stored_and_tokenized(text: str) -> None:
    """What is cleaned holds no NUL and no lone surrogate, and clean text stays as it is."""
    cleaned = clean(text + "\ud800\x00")
    assert "\x00" not in cleaned
    assert cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
