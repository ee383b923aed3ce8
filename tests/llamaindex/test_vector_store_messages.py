"""The vector store's view of past messages: found by the store's own search, read-only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from agent_session_core import InvalidInput, Message, SessionStore
from llamaindex_sessions import SessionVectorStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:`langchain-community` is being sunset:DeprecationWarning"  # LlamaIndex imports it where it is installed
)

Mode = VectorStoreQueryMode
DAY = datetime(2024, 5, 1, 10, tzinfo=timezone(timedelta(hours=2)))
SAID: dict[str, list[Message]] = {
    "trip": [
        Message.user("Which hotel in Lisbon has a pool?", metadata={"topic": "travel", "tags": ["hotel"]}),
        Message.assistant("The Miramar hotel has a pool on its roof.", author="planner", metadata={"topic": "travel"}),
        Message.user(
            "Book it for the fourth of May.", metadata={"topic": "booking", "author": "forged", "seq": "forged"}
        ),
    ],
    "work/2": [
        Message.user("The hotel invoice for the audit is missing.", metadata={"topic": "work"}),
        Message.assistant("I asked the hotel for a copy of the invoice.", author="clerk", metadata={"topic": "work"}),
    ],
    "bens": [Message.user("My hotel has no pool.", metadata={"topic": "travel"})],
}


@pytest.fixture
def past(open_indexed: Callable[[], SessionStore]) -> Iterator[SessionStore]:
    """Three sessions, of which one is another user's; a message every hour."""
    with open_indexed() as store:
        at = DAY
        for name, messages in SAID.items():
            session = store.session(name, user_id="ben" if name == "bens" else "ana", title=f"About {name}")
            for message in messages:
                fields = {field: getattr(message, field) for field in ("role", "text", "author", "metadata")}
                session.append(Message(**fields, created_at=at))
                at += timedelta(hours=1)
        yield store


@pytest.fixture
def messages(past: SessionStore) -> SessionVectorStore:
    """The view of ana's messages."""
    return SessionVectorStore(past, user_id="ana", collection="messages")


def asked(question: str, mode: Mode = Mode.HYBRID, top: int = 10, **fields: Any) -> VectorStoreQuery:
    """A query in words."""
    return VectorStoreQuery(query_str=question, mode=mode, similarity_top_k=top, **fields)


def where(key: str, operator: str, value: Any) -> MetadataFilters:
    """One filter."""
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=FilterOperator(operator), value=value)])


def joined(condition: FilterCondition, *parts: MetadataFilters) -> MetadataFilters:
    """Filters joined."""
    return MetadataFilters(filters=list(parts), condition=condition)


FILTERS: list[tuple[MetadataFilters, set[str]]] = [
    (where("session_id", "==", "trip"), {"trip/1", "trip/2", "trip/3"}),
    (where("session_id", "in", ["trip", "bens", "none"]), {"trip/1", "trip/2", "trip/3"}),
    (where("session_id", "!=", "trip"), {"work/2/1", "work/2/2"}),
    (where("session_id", "==", "bens"), set()),
    (where("doc_id", "==", "work/2"), {"work/2/1", "work/2/2"}),
    (where("role", "==", "assistant"), {"trip/2", "work/2/2"}),
    (where("role", "in", ["assistant", "tool"]), {"trip/2", "work/2/2"}),
    (where("role", "==", "human"), set()),
    (where("author", "==", "clerk"), {"work/2/2"}),
    (where("author", "==", "forged"), set()),
    (where("author", "is_empty", None), {"trip/1", "trip/3", "work/2/1"}),
    (where("seq", "<=", 1), {"trip/1", "work/2/1"}),
    (where("topic", "==", "travel"), {"trip/1", "trip/2"}),
    (where("topic", "text_match_insensitive", "WORK"), {"work/2/1", "work/2/2"}),
    (where("tags", "contains", "hotel"), {"trip/1"}),
    (where("created_at", ">=", "2024-05-01T11:00:00+00:00"), {"work/2/1", "work/2/2"}),
    (where("created_at", ">=", "2024-05-01T13:00:00+02:00"), {"work/2/1", "work/2/2"}),
    (where("created_at", ">", "2024-05-01T11:00:00Z"), {"work/2/2"}),
    (where("created_at", "<", "2024-05-01T09:00:00"), {"trip/1"}),
    (where("created_at", "<=", "2024-05-01T09:00:00"), {"trip/1", "trip/2"}),
    (where("created_at", "==", "2024-05-01T09:00:00"), {"trip/2"}),
    (where("created_at", ">", "2024-05-02"), set()),
    (where("created_at", "text_match", "T09"), {"trip/2"}),
    (where("created_at", ">", "9999-12-31T23:59:59.999999"), set()),
    (where("created_at", "==", "9999-12-31T23:59:59.999999"), set()),
    (
        joined(
            FilterCondition.AND,
            where("created_at", "<=", "9999-12-31T23:59:59.999999"),
            where("created_at", ">=", "2024-05-01T11:00:00Z"),
        ),
        {"work/2/1", "work/2/2"},
    ),
    (
        joined(FilterCondition.AND, where("topic", "==", "travel"), where("role", "==", "user")),
        {"trip/1"},
    ),
    (
        joined(FilterCondition.OR, where("topic", "==", "booking"), where("author", "==", "clerk")),
        {"trip/3", "work/2/2"},
    ),
    (
        joined(FilterCondition.NOT, where("session_id", "==", "trip"), where("role", "==", "user")),
        {"work/2/2"},
    ),
    (
        joined(FilterCondition.AND, where("role", "==", "user"), where("role", "==", "assistant")),
        set(),
    ),
    (
        joined(
            FilterCondition.AND,
            where("created_at", ">=", "2024-05-01T09:00:00"),
            where("created_at", "<", "2024-05-01T11:00:00"),
            where("session_id", "in", ["trip", "work/2"]),
            where("topic", "!=", "booking"),
        ),
        {"trip/2"},
    ),
]


def _named(value: MetadataFilters | set[str]) -> str:
    """A name that is the same in each process."""
    return " ".join(sorted(value)) or "none" if isinstance(value, set) else str(value)[:90]


@pytest.mark.parametrize(("filters", "wanted"), FILTERS, ids=_named)
async def test_filters(messages: SessionVectorStore, filters: MetadataFilters, wanted: set[str]) -> None:
    """What messages are filtered by chooses the same of them in a search and in reading, sync and async."""
    query = asked("hotel pool booking may invoice audit", filters=filters)
    found = messages.query(query)
    assert set(found.ids or []) == wanted
    again = await messages.aquery(query)
    assert again.ids == found.ids
    assert again.similarities == pytest.approx(found.similarities, rel=1e-3)  # a server counts what is gone a while
    assert {node.node_id for node in messages.get_nodes(filters=filters)} == wanted
    assert {node.node_id for node in await messages.aget_nodes(filters=filters)} == wanted
    few = asked("hotel pool booking may invoice audit", top=1, filters=filters)
    assert (messages.query(few).ids or []) == (found.ids or [])[:1]


def test_a_message_as_a_node(messages: SessionVectorStore) -> None:
    """A node says who said it, when and where; the caller's metadata comes with it and cannot forge that."""
    (node,) = messages.get_nodes(["trip/3"])
    assert isinstance(node, TextNode)
    assert (node.text, node.ref_doc_id) == ("Book it for the fourth of May.", "trip")
    assert node.metadata.pop("message_id")
    assert node.metadata == {
        "topic": "booking",
        "session_id": "trip",
        "seq": 3,
        "role": "user",
        "created_at": "2024-05-01T10:00:00+00:00",
        "session_title": "About trip",
    }


@pytest.mark.parametrize("mode", [Mode.DEFAULT, Mode.SPARSE, Mode.TEXT_SEARCH, Mode.HYBRID, Mode.SEMANTIC_HYBRID])
def test_modes(past: SessionStore, messages: SessionVectorStore, mode: Mode) -> None:
    """Each mode is the store's own search in one of its modes: the same messages, the same scores."""
    own: dict[Mode, Any] = {Mode.DEFAULT: "semantic", Mode.SPARSE: "keyword", Mode.TEXT_SEARCH: "keyword"}
    hits = past.search("Is there a pool?", user_id="ana", mode=own.get(mode, "hybrid"), limit=3)
    found = messages.query(asked("Is there a pool?", mode, top=3))
    assert found.similarities == pytest.approx([hit.score for hit in hits], rel=1e-3)
    assert found.ids == [f"{hit.session_id}/{hit.message.seq}" for hit in hits]
    assert found.ids[0] in ("trip/1", "trip/2")


def test_under_an_index(messages: SessionVectorStore) -> None:
    """VectorStoreIndex retrieves past messages through the view, and embeds nothing for it."""
    assert messages.stores_text
    assert not messages.is_embedding_query
    index = VectorStoreIndex.from_vector_store(messages, embed_model=MockEmbedding(embed_dim=3))
    retriever = index.as_retriever(similarity_top_k=1, vector_store_query_mode=Mode.HYBRID)
    assert [hit.node_id for hit in retriever.retrieve("Who has a copy of the invoice?")] == ["work/2/2"]
    filtered = index.as_retriever(filters=where("session_id", "==", "trip"), vector_store_query_mode=Mode.SPARSE)
    assert {hit.node.ref_doc_id for hit in filtered.retrieve("the hotel")} == {"trip"}


def test_restrictions(messages: SessionVectorStore) -> None:
    """node_ids are messages, doc_ids sessions; both restrict in a search, and empty lists do not."""

    def found(**fields: Any) -> set[str]:
        return set(messages.query(asked("hotel pool booking may invoice audit", **fields)).ids or [])

    assert len(found(node_ids=[], doc_ids=[])) == 5
    assert found(node_ids=["trip/2", "work/2/1", "bens/1", "nowhere", "trip/99"]) == {"trip/2", "work/2/1"}
    assert found(doc_ids=["work/2", "bens"]) == {"work/2/1", "work/2/2"}
    assert found(doc_ids=["work/2"], node_ids=["trip/1"]) == set()
    assert [node.node_id for node in messages.get_nodes(["work/2/1", "x", "trip/1"])] == ["work/2/1", "trip/1"]
    assert messages.get_nodes(["bens/1", "trip/0"]) == []


async def test_it_is_read_only(past: SessionStore, messages: SessionVectorStore) -> None:
    """Whatever would change messages is refused and says what to do; they are all there afterwards."""
    nodes = [TextNode(text="x", embedding=[1.0])]
    calls: list[Callable[[], Any]] = [
        lambda: messages.add(nodes),
        lambda: messages.delete("trip"),
        lambda: messages.delete_nodes(["trip/1"]),
        messages.clear,
    ]
    for call in calls:
        with pytest.raises(
            InvalidInput, match="'messages' is a read-only view of the sessions; write messages through"
        ):
            call()
    for coroutine in (
        messages.async_add(nodes),
        messages.adelete("trip"),
        messages.adelete_nodes(["x"]),
        messages.aclear(),
    ):
        with pytest.raises(InvalidInput, match="read-only view"):
            await coroutine
    for collection in ("default", "Messages", "message"):
        SessionVectorStore(past, user_id="ana", collection=collection).clear()
    assert len(messages.get_nodes()) == 5


def test_who_sees_what(past: SessionStore, messages: SessionVectorStore) -> None:
    """A user's view holds that user's messages only; the application's own view holds all of its tenant's."""
    everything = SessionVectorStore(past, collection="messages")
    assert len(everything.get_nodes()) == 6
    assert "bens/1" in (everything.query(asked("pool", Mode.SPARSE)).ids or [])
    for mode in (Mode.DEFAULT, Mode.SPARSE, Mode.HYBRID):
        found = messages.query(asked("pool", mode)).nodes or []
        assert found
        assert {node.ref_doc_id for node in found} <= {"trip", "work/2"}
    bens = SessionVectorStore(past, user_id="ben", collection="messages")
    assert [node.node_id for node in bens.get_nodes(["trip/1", "bens/1"])] == ["bens/1"]
    assert SessionVectorStore(past, user_id="carl", collection="messages").get_nodes() == []


def test_a_new_message_is_found_at_once(past: SessionStore, messages: SessionVectorStore) -> None:
    """The view follows the sessions: what is said is found by the next query, what is taken back is not."""
    session = past.session("trip", create=False)
    session.append(Message.user("The zeppelin leaves at noon."))
    assert messages.query(asked("zeppelin", Mode.SPARSE)).ids == ["trip/4"]
    session.remove(last=1)
    assert messages.query(asked("zeppelin", Mode.SPARSE)).ids == []
    assert messages.get_nodes(["trip/4"]) == []


def test_filters_that_the_search_cannot_be_told(url: str) -> None:
    """Where hits must be looked at, the search goes on until there are as many as asked for."""
    with SessionStore.open(url) as store:
        session = store.session("long")
        session.append([Message.user(f"The zeppelin number {i} leaves", metadata={"n": i}) for i in range(300)])
        messages = SessionVectorStore(store, collection="messages")
        last = joined(FilterCondition.OR, where("n", ">", 293), where("author", "==", "nobody"))
        found = messages.query(asked("zeppelin", Mode.SPARSE, top=5, filters=last))
        assert len(found.ids or []) == 5
        assert len(messages.query(asked("zeppelin", Mode.SPARSE, top=50, filters=last)).ids or []) == 6


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (asked("x", Mode.MMR), "mode: mmr is not offered for messages; use one of default, sparse"),
        (asked("x", Mode.SVM), "mode: svm is not offered for messages"),
        (asked(""), "query_str: messages are searched by a question in words"),
        (VectorStoreQuery(query_embedding=[1.0]), "query_str: messages are searched by a question in words"),
        (asked("x", top=0), "limit: 0"),
        (asked("x", filters="x"), "filters: expected MetadataFilters"),
        (asked("x", node_ids=[5]), "node_ids: expected strings, got 5"),
        (asked("x", node_ids="trip/1"), "node_ids: expected a list"),
        (asked("x", doc_ids="trip"), "doc_ids: expected a list"),
        (asked("x", doc_ids=5), "doc_ids: expected a list"),
        (None, "query: expected a VectorStoreQuery, got NoneType"),
    ],
)
async def test_bad_queries(messages: SessionVectorStore, query: VectorStoreQuery, named: str) -> None:
    """A query that cannot be answered is refused with its reason, sync and async."""
    with pytest.raises(InvalidInput, match=re.escape(named)):
        messages.query(query)
    with pytest.raises(InvalidInput, match=re.escape(named)):
        await messages.aquery(query)


async def test_ids_that_are_none_are_refused(messages: SessionVectorStore) -> None:
    """Reading by what is no list of ids names it, sync and async."""
    for wrong in ([5], "trip/1", 5):
        given: Any = wrong
        with pytest.raises(InvalidInput, match="node_ids: expected"):
            messages.get_nodes(given)
        with pytest.raises(InvalidInput, match="node_ids: expected"):
            await messages.aget_nodes(given)


def test_it_tells_what_it_is(messages: SessionVectorStore) -> None:
    """The view survives to_dict and from_dict."""
    again = SessionVectorStore.from_dict(messages.to_dict(), store=messages.client)
    assert again.to_dict() == messages.to_dict()
    assert again.collection == "messages"
    assert not again.is_embedding_query
