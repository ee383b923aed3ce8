"""The index as callers see it, over every way to drive a store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import cast

import pytest

from agent_session_core import InvalidInput, Message, Session, SessionStore
from agent_session_core.models import SearchResults
from tests.contract.conftest import ways
from tests.contract.drivers import Driven, Driver

Open = Callable[..., SessionStore]

START = datetime(2024, 3, 4, 9, tzinfo=timezone.utc)


def texts(results: SearchResults) -> list[str]:
    """What was found."""
    return [hit.message.text for hit in results]


DRIVERS_HERE = (
    "sync",
    "sync-in-a-loop-native-url",
    "async-fresh-loops-memory",
    "async-two-loops",
    "native-fresh-loops",
    "engine-async",
    "postgres",
)
"""Searching runs in threads however a store is driven: some of the ways are enough."""


@pytest.fixture(params=ways(*DRIVERS_HERE))
def open_store(request: pytest.FixtureRequest) -> Iterator[Open]:
    """What opens a store with its index, for a tenant of its own."""
    driver: Driver = request.param
    stores = []
    with driver.way() as way, driver.target(request.getfixturevalue(driver.place), way) as target:

        def opened() -> SessionStore:
            store = SessionStore.open(target, tenant=str(uuid.uuid4()))
            stores.append(store)
            return cast("SessionStore", Driven(store, way))

        yield opened
        for store in stores:
            way.call(store, "close", (), {})


@pytest.fixture
def store(open_store: Open) -> SessionStore:
    """An empty store."""
    return open_store()


@pytest.fixture
def session(store: SessionStore) -> Session:
    """A session without messages."""
    return store.session("trip")


@pytest.fixture
def trips(open_store: Open) -> SessionStore:
    """Two users' sessions about travelling."""
    store = open_store()
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


class TestFinding:
    """What a search finds."""

    def test_own_writes_are_found_at_once(self, session: Session, store: SessionStore) -> None:
        """What an append returned for is found by the next search, by other forms of its words too."""
        session.append(Message.user("The submarine surfaced quietly."))
        (hit,) = store.search("submarines surfacing")
        assert hit.message.text == "The submarine surfaced quietly."
        assert hit.message.seq == 1
        assert hit.session_id == "trip"
        assert 0 < hit.score <= 1
        assert hit.highlights == ("The submarine surfaced quietly.",)

    def test_the_best_stands_first(self, trips: SessionStore) -> None:
        """The message that answers stands first, with its session's title."""
        results = trips.search("Which hotel is there?", user_id="ana")
        assert texts(results)[0] in ("The Ribeira hotel has rooms.", "No stops please, and a hotel near the river.")
        assert results[0].session_title == "Lisbon in May"
        assert results.degraded is None
        assert not results.truncated
        scores = [hit.score for hit in results]
        assert all(0 <= score <= 1 for score in scores)

    @pytest.mark.parametrize("mode", ["hybrid", "keyword", "semantic"])
    def test_modes(self, trips: SessionStore, mode: str) -> None:
        """By words, by meaning, or both, the train is found; by words only what has one of them."""
        results = trips.search("night train", user_id="ana", mode=mode)  # type: ignore[arg-type]  # one of the modes
        assert texts(results)[0] == "The night train leaves at nine."
        if mode == "keyword":
            assert all("train" in text for text in texts(results)[:2])

    def test_nothing_there(self, store: SessionStore) -> None:
        """An empty store finds nothing, and says so by an empty answer."""
        assert list(store.search("anything")) == []

    @pytest.mark.parametrize("query", ["", "  \n", 5, "x" * 100_001])
    def test_questions_that_cannot_be_asked(self, store: SessionStore, query: object) -> None:
        """A question without words, of another type or too long is refused by name."""
        with pytest.raises(InvalidInput, match="query"):
            store.search(query)  # type: ignore[arg-type]  # what is tested

    @pytest.mark.parametrize("query", ["?!", '"', "a AND", "NEAR(", "col:x", "*", "\x00", "\ud800", "'; DROP TABLE x"])
    def test_odd_questions(self, trips: SessionStore, query: str) -> None:
        """Whatever is asked is text and nothing else."""
        trips.search(query)
        assert len(trips.search("flight")) > 0


class TestScopes:
    """Who finds what."""

    def test_a_user_finds_only_their_own(self, trips: SessionStore) -> None:
        """Neither by name nor by a bound store does anything of another user's come up, nor in how often it is said."""
        for bens in (trips.search("flight to Lisbon", user_id="ben"), trips.for_user("ben").search("flight to Lisbon")):
            assert texts(bens) == ["My flight to Lisbon was cancelled."]
        assert "My flight to Lisbon was cancelled." not in texts(trips.for_user("ana").search("cancelled flight"))
        assert list(trips.search("flight", user_id="nobody")) == []

    def test_scores_do_not_depend_on_others(self, trips: SessionStore) -> None:
        """What other users write changes nothing in a user's hits, scores included."""
        before = [(hit.message.id, hit.score) for hit in trips.search("flight", user_id="ana")]
        trips.session("more", user_id="ben").append([Message.user(f"flight {number}") for number in range(20)])
        assert [(hit.message.id, hit.score) for hit in trips.search("flight", user_id="ana")] == before

    def test_tenants_never_meet(self, open_store: Open) -> None:
        """A store of another tenant finds nothing of this one's, and cannot name its sessions."""
        one, other = open_store(), open_store()
        one.session("secret").append(Message.user("The canary sings."))
        assert texts(one.search("canary")) == ["The canary sings."]
        assert list(other.search("canary")) == []
        assert list(other.search("canary", session_ids=["secret"])) == []


class TestFollowing:
    """The index follows what happens to messages."""

    def test_what_is_taken_back_is_not_found(self, session: Session, store: SessionStore) -> None:
        """A turn that was taken back is not found, and what is written afterwards is."""
        session.append(Message.user("apples"), Message.assistant("pears"))
        assert texts(store.search("pears")) == ["pears", "apples"]
        session.pop_turn()
        assert list(store.search("pears")) == []
        session.append(Message.user("plums and pears"))
        assert texts(store.search("pears")) == ["plums and pears"]

    def test_replacing_a_history(self, session: Session, store: SessionStore) -> None:
        """After a replacement the new history is found and the old one is not."""
        session.append(Message.user("one apple"), Message.assistant("two apples"))
        store.search("apple")
        session.replace([Message.user("one apple"), Message.assistant("three apples")])
        assert sorted(texts(store.search("apples"))) == ["one apple", "three apples"]

    def test_a_deleted_session_is_forgotten(self, trips: SessionStore) -> None:
        """Nothing of a deleted session is found, and a session made under its id starts with nothing."""
        trips.search("train")
        trips.session("rome").delete()
        assert "The night train leaves at nine." not in texts(trips.search("train"))
        trips.session("rome", user_id="ana").append(Message.user("A bus to Rome."))
        assert texts(trips.search("Rome", session_ids=["rome"])) == ["A bus to Rome."]

    def test_set_aside_is_still_found(self, session: Session, store: SessionStore) -> None:
        """Messages that a framework set aside are found all the same."""
        session.append(Message.user("kept apples"), Message.assistant("more apples"))
        session.set_aside(first=1)
        assert sorted(texts(store.search("apples"))) == ["kept apples", "more apples"]
