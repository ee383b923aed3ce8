"""The retriever: LangChain's own standard tests, and what a session's search gives on top."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from agent_session_core import InvalidInput, Message, SessionStore
from langchain_sessions import SessionRetriever


class TestStandard(RetrieversIntegrationTests):
    """What LangChain asks of every retriever."""

    @pytest.fixture(autouse=True)
    def _store(self, indexed: SessionStore) -> None:
        self.store = indexed

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        """The retriever under test."""
        return SessionRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        """What it is made with."""
        return {"store": self.store}

    @property
    def retriever_query_example(self) -> str:
        """A question that more messages answer than any test asks for."""
        return "the flight to Lisbon"


def sessions(documents: list[Document]) -> set[str]:
    """The sessions that documents come from."""
    return {document.metadata["session_id"] for document in documents}


async def test_a_document_tells_where_it_comes_from(indexed: SessionStore) -> None:
    """Id, text and metadata name the message exactly; sync and async answer alike."""
    retriever = SessionRetriever(store=indexed, user_id="ana", k=1)
    [document] = retriever.invoke("When do we fly to Lisbon on the fourth of May?")
    stored = indexed.session(document.metadata["session_id"]).messages()[document.metadata["seq"] - 1]
    assert document.id == f"trip/{stored.seq}"
    assert document.page_content == stored.text
    score = document.metadata.pop("score")
    assert 0 < score <= 1
    assert document.metadata == {
        "session_id": "trip",
        "session_title": "Lisbon trip",
        "message_id": stored.id,
        "seq": stored.seq,
        "role": stored.role,
        "name": None,
        "author": None,
        "created_at": "2024-05-03T10:12:00+01:00",
    }
    [again] = await retriever.ainvoke("When do we fly to Lisbon on the fourth of May?")
    assert (again.id, again.page_content) == (document.id, document.page_content)


async def test_a_call_can_name_every_option(indexed: SessionStore) -> None:
    """What is a field is also an argument of invoke and ainvoke, for that call alone."""
    retriever = SessionRetriever(store=indexed, k=4)
    question = "Lisbon flight"
    assert len(retriever.invoke(question, k=1)) == 1
    assert len(retriever.invoke(question)) == 4
    assert sessions(retriever.invoke(question, user_id="bob")) == {"bobs"}
    assert sessions(retriever.invoke(question, session_ids=["trip"])) == {"trip"}
    assert "trip" not in sessions(await retriever.ainvoke(question, exclude_session_ids=["trip"]))
    assert {document.metadata["role"] for document in retriever.invoke(question, roles=["user"])} == {"user"}
    assert len(await retriever.ainvoke(question, group_by="session", mode="keyword")) == 2
    assert retriever.invoke(question, min_score=1.0) == []
    assert retriever.invoke(question, author="nobody") == []
    with pytest.raises(InvalidInput, match="top_k: not an option"):
        retriever.invoke(question, top_k=3)


def test_a_call_narrows_and_never_widens(indexed: SessionStore) -> None:
    """User, sessions, exclusions and filters of the retriever hold, whatever a call asks for."""
    anas = SessionRetriever(store=indexed, user_id="ana")
    with pytest.raises(InvalidInput, match="user_id"):
        anas.invoke("Lisbon", user_id="bob")
    assert sessions(anas.invoke("secret canary flight to Lisbon", session_ids=["bobs", "trip"])) == {"trip"}
    within = SessionRetriever(store=indexed, session_ids=["garden"])
    assert within.invoke("Lisbon tomatoes", session_ids=["trip"]) == []
    assert sessions(within.invoke("Lisbon tomatoes", session_ids=["trip", "garden"])) == {"garden"}
    without = SessionRetriever(store=indexed, exclude_session_ids=["bobs"])
    assert "bobs" not in sessions(without.invoke("Lisbon canary", exclude_session_ids=["trip"]))
    assert "trip" not in sessions(without.invoke("Lisbon canary", exclude_session_ids=["trip"]))
    bound = SessionRetriever(store=indexed.for_user("ana"))
    assert sessions(bound.invoke("secret canary flight to Lisbon")) <= {"trip", "garden"}
    with pytest.raises(InvalidInput):
        bound.invoke("Lisbon", user_id="bob")


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_ids": "a"},
        {"session_ids": 5},
        {"session_ids": ["trip", 5]},
        {"exclude_session_ids": "abc"},
        {"exclude_session_ids": 5},
        {"exclude_session_ids": [["trip"]]},
    ],
)
async def test_what_is_no_list_of_ids_is_refused_by_name(wrong: dict[str, Any], indexed: SessionStore) -> None:
    """A bare string is not spread into letters, by a call or by the retriever itself, however it is bound."""
    [name] = wrong
    for retriever in (SessionRetriever(store=indexed), SessionRetriever(store=indexed, session_ids=["trip"])):
        with pytest.raises(InvalidInput, match=f"{name}: expected a list of ids"):
            retriever.invoke("Lisbon", **wrong)
        with pytest.raises(InvalidInput, match=f"{name}: expected a list of ids"):
            await retriever.ainvoke("Lisbon", **wrong)
    with pytest.raises(ValidationError, match=name):
        SessionRetriever(store=indexed, **wrong)


def test_any_iterable_of_ids_will_do(indexed: SessionStore) -> None:
    """Sets, tuples and generators mean what lists mean; an empty one means no session."""
    retriever = SessionRetriever(store=indexed)
    assert sessions(retriever.invoke("Lisbon flight", session_ids={"trip"})) == {"trip"}
    assert sessions(retriever.invoke("Lisbon flight", session_ids=(id_ for id_ in ["trip"]))) == {"trip"}
    assert retriever.invoke("Lisbon flight", session_ids=()) == []


def test_filters_of_the_retriever_and_the_call_both_hold(indexed: SessionStore) -> None:
    """A document meets the settled filter and the call's."""
    session = indexed.session("marked")
    for topic, place in (("trip", "here"), ("trip", "there"), ("food", "here")):
        session.append(Message.user(f"Lisbon is lovely, {topic} {place}", metadata={"topic": topic, "place": place}))
    retriever = SessionRetriever(store=indexed, filter={"topic": "trip"})
    assert len(retriever.invoke("lovely Lisbon")) == 2
    [document] = retriever.invoke("lovely Lisbon", filter={"place": "here"})
    assert document.page_content == "Lisbon is lovely, trip here"
    assert retriever.invoke("lovely Lisbon", filter={"topic": "food"}) == []


def test_neighbours_are_shown_with_speaker_and_time(indexed: SessionStore) -> None:
    """With ``neighbours`` the text of a document is the passage around the hit, oldest first."""
    retriever = SessionRetriever(store=indexed, k=1, neighbours=1, mode="keyword")
    [document] = retriever.invoke("tomatoes need water")
    assert document.metadata["seq"] == 1
    assert document.page_content == (
        "user (Fri 2024-05-03 10:12 +0100): The tomatoes need water every morning.\n"
        "assistant (Fri 2024-05-03 10:12 +0100): Watering tomatoes every morning is on the list."
    )


def test_times_bound_what_is_found(indexed: SessionStore) -> None:
    """``since`` and ``until`` are aware times; a naive one is refused by name."""
    [first, *_] = indexed.session("trip").messages()
    assert first.created_at is not None
    retriever = SessionRetriever(store=indexed, since=first.created_at, until=first.created_at + timedelta(hours=1))
    assert retriever.invoke("Lisbon")
    assert retriever.invoke("Lisbon", since=first.created_at + timedelta(minutes=1)) == []
    with pytest.raises(InvalidInput, match="since"):
        retriever.invoke("Lisbon", since=first.created_at.replace(tzinfo=None))


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"k": "many"}, {"mode": "psychic"}, {"min_score": 2}, {"neighbours": -1}, {"top_k": 3}, {"group_by": 1}],
)
def test_odd_fields_are_refused(wrong: dict[str, Any], indexed: SessionStore) -> None:
    """A retriever with an option that cannot be is not made; the error names the option."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SessionRetriever(store=indexed, **wrong)


def test_it_is_configurable_as_any_runnable(indexed: SessionStore) -> None:
    """``configurable_fields`` makes the user a matter of each call's configuration."""
    retriever = SessionRetriever(store=indexed).configurable_fields(user_id=ConfigurableField(id="user_id"))
    found = retriever.invoke("flight to Lisbon", {"configurable": {"user_id": "bob"}})
    assert sessions(found) == {"bobs"}


async def test_what_was_just_said_is_found(url: str) -> None:
    """A retriever by URL finds what another store wrote a moment ago, and closes what it opened."""
    async with SessionRetriever(url=url, k=1) as retriever:
        with SessionStore.open(url) as store:
            store.session("a").append(Message.user("The vet sees the cat on Tuesday."))
        [document] = await retriever.ainvoke("cat vet")
        assert document.metadata["session_id"] == "a"


def test_nothing_said_is_logged(indexed: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    """No log of any level holds the question or a word found; the server's client logs its requests where asked to."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "elastic_transport")
    assert SessionRetriever(store=indexed).invoke("the canary question")
    assert "canary" not in caplog.text
