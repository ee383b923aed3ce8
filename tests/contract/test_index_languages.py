"""Text in any language is found by its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from agent_session_core import Message, SessionStore


class Language(NamedTuple):
    """Three things said in a language, and words by which the first and the second are asked for."""

    said: tuple[str, str, str]
    first: str
    second: str


LANGUAGES = {
    "German": Language(
        (
            "Wir fliegen am vierten Mai nach Lissabon.",
            "Die Straßenbahn fährt über die Brücke.",
            "Das Brot geht nicht auf.",
        ),
        "Wann fliegen wir nach LISSABON?",
        "Welche Straßenbahn?",
    ),
    "French": Language(
        ("Nous avons réservé un hôtel près du fleuve.", "Ma sœur élève des chèvres.", "Le pain ne lève pas."),
        "quel hotel avons-nous reserve",
        "Qui élève des chevres ?",
    ),
    "Spanish": Language(
        ("El médico me recetó unas gafas.", "Mañana viajamos a Córdoba.", "El pan no sube."),
        "¿Qué me recetó el medico?",
        "cuándo viajamos a Cordoba",
    ),
    "Russian": Language(
        ("Поезд в Москву уходит вечером.", "Бабушка испекла пирог с яблоками.", "Хлеб не поднимается."),  # noqa: RUF001
        "Когда уходит ПОЕЗД?",
        "пирог бабушка",
    ),
    "Chinese": Language(
        ("我们五月四日飞往里斯本。", "妹妹养了两只山羊。", "面包发不起来。"),
        "里斯本什么时候去?",
        "山羊",
    ),
    "Japanese": Language(
        ("五月四日にリスボンへ飛びます。", "妹は山羊を二匹飼っています。", "パンが膨らみません。"),
        "リスボンはいつですか",
        "山羊を飼う",
    ),
    "Korean": Language(
        ("우리는 오월 사일에 리스본으로 간다.", "여동생이 염소 두 마리를 키운다.", "빵이 부풀지 않는다."),
        "리스본 언제",
        "염소",
    ),
    "Arabic": Language(
        ("نسافر إلى لشبونة في الرابع من مايو.", "أختي تربي الماعز في المزرعة.", "الخبز لا ينتفخ."),
        "متى نسافر إلى لشبونة؟",
        "الماعزُ",
    ),
    "Hindi": Language(
        ("हम चार मई को लिस्बन जाएंगे।", "मेरी बहन बकरियां पालती है।", "रोटी नहीं फूलती।"),
        "लिस्बन कब?",
        "बकरियां कौन पालती है",
    ),
}


@pytest.fixture(params=["english", "none"])
def store(request: pytest.FixtureRequest) -> Iterator[SessionStore]:
    """A store that holds what is said in every language, each in a session of its own, in one scope."""
    with SessionStore.open("sqlite://", analyzer=request.param) as opened:
        for name, language in LANGUAGES.items():
            opened.session(name).append([Message.user(text) for text in language.said])
        yield opened


@pytest.mark.parametrize("name", LANGUAGES)
def test_a_question_finds_what_was_said_in_its_language(store: SessionStore, name: str) -> None:
    """With either analyzer, by words alone and with meaning, the first hit among all languages is the one asked for."""
    language = LANGUAGES[name]
    for question, said in ((language.first, language.said[0]), (language.second, language.said[1])):
        assert store.search(question, mode="keyword", limit=1)[0].message.text == said
        assert store.search(question, limit=1)[0].message.text == said


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_words_are_marked(store: SessionStore, name: str) -> None:
    """The words that were found are told with their worth, in the script in which they were asked for."""
    hit = store.search(LANGUAGES[name].second, mode="keyword", limit=1, explain=True)[0]
    assert hit.highlights
    assert hit.explanation is not None
    assert hit.explanation.words
    assert hit.explanation.nearby == ()


def test_english_is_stemmed_where_asked_for() -> None:
    """Other forms of an English word are found by ``english`` alone."""
    for analyzer, found in (("english", 1), ("none", 0)):
        with SessionStore.open("sqlite://", analyzer=analyzer) as store:  # type: ignore[arg-type]  # both of them
            store.session("s").append(Message.user("She was baking pies."))
            assert len(store.search("bakes a pie", mode="keyword")) == found
