"""``SessionRetriever`` finds what was said in past sessions, as nodes of LlamaIndex."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.mock import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from agent_session_core import InvalidInput, Message, SessionStore
from agent_session_core.filters import Compare
from llamaindex_sessions import SessionChatStore, SessionRetriever

MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture
def store(open_indexed: Callable[[], SessionStore]) -> Iterator[SessionStore]:
    """A store with three sessions of two users, and its index."""
    with open_indexed() as opened:
        trip = opened.session("trip", user_id="ana", title="Lisbon")
        trip.append(
            Message.user("We fly to Lisbon on the 4th of May.", created_at=MONDAY, author="ana"),
            Message.assistant("The flight to Lisbon is TP 123.", author="planner", metadata={"topic": "travel"}),
        )
        opened.session("dinner", user_id="ana").append(Message.user("A table for two at the fish restaurant."))
        opened.session("secret", user_id="ben").append(Message.user("My flight to Lisbon is a surprise."))
        yield opened


@pytest.fixture(params=["retrieve", "aretrieve"])
def retrieve(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Retrieves in the sync or the async way; to be awaited."""

    async def call(retriever: SessionRetriever, *given: Any, **options: Any) -> list[NodeWithScore]:
        if request.param == "retrieve":
            return retriever.retrieve(*given, **options)
        return await retriever.aretrieve(*given, **options)

    return call


def ids(nodes: list[NodeWithScore]) -> list[str]:
    """The ids of the nodes."""
    return [node.node.node_id for node in nodes]


async def test_a_node_tells_who_said_what_when_and_where(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """Text, a stable id, the score, and the message's place as metadata."""
    nodes = await retrieve(SessionRetriever(store, user_id="ana"), "when do we fly?")
    found = next(node for node in nodes if node.node.node_id == "trip/1")
    assert isinstance(found.node, TextNode)
    assert found.node.text == "We fly to Lisbon on the 4th of May."
    assert 0 < found.score <= 1
    (message, _) = store.session("trip").messages()
    assert found.node.metadata == {
        "session_id": "trip",
        "message_id": message.id,
        "seq": 1,
        "role": "user",
        "created_at": "2026-11-23T09:30:00+01:00",
        "score": found.score,
        "session_title": "Lisbon",
        "author": "ana",
        **{key: found.node.metadata[key] for key in ("highlights",) if key in found.node.metadata},
    }
    assert ids(await retrieve(SessionRetriever(store, user_id="ana"), QueryBundle("when do we fly?"))) == ids(nodes)


async def test_a_model_is_shown_who_and_when_and_no_ids(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """The content for a model names role, author, time and session; the content for an embedding is the text."""
    (node,) = await retrieve(SessionRetriever(store, similarity_top_k=1, session_ids=["trip"]), "flight TP 123")
    shown = node.node.get_content(metadata_mode=MetadataMode.LLM)
    assert "role: assistant" in shown
    assert "author: planner" in shown
    assert "session_title: Lisbon" in shown
    assert "message_id" not in shown
    assert node.node.get_content(metadata_mode=MetadataMode.EMBED) == "The flight to Lisbon is TP 123."


async def test_nothing_of_another_user_is_found(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """A retriever bound to a user searches that user's sessions alone, whatever a call asks for."""
    anas = SessionRetriever(store, user_id="ana", similarity_top_k=50)
    assert {node.node.metadata["session_id"] for node in await retrieve(anas, "flight to Lisbon")} <= {"trip", "dinner"}
    assert await retrieve(anas, "flight to Lisbon", session_ids=["secret"]) == []
    assert "secret/1" in ids(await retrieve(SessionRetriever(store, similarity_top_k=50), "flight to Lisbon"))


async def test_an_option_holds_for_all_calls_or_for_one(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """What the constructor settles a call can override, once."""
    retriever = SessionRetriever(store, user_id="ana", similarity_top_k=1, roles=["user"])
    assert len(await retrieve(retriever, "Lisbon")) == 1
    both = await retrieve(retriever, "Lisbon", similarity_top_k=2, roles=["user", "assistant"], session_ids=["trip"])
    assert sorted(ids(both)) == ["trip/1", "trip/2"]
    assert len(await retrieve(retriever, "Lisbon")) == 1
    (assistant,) = await retrieve(retriever, "Lisbon", roles=["assistant"])
    assert assistant.node.metadata["role"] == "assistant"


async def test_a_call_narrows_sessions_and_metadata_and_never_widens(
    store: SessionStore, retrieve: Callable[..., Any]
) -> None:
    """Sessions intersect, exclusions add up, and the metadata must meet both conditions."""
    retriever = SessionRetriever(
        store, session_ids=["trip", "dinner"], exclude_session_ids=["dinner"], metadata={"topic": "travel"}
    )
    assert ids(await retrieve(retriever, "Lisbon")) == ["trip/2"]
    assert await retrieve(retriever, "Lisbon", session_ids=["secret"]) == []
    assert await retrieve(retriever, "Lisbon", exclude_session_ids=["trip"]) == []
    assert ids(await retrieve(retriever, "Lisbon", metadata={"topic": "travel"}, session_ids=None)) == ["trip/2"]
    assert await retrieve(retriever, "Lisbon", metadata={"topic": "food"}) == []
    assert ids(await retrieve(retriever, "Lisbon", metadata=Compare("topic", "contains", "rav"))) == ["trip/2"]


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
async def test_what_is_no_list_of_ids_is_refused_by_name(
    store: SessionStore, retrieve: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    """A bare string is not spread into letters, neither by the retriever nor by one call, however it is bound."""
    [name] = wrong
    with pytest.raises(InvalidInput, match=f"{name}: expected a list of ids"):
        SessionRetriever(store, **wrong)
    for retriever in (SessionRetriever(store), SessionRetriever(store, session_ids=["trip"])):
        with pytest.raises(InvalidInput, match=f"{name}: expected a list of ids"):
            await retrieve(retriever, "Lisbon", **wrong)


async def test_any_iterable_of_ids_will_do(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """Sets, tuples and generators mean what lists mean; an empty one means no session."""
    retriever = SessionRetriever(store)
    assert ids(await retrieve(retriever, "fish restaurant", session_ids={"dinner"})) == ["dinner/1"]
    assert ids(await retrieve(retriever, "fish restaurant", session_ids=(id_ for id_ in ["dinner"]))) == ["dinner/1"]
    assert await retrieve(retriever, "Lisbon", session_ids=()) == []


async def test_neighbours_and_explanations_are_metadata(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """What a search tells beyond the message goes along where it is asked for."""
    retriever = SessionRetriever(store, similarity_top_k=1, session_ids=["trip"], neighbours=1, explain=True)
    (node,) = await retrieve(retriever, "TP 123")
    assert node.node.metadata["neighbours"] == ["user: We fly to Lisbon on the 4th of May."]
    assert node.node.metadata["explanation"]
    assert "neighbours: " in node.node.get_content(metadata_mode=MetadataMode.LLM)


async def test_an_unknown_option_is_named(store: SessionStore, retrieve: Callable[..., Any]) -> None:
    """A slip of the pen is no silent default."""
    with pytest.raises(InvalidInput, match="top_k: not known to a search"):
        SessionRetriever(store, top_k=3)  # type: ignore[call-arg]  # the mistake under test
    with pytest.raises(InvalidInput, match="user_id: not known to a search"):
        await retrieve(SessionRetriever(store), "Lisbon", user_id="ben")


def test_an_option_out_of_range_is_refused_by_the_search(store: SessionStore) -> None:
    """The core's checks hold here too."""
    with pytest.raises(InvalidInput, match="limit"):
        SessionRetriever(store, similarity_top_k=0).retrieve("Lisbon")


def test_a_query_engine_works_on_it(store: SessionStore) -> None:
    """The retriever serves LlamaIndex's own machinery."""
    retriever = SessionRetriever(store, user_id="ana", similarity_top_k=2)
    engine = RetrieverQueryEngine(retriever, get_response_synthesizer(llm=MockLLM()))
    response = engine.query("when do we fly?")
    assert {node.node.metadata["session_id"] for node in response.source_nodes} <= {"trip", "dinner"}
    assert "Lisbon" in str(response)


def test_what_is_written_is_found_at_once_and_what_is_deleted_is_not(store: SessionStore) -> None:
    """The retriever follows a chat store on the same sessions."""
    chats = SessionChatStore(store, user_id="ana")
    retriever = SessionRetriever(store, user_id="ana", session_ids=["zoo"])
    chats.add_message("zoo", ChatMessage(role="user", content="The giraffe was asleep."))
    assert ids(retriever.retrieve("giraffe")) == ["zoo/1"]
    chats.delete_last_message("zoo")
    assert retriever.retrieve("giraffe") == []


def test_the_repr_shows_no_address(url: str) -> None:
    """Neither a path nor a password is shown; an own store is closed by the retriever."""
    retriever = SessionRetriever(url=url, user_id="ana")
    assert repr(retriever) == "SessionRetriever(user_id='ana')"
    retriever.close()
