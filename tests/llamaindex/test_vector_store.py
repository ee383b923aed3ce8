"""The vector store under LlamaIndex's own index, retrievers and memory block, and by itself."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID
from zlib import crc32

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.memory import VectorMemoryBlock
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from agent_session_core import InvalidInput, Message, SessionStore, StorageUnavailable
from llamaindex_sessions import SessionVectorStore

pytestmark = pytest.mark.filterwarnings(
    "ignore:`langchain-community` is being sunset:DeprecationWarning"  # LlamaIndex imports it where it is installed
)

Mode = VectorStoreQueryMode
OFFERED = (Mode.DEFAULT, Mode.SPARSE, Mode.TEXT_SEARCH, Mode.HYBRID, Mode.SEMANTIC_HYBRID, Mode.MMR)


class WordEmbedding(BaseEmbedding):
    """A vector of the words' hashes: the same words give the same direction."""

    def _get_text_embedding(self, text: str) -> list[float]:
        vector = [0.0] * 64
        for word in re.findall(r"\w+", text.lower()):
            vector[crc32(word.encode()) % 64] += 1.0
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


EMBEDDING = WordEmbedding()
FACTS = {
    "flight": "The flight to Lisbon leaves on Monday at nine",
    "hotel": "The hotel in Lisbon has a pool and a garden",
    "museum": "The museum of tiles is closed on Mondays",
    "rain": "It rains in Porto all week",
}


@pytest.fixture(params=["sqlite://", "sqlite:///{}", "sqlite+aiosqlite:///{}"])
def every(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionVectorStore]:
    """A vector store on a database of every kind."""
    with SessionStore.open(request.param.format(tmp_path / "vectors.db"), index="off") as opened:
        yield SessionVectorStore(opened)


@pytest.fixture
def vectors(store: SessionStore) -> SessionVectorStore:
    """A vector store on a file."""
    return SessionVectorStore(store)


def facts(**metadata: Any) -> list[TextNode]:
    """Four nodes with their embeddings, of two documents."""
    return [
        TextNode(
            id_=name,
            text=text,
            metadata={"place": place, **metadata},
            embedding=EMBEDDING.get_text_embedding(text),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{place % 2}")},
        )
        for place, (name, text) in enumerate(FACTS.items())
    ]


def asked(question: str, mode: Mode = Mode.DEFAULT, top: int = 2, **fields: Any) -> VectorStoreQuery:
    """A query as LlamaIndex's retriever builds it."""
    embedding = EMBEDDING.get_query_embedding(question)
    return VectorStoreQuery(query_str=question, query_embedding=embedding, mode=mode, similarity_top_k=top, **fields)


def where(key: str, operator: str, value: Any) -> MetadataFilters:
    """One filter."""
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=FilterOperator(operator), value=value)])


def bare(node: BaseNode) -> BaseNode:
    """The node as it is read: without its embedding."""
    return node.model_copy(update={"embedding": None})


def test_an_index_over_the_store(every: SessionVectorStore) -> None:
    """VectorStoreIndex fills the store through a StorageContext, retrieves from it, and deletes a document from it."""
    documents = [Document(id_=name, text=text, metadata={"topic": name}) for name, text in FACTS.items()]
    context = StorageContext.from_defaults(vector_store=every)
    index = VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=EMBEDDING)
    for mode in OFFERED:
        found = index.as_retriever(similarity_top_k=1, vector_store_query_mode=mode).retrieve("a hotel with a pool?")
        assert [hit.node.ref_doc_id for hit in found] == ["hotel"]
        assert found[0].text == FACTS["hotel"]
        assert 0 < found[0].get_score() <= 1
    index.delete_ref_doc("hotel")
    found = index.as_retriever(similarity_top_k=9).retrieve("a hotel with a pool?")
    assert {hit.node.ref_doc_id for hit in found} == {"flight", "museum", "rain"}


def test_an_index_from_what_is_stored(url: str) -> None:
    """Another process opens the store and has the index: from_vector_store finds what was stored before."""
    first = SessionVectorStore(url=url, collection="facts")
    first.add(facts())
    first.close()
    second = SessionVectorStore(url=url, collection="facts")
    index = VectorStoreIndex.from_vector_store(second, embed_model=EMBEDDING)
    retriever = index.as_retriever(similarity_top_k=2, filters=where("place", ">", 1))
    assert [hit.node_id for hit in retriever.retrieve("a hotel in Porto")] == ["rain", "museum"]
    index.insert_nodes([TextNode(id_="new", text="A hotel in Porto", metadata={"place": 9})])
    assert [hit.node_id for hit in retriever.retrieve("a hotel in Porto")] == ["new", "rain"]
    second.close()


async def test_the_async_index(every: SessionVectorStore) -> None:
    """The index works through the async forms too."""
    index = VectorStoreIndex.from_vector_store(every, embed_model=EMBEDDING)
    await index.ainsert_nodes(facts())
    found = await index.as_retriever(similarity_top_k=1).aretrieve("the hotel and its pool")
    assert [hit.node_id for hit in found] == ["hotel"]
    await index.adelete_nodes(["hotel"])
    await index.adelete_ref_doc("doc-1")
    assert {node.node_id for node in await every.aget_nodes()} == {"flight", "museum"}


async def test_a_memory_block_keeps_sessions_apart(vectors: SessionVectorStore) -> None:
    """Two sessions of a VectorMemoryBlock share the store, and neither recalls what the other was told."""
    blocks = {name: VectorMemoryBlock(vector_store=vectors, embed_model=EMBEDDING) for name in ("one", "two")}
    for name, block in blocks.items():
        told = ChatMessage(role="user", content=f"My secret word is {name}word", additional_kwargs={"session_id": name})
        await block.aput([told], from_short_term_memory=True, session_id=name)
    for name, block in blocks.items():
        recalled = await block.aget([ChatMessage(role="user", content="What is my secret word?")], session_id=name)
        assert f"{name}word" in recalled
        assert recalled.count("secret") == 1


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SOURCE = RelatedNodeInfo(node_id="doc", metadata={"when": datetime(2024, 5, 1, tzinfo=timezone.utc)}, hash="h")
NODES: list[BaseNode] = [
    TextNode(text="plain"),
    TextNode(),
    TextNode(
        id_="all of it",
        text="a\x00b \ud800 é",
        metadata={"a.b": [1, None, "x"], "deep": {"q": {"r": [True]}}, "none": None, "float": 0.1, "big": 2**80},
        excluded_embed_metadata_keys=["a.b"],
        excluded_llm_metadata_keys=["deep"],
        relationships={
            NodeRelationship.SOURCE: SOURCE,
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
            NodeRelationship.NEXT: TextNode(text="next").as_related_node_info(),
        },
        metadata_template="{key}={value}",
        metadata_separator=";",
        mimetype="text/markdown",
        start_char_idx=3,
        end_char_idx=9,
        text_template="{content}",
    ),
    TextNode(
        text="odd values",
        metadata={
            "at": datetime(2024, 5, 1, 12, tzinfo=timezone.utc),
            "on": date(2024, 5, 1),
            "path": Path("a/b"),
            "uuid": UUID(int=7),
            "bytes": b"\xff",
            "tag": {"$bytes": "not bytes"},
        },
    ),
    ImageNode(text="a picture", image="aGVsbG8=", image_mimetype="image/png", text_embedding=[1.0, 2.0]),
    ImageNode(image_path="not/there.png"),
    ImageNode(image_url="https://example.invalid/x.png", text="elsewhere"),
    IndexNode(text="points", index_id="index-1"),
    IndexNode(text="points", index_id="index-2", obj=TextNode(text="inner", metadata={"n": 1})),
    IndexNode(text="points", index_id="index-3", obj=IndexNode(text="deeper", index_id="x", obj=Document(text="doc"))),
    IndexNode(text="points", index_id="index-4", obj={"any": ["data", 1]}),
    Document(text="a document", metadata={"n": 1}),
    Document(id_="empty"),
    Document(text_resource=MediaResource(text="", mimetype="text/html")),
    ImageDocument(text="a picture", image=PNG),
    Node(text_resource=MediaResource(text="many", embeddings={"dense": [1.0]})),
    Node(
        image_resource=MediaResource(data=PNG),
        audio_resource=MediaResource(data=b"sound", mimetype="audio/wav"),
        video_resource=MediaResource(path=Path("not/there.mp4")),
    ),
    Node(image_resource=MediaResource(url="https://example.invalid/x.png")),
]


@pytest.mark.parametrize("node", NODES, ids=lambda node: f"{type(node).__name__}-{node.hash[:4]}")
def test_nodes_come_back_equal(vectors: SessionVectorStore, node: BaseNode) -> None:
    """A node of any class comes back as its own class and equal, from get_nodes and from a query (defect 32)."""
    node = node.model_copy(update={"embedding": [1.0, 0.5]})
    before = node.model_copy(deep=True)
    assert vectors.add([node]) == [node.node_id]
    assert node == before
    (got,) = vectors.get_nodes([node.node_id])
    (hit,) = vectors.query(VectorStoreQuery(query_embedding=[1.0, 0.5])).nodes or []
    for found in (got, hit):
        assert type(found) is type(node)
        assert found == bare(node)
        assert found.hash == node.hash
        assert found.get_content() == node.get_content()


class Chapter(TextNode):
    """A class of a program's own."""

    number: int = 0


class Strange(BaseNode):
    """A class that is neither kind of node."""

    @classmethod
    def get_type(cls) -> str:
        """No type LlamaIndex knows."""
        return "strange"

    def get_content(self, metadata_mode: MetadataMode = MetadataMode.ALL) -> str:
        """No text."""
        return ""

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.ALL) -> list[Any]:
        """No blocks."""
        return []

    def set_content(self, value: Any) -> None:
        """Nothing to set."""

    @property
    def hash(self) -> str:
        """Always the same."""
        return "strange"


def test_a_class_of_ones_own(vectors: SessionVectorStore) -> None:
    """A class that the program derived comes back as itself; where it is not defined, as what it was derived from."""

    class Passing(Chapter):
        pass

    nodes = [Chapter(id_="chapter", text="x", number=7, embedding=[1.0]), Passing(id_="passing", embedding=[1.0])]
    vectors.add(nodes)
    assert vectors.get_nodes() == [bare(node) for node in nodes]
    Passing.__qualname__ = "Forgotten"
    assert type(vectors.get_nodes(["passing"])[0]) is TextNode


def test_an_index_node_over_a_program(vectors: SessionVectorStore) -> None:
    """What only the running program has cannot be stored: refused by name, and nothing of the batch is stored."""
    bad = IndexNode(id_="bad", text="x", index_id="i", obj=EMBEDDING, embedding=[1.0])
    with pytest.raises(InvalidInput, match=r"'bad' refers to a WordEmbedding, .* objects="):
        vectors.add([TextNode(text="x", embedding=[1.0]), bad])
    assert vectors.get_nodes() == []


@pytest.mark.parametrize(
    "mode", [Mode.DEFAULT, Mode.SPARSE, Mode.TEXT_SEARCH, Mode.HYBRID, Mode.SEMANTIC_HYBRID, Mode.MMR]
)
async def test_every_mode(every: SessionVectorStore, mode: Mode) -> None:
    """Each mode that is offered finds the node asked for first, the same sync and async, ids and scores beside it."""
    every.add(facts())
    result = every.query(asked("a pool at the hotel", mode, top=3))
    assert await every.aquery(asked("a pool at the hotel", mode, top=3)) == result
    assert result.nodes is not None
    assert result.similarities is not None
    assert result.ids == [node.node_id for node in result.nodes]
    assert result.ids[0] == "hotel"
    assert len(result.similarities) == len(result.ids) <= 3


@pytest.mark.parametrize("mode", ["svm", "logistic_regression", "linear_regression", "dense"])
def test_modes_that_are_not_offered(store: SessionStore, mode: Any) -> None:
    """The others are refused by name, with those there are; a mode may be given as its text."""
    for collection in ("default", "messages"):
        vectors = SessionVectorStore(store, collection=collection)
        with pytest.raises(InvalidInput, match=rf"mode: {mode} is not offered.*; use one of default, sparse"):
            vectors.query(asked("x", mode))
    text_search: Any = "text_search"
    assert SessionVectorStore(store).query(asked("x", text_search)).ids == []


def test_how_many(vectors: SessionVectorStore) -> None:
    """similarity_top_k, and in their modes sparse_top_k and hybrid_top_k, say how many nodes come."""
    vectors.add(facts())
    assert len(vectors.query(asked("the", top=3)).ids or []) == 3
    assert len(vectors.query(asked("the", Mode.HYBRID, top=3, hybrid_top_k=2, sparse_top_k=1)).ids or []) == 2
    assert len(vectors.query(asked("the", Mode.SPARSE, top=3, hybrid_top_k=2, sparse_top_k=1)).ids or []) == 1
    assert len(vectors.query(asked("the", top=1_000)).ids or []) == 4
    with pytest.raises(InvalidInput, match="k: 0"):
        vectors.query(asked("the", top=0))


def test_alpha(vectors: SessionVectorStore) -> None:
    """Alpha weighs the two halves of a hybrid query: 1 is the default mode's ranking, 0 the words'."""
    vectors.add(facts())
    question = asked("rains mondays", Mode.HYBRID, top=4, alpha=1)
    assert vectors.query(question) == vectors.query(asked("rains mondays", top=4))
    by_words = vectors.query(asked("rains mondays", Mode.SPARSE, top=4))
    weighed = vectors.query(asked("rains mondays", Mode.HYBRID, top=len(by_words.ids or []), alpha=0))
    assert weighed == by_words


def test_mmr(vectors: SessionVectorStore) -> None:
    """mmr_threshold comes from the query or the keyword, and trades nearness for variety."""
    for name, vector in {"a": [1.0, 0.1], "a again": [1.0, 0.11], "b": [0.8, -0.6]}.items():
        vectors.add([TextNode(id_=name, text=name, embedding=vector)])
    query = VectorStoreQuery(query_embedding=[1.0, 0.0], mode=Mode.MMR, similarity_top_k=2)
    assert vectors.query(query).ids == ["a", "b"]
    assert vectors.query(query, mmr_threshold=1.0).ids == ["a", "a again"]
    query.mmr_threshold = 1.0
    assert vectors.query(query).ids == ["a", "a again"]


def test_cosine_is_that_of_the_simple_store(vectors: SessionVectorStore) -> None:
    """In the default mode, ids and similarities equal those of LlamaIndex's own store in memory."""
    simple = SimpleVectorStore()
    simple.add(facts())
    vectors.add(facts())
    for question in ("a hotel in Porto", "tiles on Monday", "it rains"):
        theirs, ours = simple.query(asked(question, top=4)), vectors.query(asked(question, top=4))
        assert ours.ids == theirs.ids
        assert ours.similarities == pytest.approx(theirs.similarities, abs=1e-6)


def test_restrictions(every: SessionVectorStore) -> None:
    """node_ids, doc_ids and filters each restrict, also together; empty lists restrict nothing."""
    every.add(facts())

    def found(**fields: Any) -> set[str]:
        return set(every.query(asked("the hotel", top=9, **fields)).ids or [])

    assert found(node_ids=[], doc_ids=[]) == set(FACTS)
    assert found(filters=MetadataFilters(filters=[])) == set(FACTS)
    none = MetadataFilters(filters=[], condition=FilterCondition.OR)
    assert found(filters=MetadataFilters(filters=[none])) == set(FACTS)
    assert found(node_ids=["rain", "hotel", "nowhere"]) == {"rain", "hotel"}
    assert found(doc_ids=["doc-1"]) == {"hotel", "rain"}
    assert found(filters=where("doc_id", "==", "doc-1")) == {"hotel", "rain"}
    assert found(doc_ids=["doc-1"], node_ids=["rain", "museum"], filters=where("place", ">", 0)) == {"rain"}
    assert found(filters=where("place", "==", 77)) == set()


def test_nested_filters(vectors: SessionVectorStore) -> None:
    """AND, OR and NOT nest; NOT matches what none of its filters match (defect 26)."""
    vectors.add(facts())

    def joined(condition: FilterCondition, *parts: MetadataFilters) -> MetadataFilters:
        return MetadataFilters(filters=list(parts), condition=condition)

    zero, one, two = (where("place", "==", place) for place in range(3))
    either = joined(FilterCondition.OR, zero, joined(FilterCondition.AND, two, where("place", ">", 1)))
    assert {node.node_id for node in vectors.get_nodes(filters=either)} == {"flight", "museum"}
    neither = joined(FilterCondition.NOT, zero, one)
    assert {node.node_id for node in vectors.get_nodes(filters=neither)} == {"museum", "rain"}
    assert {node.node_id for node in vectors.get_nodes(filters=joined(FilterCondition.NOT, neither))} == {
        "flight",
        "hotel",
    }
    deep = zero
    for _ in range(40):
        deep = joined(FilterCondition.AND, deep)
    with pytest.raises(InvalidInput, match="nested deeper"):
        vectors.get_nodes(filters=deep)


def test_a_filter_on_an_odd_key(vectors: SessionVectorStore) -> None:
    """Fields have no suffix and no path: a key is found under its own name, whatever it holds (defect 27)."""
    for key in ("a.b", "a.keyword", 'say "a"', "$.x", "ключ", "a[0]", "", " "):
        vectors.add([TextNode(id_="odd", text="x", metadata={key: "v", "a": {"b": "w"}}, embedding=[1.0])])
        assert [node.node_id for node in vectors.get_nodes(filters=where(key, "==", "v"))] == ["odd"]
        assert vectors.get_nodes(filters=where(key, "==", "w")) == []


def test_deleting(every: SessionVectorStore) -> None:
    """Nodes go by document, by id or by filter; no ids delete nothing, and nothing given is refused."""
    every.add(facts())
    every.delete("doc-nowhere")
    every.delete_nodes([])
    every.delete_nodes([], filters=where("place", ">=", 0))
    assert len(every.get_nodes()) == 4
    with pytest.raises(InvalidInput, match=r"clear\(\)"):
        every.delete_nodes()
    every.delete_nodes(["rain", "hotel"], filters=where("place", "==", 1))
    assert {node.node_id for node in every.get_nodes()} == {"flight", "museum", "rain"}
    every.delete_nodes(filters=where("place", "<", 1))
    every.delete("doc-1")
    assert [node.node_id for node in every.get_nodes()] == ["museum"]
    every.clear()
    assert every.get_nodes() == every.query(asked("the hotel")).nodes == []


async def test_deleting_from_a_loop(every: SessionVectorStore) -> None:
    """The async forms delete as the sync ones do; after aclear the store takes nodes at once (defect 33)."""
    await every.async_add(facts())
    await every.adelete_nodes(["rain"])
    await every.adelete_nodes(filters=where("place", "==", 0))
    await every.adelete("doc-1")
    assert [node.node_id for node in await every.aget_nodes()] == ["museum"]
    await every.aclear()
    await every.async_add([TextNode(id_="other size", text="x", embedding=[1.0, 2.0])])
    assert (await every.aquery(VectorStoreQuery(query_embedding=[1.0, 2.0]))).ids == ["other size"]


def test_more_than_ten_thousand(vectors: SessionVectorStore) -> None:
    """Nothing is capped: all nodes are read, found and filtered (defect 30 and 33)."""
    nodes = [TextNode(id_=f"n{i}", text="x", metadata={"odd": i % 2}, embedding=[1.0, i]) for i in range(10_500)]
    vectors.add(nodes)
    assert len(vectors.get_nodes()) == 10_500
    query = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=10_500)
    assert len(vectors.query(query).ids or []) == 10_500
    query.filters = where("odd", "==", 1)
    assert len(vectors.query(query).ids or []) == 5_250


def test_scores_mean_the_same_in_every_call(vectors: SessionVectorStore) -> None:
    """The score of a node does not depend on which others are asked for with it (defect 29)."""
    vectors.add(facts())
    for mode in (Mode.DEFAULT, Mode.SPARSE, Mode.HYBRID):
        whole = vectors.query(asked("the hotel in Lisbon", mode, top=4))
        scores = dict(zip(whole.ids or [], whole.similarities or [], strict=True))
        for name in whole.ids or []:
            alone = vectors.query(asked("the hotel in Lisbon", mode, top=1, node_ids=[name]))
            assert alone.similarities == [scores[name]]
        assert max(scores.values()) < 0.999


def test_no_option_is_passed_over(vectors: SessionVectorStore) -> None:
    """An option that would do nothing is refused: it may have been meant to keep others out (defect 30)."""
    vectors.add(facts())
    secret: dict[str, Any] = {"es_filter": [{"term": {"tenant": "mine"}}]}
    for call in (
        lambda: vectors.query(asked("x"), **secret),
        lambda: vectors.query(asked("x"), mmr_threshold=1.0),
        lambda: vectors.delete("doc-1", **secret),
        lambda: vectors.delete_nodes(["rain"], None, **secret),
        lambda: vectors.add(facts(), **secret),
    ):
        with pytest.raises(InvalidInput, match="is not an option here"):
            call()
    assert len(vectors.get_nodes()) == 4


def test_no_loop_is_patched_or_needed(every: SessionVectorStore) -> None:
    """Sync forms run inside a running loop, async forms in loops that come and go, in several threads (defect 28)."""

    async def inside(worker: int) -> list[str]:
        every.add([TextNode(id_=f"sync-{worker}", text="x", embedding=[1.0])])
        await every.async_add([TextNode(id_=f"async-{worker}", text="x", embedding=[1.0])])
        return every.query(VectorStoreQuery(query_embedding=[1.0], similarity_top_k=99)).ids or []

    with ThreadPoolExecutor(4) as workers:
        for worker, found in enumerate(workers.map(lambda worker: asyncio.run(inside(worker)), range(8))):
            assert {f"sync-{worker}", f"async-{worker}"} <= set(found)
    assert len(every.get_nodes()) == 16
    assert "nest_asyncio" not in json.dumps(sorted(module for module in __import__("sys").modules))


def test_who_sees_what(store: SessionStore, url: str) -> None:
    """Users, tenants and collections are apart in every method."""
    with SessionStore.open(url, index="off", tenant="other") as other:
        apart = [
            SessionVectorStore(store),
            SessionVectorStore(store, user_id="ana"),
            SessionVectorStore(store.for_user("ben")),
            SessionVectorStore(store, user_id="ana", collection="more"),
            SessionVectorStore(other, user_id="ana"),
        ]
        for place, vectors in enumerate(apart):
            vectors.add(facts(owner=place))
        for place, vectors in enumerate(apart):
            for mode in (Mode.DEFAULT, Mode.SPARSE, Mode.HYBRID, Mode.MMR):
                found = vectors.query(asked("the hotel", mode, top=99)).nodes or []
                assert {node.metadata["owner"] for node in found} == {place}
            assert {node.metadata["owner"] for node in vectors.get_nodes(list(FACTS))} == {place}
        apart[1].clear()
        apart[2].delete("doc-0")
        apart[2].delete_nodes(filters=where("place", ">=", 0))
        assert [len(vectors.get_nodes()) for vectors in apart] == [4, 0, 0, 4, 4]


def test_nothing_secret_is_told(tmp_path: Path) -> None:
    """Dumps, representations and pickles hold no address and no client (defect 31)."""
    url = f"sqlite:///{tmp_path / 'hunter2.db'}"
    vectors = SessionVectorStore(url=url, user_id="ana", collection="notes")
    told = [repr(vectors), str(vectors), vectors.to_json(), repr(vectors.model_dump()), vectors.model_dump_json()]
    told += [repr(vectors.to_dict()), repr(pickle.dumps(vectors)), repr(vectors.__getstate__())]
    assert not [text for text in told if "hunter2" in text or "sqlite" in text]
    assert vectors.to_dict() == {
        "user_id": "ana",
        "stores_text": True,
        "is_embedding_query": True,
        "collection": "notes",
        "class_name": "SessionVectorStore",
    }
    vectors.add(facts())
    again = SessionVectorStore.from_dict(vectors.to_dict(), store=vectors.client)
    assert len(again.get_nodes()) == 4
    with pytest.raises(InvalidInput, match="store: give either"):
        SessionVectorStore.from_dict(vectors.to_dict())
    vectors.close()


def test_what_is_opened_is_closed(url: str, store: SessionStore) -> None:
    """A store opened from url= is closed with the vector store; one handed over stays open."""
    mine, theirs = SessionVectorStore(url=url), SessionVectorStore(store)
    mine.close()
    theirs.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        mine.get_nodes()
    assert theirs.get_nodes() == []
    for arguments in ({}, {"store": store, "url": url}, {"url": "nonsense"}, {"store": store, "collection": ""}):
        with pytest.raises(InvalidInput):
            SessionVectorStore(**arguments)


@pytest.mark.parametrize(
    ("node", "named"),
    [
        (TextNode(id_="n", text="x"), "'n' has no vector; embed its text first"),
        (TextNode(id_="n", embedding=[1.0, 2.0]), "'n' has a vector of 2 numbers, 'flight' one of 64"),
        (TextNode(id_="n", embedding=[float("nan")] * 64), "NaN"),
        (TextNode(id_="n", metadata={"x": float("nan")}, embedding=[1.0] * 64), "NaN"),
        (TextNode(id_="", embedding=[1.0] * 64), "empty"),
        ({"text": "x"}, "expected nodes of LlamaIndex, got dict"),
        (Strange(embedding=[1.0] * 64), "Strange is no kind of TextNode or Node"),
        (
            TextNode(
                id_="n",
                embedding=[1.0] * 64,
                relationships={NodeRelationship.SOURCE: [RelatedNodeInfo(node_id="a"), RelatedNodeInfo(node_id="b")]},
            ),
            "'n' has several sources",
        ),
    ],
)
def test_bad_nodes(vectors: SessionVectorStore, node: Any, named: str) -> None:
    """A node that cannot be stored is refused with its reason, and nothing has changed."""
    vectors.add(facts())
    with pytest.raises(InvalidInput, match=re.escape(named)):
        vectors.add([*facts(changed=True), node])
    assert {"changed" in one.metadata for one in vectors.get_nodes()} == {False}


@pytest.mark.parametrize("given", [None, "abc", 5, TextNode(text="alone")])
async def test_what_is_no_list_of_nodes_is_named(vectors: SessionVectorStore, given: Any) -> None:
    """A single node, a string or nothing at all, sync and async alike."""
    with pytest.raises(InvalidInput, match="nodes: expected a list"):
        vectors.add(given)
    with pytest.raises(InvalidInput, match="nodes: expected a list"):
        await vectors.async_add(given)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        (VectorStoreQuery(), "query_embedding: the mode default needs it"),
        (VectorStoreQuery(mode=Mode.SPARSE), "query_str: the mode sparse needs it"),
        (VectorStoreQuery(mode=Mode.HYBRID, query_embedding=[1.0] * 64), "query_str: the mode hybrid needs it"),
        (VectorStoreQuery(mode=Mode.MMR, query_str="x"), "query_embedding: the mode mmr needs it"),
        (VectorStoreQuery(query_embedding=[1.0]), "1 numbers, but collection 'default' holds vectors of 64"),
        (asked("x", alpha=7.0, mode=Mode.HYBRID), "alpha: 7.0"),
        (asked("x", top=-3), "k: -3"),
        (asked("x", filters="place = 1"), "filters: expected MetadataFilters, got str"),
        (asked("x", node_ids="flight"), "node_ids: expected a list"),
        (asked("x", node_ids=[5]), "node_ids: expected a string"),
        (asked("x", doc_ids=5), "ref_doc_ids: expected a list"),
        (VectorStoreQuery(query_embedding=[10**400]), "vector: a vector is a list of numbers"),
        (None, "query: expected a VectorStoreQuery, got NoneType"),
        ("rain", "query: expected a VectorStoreQuery, got str"),
    ],
)
async def test_bad_queries(vectors: SessionVectorStore, query: VectorStoreQuery, named: str) -> None:
    """A query that cannot be answered is refused with its reason, sync and async."""
    vectors.add(facts())
    with pytest.raises(InvalidInput, match=re.escape(named)):
        vectors.query(query)
    with pytest.raises(InvalidInput, match=re.escape(named)):
        await vectors.aquery(query)


def test_collections_and_messages_are_apart(store: SessionStore) -> None:
    """Clearing and deleting nodes touches no message, and a session's end no node."""
    session = store.session("s")
    session.append(Message.user("kept"))
    vectors = SessionVectorStore(store)
    vectors.add(facts(session_id="s"))
    vectors.clear()
    assert [message.text for message in session.messages()] == ["kept"]
    vectors.add(facts(session_id="s"))
    session.delete()
    assert len(vectors.get_nodes(filters=where("session_id", "==", "s"))) == 4
