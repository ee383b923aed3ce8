"""Words and stems."""

from __future__ import annotations

import sqlite3
import threading
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_session_core.search import words as module
from agent_session_core.search.words import Words

ENGLISH = Words("english")
NONE = Words("none")

LETTERS = st.text(st.sampled_from("aEéßøЖжقबि 東タ한ท-_.'\t\n9"), max_size=60)


def stems_by_fts5(text: str) -> list[int]:
    """The stems that FTS5 makes of a whole text."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize='porter unicode61')")
    db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, instance)")
    db.execute("INSERT INTO t VALUES (?)", (text,))
    found = [crc32(term.encode()) for (term,) in db.execute("SELECT term FROM v ORDER BY offset")]
    db.close()
    return found


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.sampled_from("abcdeingrunsé ,.'-\t\n1"), max_size=60), max_size=4))
def test_stems_are_those_of_fts5(texts: list[str]) -> None:
    """Looked up piece by piece and remembered, the stems are what FTS5 makes of the whole text."""
    assert ENGLISH.stems(texts) == [stems_by_fts5(text) for text in texts]
    assert ENGLISH.stems(texts) == [stems_by_fts5(text) for text in texts]


def test_analyzers() -> None:
    """``english`` finds a word by its other forms, ``none`` only as it is; neither cares for case and accents."""
    assert ENGLISH.stems(["Running"]) == ENGLISH.stems(["runs"])
    assert NONE.stems(["Running"]) != NONE.stems(["runs"])
    assert NONE.stems(["CAFÉ"]) == NONE.stems(["cafe"]) == NONE.stems(["cafe\u0301"])


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("我昨天去了北京动物园", "北京"),
        ("東京タワーに行きました", "タワー"),
        ("내일 서울에서 만나요", "서울"),
        ("ผมชอบกินข้าวผัด", "ข้าวผัด"),
        ("यह किताब हिन्दी में है", "हिन्दी"),
        ("Встретимся у вокзала", "ВОКЗАЛА"),  # noqa: RUF001 - Russian
        ("Die Straßenbahn fährt", "straßenbahn"),
        ("ذهبتُ إلى السوقِ", "السوق"),
        ("הלכתי לשׁוּק", "לשוק"),
        ("ＦＵＬＬ width", "full"),  # noqa: RUF001 - as wide as it looks
        ("他养了一只猫", "猫"),
    ],
)
@pytest.mark.parametrize("analyzer", [ENGLISH, NONE], ids=["english", "none"])
def test_words_of_many_languages_are_found(analyzer: Words, text: str, question: str) -> None:
    """Every word of a question stands among the stems of a text that holds it, in any script."""
    (stems,) = analyzer.stems([text])
    asked = analyzer.stem(analyzer.split(question))
    assert asked
    assert set(asked) <= set(stems)


@settings(max_examples=50, deadline=None)
@given(LETTERS)
def test_a_question_finds_itself(text: str) -> None:
    """Whatever can be asked is found in a text that says the same."""
    assert set(ENGLISH.stem(ENGLISH.split(text))) <= set(ENGLISH.stems([text])[0])


def test_odd_text_is_no_error() -> None:
    """NUL, lone surrogates, quotes and query operators are text like any other."""
    odd = 'a\x00b \ud800 "quoted" AND (x OR y*) NEAR/2 col:z \' -- \u202e'
    assert ENGLISH.split(odd) == ["a", "b", "quoted", "and", "x", "or", "y", "near", "2", "col", "z"]
    assert len(ENGLISH.stems([odd])[0]) == 11


def test_a_million_characters_without_a_space() -> None:
    """One endless word is one stem."""
    assert len(ENGLISH.stems(["x" * 1_000_000])[0]) == 1


def test_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that look up different words at once, with next to nothing remembered, get their own stems."""
    monkeypatch.setattr(module, "MOST_REMEMBERED", 20)
    words = Words("english")
    texts = [[f"word{thread}x{number} shared" for number in range(60)] for thread in range(6)]
    expected = [ENGLISH.stems(each) for each in texts]
    found: list[list[list[int]]] = [[] for _ in texts]

    def look_up(thread: int) -> None:
        found[thread] = [words.stems([text])[0] for text in texts[thread]]

    threads = [threading.Thread(target=look_up, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
