"""What a question asks for."""

from __future__ import annotations

import pytest

from agent_session_core.search.query import Speakers, read_question
from agent_session_core.search.words import Words

WORDS = Words("english")


def speakers(*names: str) -> Speakers:
    """These speakers, numbered from 0."""
    known = Speakers(WORDS)
    for name in names:
        known.number(name)
    return known


def test_small_words_and_names_are_left_out() -> None:
    """Only words that tell something are looked for; the speakers that are named are told apart from them."""
    question = read_question("What did Caroline say about the dogs?", speakers("user", "Caroline"), WORDS)
    assert question.words == ("say", "dogs")
    assert question.named == {1}


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("Did Ana Lopez call?", {0}),
        ("Did Ana call?", {0}),
        ("Did Lopez call?", set()),
        ("Did JOSÉ call?", {1}),
        ("Did Anastasia call?", set()),
        ("Did the assistant or the user call?", set()),
        ("Did Will call?", {4}),
    ],
)
def test_who_is_named(asked: str, named: set[int]) -> None:
    """A speaker is named by the whole name or its first word, as whole words; roles are no names."""
    known = speakers("Ana Lopez", "Jose", "user", "assistant", "Will")
    assert read_question(asked, known, WORDS).named == named


def test_tools_are_not_named() -> None:
    """A word of a question that is also a tool's name is looked for, until a person goes by that name."""
    known = Speakers(WORDS)
    known.number("book_table", tool=True)
    known.number("Book", tool=True)
    question = read_question("Which book did I like?", known, WORDS)
    assert question.words == ("book", "like")
    assert question.named == frozenset()
    known.number("Book")
    assert read_question("Which book did I like?", known, WORDS).named == {1}


def test_something_is_always_looked_for() -> None:
    """A question of small words or names alone is looked for as it is."""
    assert read_question("Who are you?", speakers(), WORDS).words == ("who", "are", "you")
    assert read_question("Caroline?", speakers("Caroline"), WORDS).words == ("caroline",)
    assert read_question("?!", speakers(), WORDS).words == ()


def test_words_are_looked_for_once() -> None:
    """A word given twice is one word; two forms of it count twice."""
    question = read_question("run, run, running", speakers(), WORDS)
    assert question.words == ("run", "running")
    assert question.stems[0] == question.stems[1]


def test_very_long_questions_are_cut() -> None:
    """At most 256 words are looked for."""
    assert len(read_question(" ".join(f"word{number}" for number in range(999)), speakers(), WORDS).words) == 256
