"""What a search can be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from agent_session_core import InvalidInput, Message, SessionStore
from agent_session_core.models import SearchResults

START = datetime(2024, 3, 4, 9, tzinfo=timezone.utc)


def texts(results: SearchResults) -> list[str]:
    """What was found."""
    return [hit.message.text for hit in results]


@pytest.fixture
def store(url: str) -> Iterator[SessionStore]:
    """An empty store."""
    with SessionStore.open(url) as opened:
        yield opened


@pytest.fixture
def trips(store: SessionStore) -> SessionStore:
    """Two users' sessions about travelling."""
    lisbon = store.session("lisbon", user_id="ana", title="Lisbon in May")
    lisbon.append(
        Message.user("We want to fly to Lisbon on the 4th of May.", author="ana", created_at=START),
        Message.assistant("I found a flight with a stop in Madrid.", author="planner", created_at=START),
        Message.user("No stops please, and a hotel near the river.", author="ana", created_at=START),
        Message.assistant("The Ribeira hotel has rooms.", author="planner", created_at=START + timedelta(days=1)),
    )
    rome = store.session("rome", user_id="ana")
    rome.append(
        Message.user("A train to Rome, not a flight.", author="ana", created_at=START + timedelta(days=30)),
        Message.assistant("The night train leaves at nine.", metadata={"tool": "trains"}),
    )
    store.session("bens", user_id="ben").append(Message.user("My flight to Lisbon was cancelled.", author="ben"))
    return store


def test_filters(trips: SessionStore) -> None:
    """Each filter lets through what it says and nothing else."""

    def found(**options: object) -> set[str]:
        return {hit.message.text.split()[0] for hit in trips.search("flight train hotel", **options)}  # type: ignore[arg-type]  # any option

    assert found(session_ids=["rome"]) == {"A", "The"}
    assert found(session_ids=["nowhere"]) == set()
    assert found(exclude_session_ids=["lisbon", "rome"]) == {"My"}
    assert found(user_id="ana", roles=["user"]) == {"We", "No", "A"}
    assert found(author="planner") == {"I", "The"}
    assert found(author="nobody") == set()
    assert found(metadata={"tool": "trains"}) == {"The"}
    assert found(metadata={"tool": "planes"}) == set()
    assert found(user_id="ana", until=START + timedelta(days=1)) == {"We", "I", "No"}
    assert found(since=START + timedelta(days=1), until=START + timedelta(days=31)) == {"The", "A"}


def test_noise_is_left_out_by_role_and_size(store: SessionStore) -> None:
    """Instructions and long tool output stay out where they are not wanted; what is left is ranked as before."""
    dump = "flight LIS BRU 0815 " * 300
    store.session("s").append(
        Message.system("You book every flight with the least stops."),
        Message.user("Is there a flight on Monday?"),
        Message.tool(dump, name="search_flights"),
        Message.tool("One flight, 168 EUR.", name="search_flights"),
    )
    options = {"roles": ["user", "assistant", "tool"], "max_length": 500}
    found = store.search("a flight on Monday", **options)  # type: ignore[arg-type]  # any option
    assert texts(found) == ["Is there a flight on Monday?", "One flight, 168 EUR."]
    whole = {hit.message.text: hit.score for hit in store.search("a flight on Monday")}
    assert len(whole) == 4
    assert [hit.score for hit in found] == [whole[text] for text in texts(found)]
    assert len(store.search("a flight", max_length=len(dump))) == 4
    assert len(store.search("a flight", max_length=len(dump) - 1, metadata={})) == 3


def test_a_filter_chooses_among_the_ranked(trips: SessionStore) -> None:
    """Filtering in the search equals filtering the whole ranking by hand, scores included."""
    whole = [(hit.message.id, hit.score) for hit in trips.search("a flight to Rome") if hit.message.role == "user"]
    assert [(hit.message.id, hit.score) for hit in trips.search("a flight to Rome", roles=["user"])] == whole


def test_by_session(trips: SessionStore) -> None:
    """One hit a session, its best message, with its next best ones beside it."""
    results = trips.search("a hotel near the river", user_id="ana", group_by="session")
    assert [hit.session_id for hit in results] == ["lisbon", "rome"]
    assert results[0].message.text == "No stops please, and a hotel near the river."
    assert len(results[0].neighbours) == 2
    assert all(near.id != results[0].message.id for near in results[0].neighbours)


def test_neighbours_are_whole_turns(trips: SessionStore) -> None:
    """The messages around a hit come in order, without it, and never half a turn."""
    results = trips.search("stop in Madrid", user_id="ana", neighbours=1, limit=1)
    assert [near.seq for near in results[0].neighbours] == [1, 3, 4]


def test_the_same_sentence_takes_one_place(store: SessionStore) -> None:
    """What one speaker says in twenty sessions is one hit that counts the others; limit is not used up by it."""
    for number in range(20):
        said = "Remember the milk!" if number % 2 else "remember the  milk"
        store.session(f"s{number}").append(Message.user(said), Message.user(f"note {number}"))
    results = store.search("remember the milk", limit=5)
    assert results[0].duplicates == 19
    assert len(results) == 5
    assert len({hit.message.text for hit in results}) == 5


def test_min_score(trips: SessionStore) -> None:
    """Only hits with at least this score come back, and the scores are those they had."""
    scores = [hit.score for hit in trips.search("night train")]
    middle = sorted(scores)[len(scores) // 2]
    assert sorted(hit.score for hit in trips.search("night train", min_score=middle)) == sorted(
        score for score in scores if score >= middle
    )


def test_recency(store: SessionStore) -> None:
    """With recency a newer message comes before an older one that would be before it without."""
    session = store.session()
    session.append(
        Message.user("apple apple pie recipe", created_at=START - timedelta(days=400)),
        Message.user("something else", created_at=START),
        Message.user("an apple a day", created_at=START),
    )
    assert texts(store.search("apple pie", mode="keyword"))[0] == "apple apple pie recipe"
    newer_first = texts(store.search("apple pie", mode="keyword", recency=1.0))
    assert newer_first.index("an apple a day") < newer_first.index("apple apple pie recipe")


def test_explanations_add_up(trips: SessionStore) -> None:
    """The parts of an explanation add up to the score that is shown; the words are the question's."""
    results = trips.search("What did Ben say about the cancelled flight?", explain=True, recency=0.2)
    assert results[0].message.text == "My flight to Lisbon was cancelled."
    for hit in results:
        reason = hit.explanation
        assert reason is not None
        parts = sum(reason.words.values()) + reason.meaning + reason.name + reason.session + reason.recency
        assert parts == pytest.approx(reason.score, abs=1e-5)
        assert reason.score == pytest.approx(hit.score)
    best = results[0].explanation
    assert best is not None
    assert set(best.words) == {"cancelled", "flight"}
    assert best.nearby == ()
    assert best.name > 0
    assert (best.word_rank, best.meaning_rank) == (1, 1)
    orders = [hit.explanation.order for hit in results if hit.explanation is not None]
    assert orders == sorted(orders, reverse=True)
    assert all(hit.explanation is None for hit in trips.search("flight"))


def test_an_explanation_is_one_line_for_people(trips: SessionStore) -> None:
    """As text it names what was found with its worth, what stands nearby only, and the ranks."""
    trips.session("garden", user_id="ana").append([Message.user(f"Bed {number} wants water") for number in range(40)])
    results = trips.search("a stop on the way to Lisbon?", user_id="ana", explain=True)
    found = {hit.message.text.split()[0]: str(hit.explanation) for hit in results}
    part = r"0\.\d\d "
    assert re.fullmatch(
        rf"{part}= {part}'stop' \+ {part}'lisbon' \(nearby\) \+ {part}meaning \+ {part}session "
        r"\(number \d by words, number \d by meaning\)",
        found["I"],
    )
    by_words = trips.search("flights", mode="keyword", user_id="ana", explain=True)[0].explanation
    by_meaning = trips.search("flights", mode="semantic", user_id="ana", explain=True)[0].explanation
    assert by_words is not None
    assert by_meaning is not None
    assert (by_words.meaning, by_words.meaning_rank) == (0, None)
    assert (by_meaning.words, by_meaning.word_rank) == ({}, None)


def test_words_with_one_stem_share_what_it_earned(trips: SessionStore) -> None:
    """A question that has a word in two forms counts it twice, and its explanation still adds up."""
    hit = trips.search("flight flights", explain=True, mode="keyword", limit=1)[0]
    assert hit.explanation is not None
    first, second = hit.explanation.words.values()
    assert first == second
    assert first + second + hit.explanation.session == pytest.approx(hit.score, abs=1e-5)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("limit", 0), ("limit", -1), ("limit", 10**9), ("limit", True), ("mode", "exact"), ("group_by", "user"),
        ("neighbours", -1), ("min_score", 1.5), ("min_score", float("nan")), ("recency", "much"),
        ("roles", "user"), ("roles", ["king"]), ("session_ids", "one"), ("session_ids", [""]), ("author", 5),
        ("since", datetime(2024, 1, 1)), ("until", "today"), ("metadata", ["a"]), ("archived", 1),  # noqa: DTZ001
        ("user_id", ""), ("max_length", 0), ("max_length", 2.5), ("on_outage", "wait"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(store: SessionStore, argument: str, value: object) -> None:
    """A bad option is refused by its name before anything is searched."""
    with pytest.raises(InvalidInput, match=argument):
        store.search("x", **{argument: value})  # type: ignore[arg-type]  # what is tested
