"""Collections of nodes: what is kept, what is found, and whose it is."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import Connection, Table, func, select

from agent_session_core.errors import InvalidInput
from agent_session_core.filters import And, Compare, Filter, matches
from agent_session_core.nodes import Node, NodeCollection, NodeHit
from agent_session_core.sql.engine import Database
from agent_session_core.sql.open import open_database
from agent_session_core.sql.tables import node_collections, nodes

TEXTS = ("We fly to Lisbon on Monday", "The hotel in Lisbon has a pool", "Tickets for the museum", "Rain all week")


@pytest.fixture(params=["sqlite://", "sqlite:///{}", "sqlite+aiosqlite:///{}"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of every kind."""
    opened = open_database(request.param.format(tmp_path / "nodes.db"))
    yield opened
    opened.close()


@pytest.fixture
def memory() -> Iterator[Database]:
    """A database in memory, where its kind makes no difference."""
    opened = open_database("sqlite://")
    yield opened
    opened.close()


def collection(database: Database, name: str = "docs", user_id: str | None = None, tenant: str = "t") -> NodeCollection:
    """A collection."""
    return NodeCollection(database, tenant, user_id, name)


def axis(*numbers: float) -> list[float]:
    """A vector of four numbers."""
    return [*numbers, *[0.0] * (4 - len(numbers))]


def some(count: int = 4, **metadata: Any) -> list[Node]:
    """Nodes n0, n1, ... each nearer to the first axis than the next."""
    return [
        Node(
            id=f"n{i}", text=TEXTS[i % 4], metadata={"number": i, **metadata}, ref_doc_id=f"d{i % 2}", vector=axis(1, i)
        )
        for i in range(count)
    ]


def ids(found: list[NodeHit]) -> list[str]:
    """The ids of hits, in their order."""
    return [hit.node.id for hit in found]


def test_nodes_come_back_as_they_were(database: Database) -> None:
    """Text, metadata, data and document come back equal, the oddest of texts included; the vector stays behind."""
    odd = {"a.b": "é\x00\ud800", "none": None, "list": [1, "x", None, {"deep": [True]}], "big": 2**70, "": 1.5}
    given = Node(
        id="n/ü 1", text="a\x00b\udfffc", metadata=odd, data={"any": ["\ud800", None]}, ref_doc_id="d", vector=[1]
    )
    plain = Node(id="p", vector=[0.0])
    assert collection(database).add([given, plain]) == ["n/ü 1", "p"]
    found, second = collection(database).get()
    assert (found.id, found.text, found.metadata, found.data) == (given.id, given.text, odd, given.data)
    assert (found.ref_doc_id, found.vector) == ("d", None)
    assert second == Node(id="p")


def test_an_id_is_there_once(database: Database) -> None:
    """A node with a stored node's id takes its place, also twice in one call; the ids of all are returned."""
    docs = collection(database)
    docs.add(some())
    assert docs.query(vector=axis(1), k=1)[0].node.text == TEXTS[0]
    again = [Node(id="n0", text="first", vector=axis(0, 0, 1)), Node(id="n0", text="last", vector=axis(0, 0, 1))]
    assert docs.add(again) == ["n0", "n0"]
    assert [node.id for node in docs.get()] == ["n1", "n2", "n3", "n0"]
    assert [hit.node.text for hit in docs.query(vector=axis(0, 0, 1), k=1)] == ["last"]
    assert docs.query(mode="words", text="fly monday") == []


def test_get_by_ids_and_filters(database: Database) -> None:
    """Nodes come in the order of the ids asked for; ids that are not there are left out; filters narrow further."""
    docs = collection(database)
    assert docs.get() == []
    docs.add(some())
    assert [node.id for node in docs.get(node_ids=["n3", "nowhere", "n0"])] == ["n3", "n0"]
    assert [node.id for node in docs.get(filters=Compare("number", ">=", 2))] == ["n2", "n3"]
    assert [node.id for node in docs.get(node_ids=["n3", "n0"], filters=Compare("number", "<", 2))] == ["n0"]
    assert docs.get(node_ids=[]) == []


def test_delete(database: Database) -> None:
    """Nodes are deleted by id, document or filter; with several given, those that meet all. Nothing given: refused."""
    docs = collection(database)
    assert docs.delete(node_ids=["n0"]) == 0
    docs.add(some(8))
    assert docs.delete(node_ids=["n0", "nowhere"]) == 1
    assert docs.delete(ref_doc_ids=["d1"], filters=Compare("number", "<", 4)) == 2
    assert docs.delete(node_ids=[]) == 0
    assert ids(docs.query(vector=axis(1), k=9)) == ["n2", "n4", "n5", "n6", "n7"]
    with pytest.raises(InvalidInput, match="clear"):
        docs.delete()
    assert docs.clear() == 5
    assert docs.get() == []
    assert docs.clear() == 0


def count(database: Database, table: Table) -> int:
    """How many rows a table has."""
    return int(database.read(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one()))


def test_clear_leaves_no_row_and_frees_the_dimension(database: Database) -> None:
    """After clearing, nothing of the collection is left, and vectors of another embedding may come."""
    docs = collection(database)
    docs.add(some())
    docs.query(vector=axis(1))
    docs.clear()
    assert count(database, nodes) == count(database, node_collections) == 0
    docs.add([Node(id="x", text="x", vector=[1, 0])])
    assert ids(docs.query(vector=[1, 0])) == ["x"]


def test_what_belongs_to_whom(database: Database) -> None:
    """Collections of the same name in other tenants, of other users and of none, never meet."""
    owners: list[tuple[str, str | None, str]] = [
        ("t", None, "docs"), ("t", "ana", "docs"), ("t", "ben", "docs"), ("u", "ana", "docs"), ("t", "ana", "Docs"),
    ]  # fmt: skip
    every = [NodeCollection(database, tenant, user, name) for tenant, user, name in owners]
    for place, docs in enumerate(every):
        docs.add([Node(id="same", text=f"lisbon {place}", metadata={"place": place}, vector=axis(1, place))])
    every[1].delete(filters=Compare("place", ">=", 0))
    every[2].clear()
    for place in (0, 3, 4):
        for found in (
            every[place].get(),
            every[place].get(node_ids=["same"]),
            [hit.node for hit in every[place].query(vector=axis(1), k=10)],
            [hit.node for hit in every[place].query(mode="words", text="lisbon", k=10)],
        ):
            assert [node.metadata["place"] for node in found] == [place]
    assert every[1].get() == every[2].get() == []


def test_cosine(memory: Database) -> None:
    """The score is the cosine, whatever the lengths: 1 for the same direction, -1 for the opposite, 0 for no vector."""
    docs = collection(memory)
    given = {"same": axis(1e-30), "half": axis(3e200, 3e200), "none": axis(0), "opposite": axis(-7)}
    docs.add([Node(id=name, vector=vector) for name, vector in given.items()])
    found = docs.query(vector=axis(0.5), k=9)
    assert ids(found) == ["same", "half", "none", "opposite"]
    assert [hit.score for hit in found] == pytest.approx([1, math.sqrt(0.5), 0, -1])


def test_words(memory: Database) -> None:
    """Nodes are found by their words' stems; those without any are not; rarer words and more of them count more."""
    docs = collection(memory)
    docs.add(some())
    assert ids(docs.query(mode="words", text="Lisbon hotels")) == ["n1", "n0"]
    assert ids(docs.query(mode="words", text="flies, Monday?")) == ["n0"]
    assert docs.query(mode="words", text="Porto") == docs.query(mode="words", text=" ?!") == []
    all_of_it, part_of_it = (docs.query(mode="words", text=text)[0].score for text in ("rain week", "rain zeppelin"))
    assert 0 < part_of_it < all_of_it < 1


def test_words_agree_with_the_formula(memory: Database) -> None:
    """The score of words is BM25, divided by the most the question's words could earn."""
    docs = collection(memory)
    texts = ["apple apple pear", "pear", "apple plum plum plum plum", "fig"]
    docs.add([Node(id=f"n{i}", text=text, vector=[1]) for i, text in enumerate(texts)])
    average = sum(len(text.split()) for text in texts) / len(texts)

    def idf(word: str) -> float:
        holding = sum(word in text.split() for text in texts)
        return math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))

    def share(text: str, question: list[str]) -> float:
        earned = 0.0
        for word in question:
            times = text.split().count(word)
            earned += idf(word) * times / (times + 1.2 * (1 - 0.75 + 0.75 * len(text.split()) / average))
        return earned / sum(map(idf, question))

    question = ["apple", "pear", "kiwi"]
    found = {hit.node.text: hit.score for hit in docs.query(mode="words", text=" ".join(question), k=9)}
    assert found == pytest.approx({text: share(text, question) for text in texts[:3]}, rel=1e-5)


def test_hybrid(memory: Database) -> None:
    """Hybrid is the weighted sum of the two scores, from words alone to the vector alone."""
    docs = collection(memory)
    docs.add(some())
    cosines = {hit.node.id: hit.score for hit in docs.query(vector=axis(1), k=9)}
    shares = {hit.node.id: hit.score for hit in docs.query(mode="words", text="rain week", k=9)}
    for alpha in (0, 0.3, 1):
        found = docs.query(mode="hybrid", vector=axis(1), text="rain week", alpha=alpha, k=9)
        wanted = {name: alpha * cosine + (1 - alpha) * shares.get(name, 0) for name, cosine in cosines.items()}
        assert {hit.node.id: hit.score for hit in found} == pytest.approx(wanted, abs=1e-6)
        assert ids(found) == sorted(wanted, key=lambda name: -wanted[name])
    assert ids(docs.query(mode="hybrid", vector=axis(1), text="rain week", alpha=0, k=1)) == ["n3"]


def test_varied(memory: Database) -> None:
    """With variety, what repeats a node already taken comes after what does not; scores stay cosines."""
    docs = collection(memory)
    given = {"first": axis(1, 0.1), "copy": axis(1, 0.11), "other": axis(0.8, -0.6), "far": axis(0, 0, 1)}
    docs.add([Node(id=name, vector=vector) for name, vector in given.items()])
    assert ids(docs.query(mode="varied", vector=axis(1), k=3, threshold=0.5)) == ["first", "other", "far"]
    assert ids(docs.query(mode="varied", vector=axis(1), k=9, threshold=1)) == ids(docs.query(vector=axis(1), k=9))
    by_id = {hit.node.id: hit.score for hit in docs.query(vector=axis(1), k=9)}
    assert {hit.node.id: hit.score for hit in docs.query(mode="varied", vector=axis(1), k=9, threshold=0)} == by_id


def test_filters_choose_and_never_weigh(memory: Database) -> None:
    """Whatever is filtered, the answer is the unfiltered ranking with the rest struck out, scores and all."""
    docs = collection(memory)
    chance = random.Random(7)
    words = ["lisbon", "hotel", "rain", "museum", "ticket", "flight"]
    docs.add([
        Node(id=f"n{i}", text=" ".join(chance.choices(words, k=5)), metadata={"n": i % 5, "tags": words[: i % 4]},
             ref_doc_id=f"d{i % 7}", vector=[chance.gauss(0, 1) for _ in range(8)])
        for i in range(300)
    ])  # fmt: skip

    def documents(node: Node) -> dict[str, Any]:
        return dict.fromkeys(("doc_id", "ref_doc_id"), node.ref_doc_id)

    conditions: list[Filter] = [
        Compare("n", "==", 3), Compare("n", "in", [1, 2]), Compare("tags", "contains", "hotel"),
        And((Compare("n", ">", 1), Compare("tags", "is_empty"))), Compare("n", "==", "none of them"),
        Compare("doc_id", "==", "d3"), Compare("ref_doc_id", "in", ["d1", "d2"]),
    ]  # fmt: skip
    for condition in conditions:
        for mode in ("vector", "words", "hybrid"):
            asked: dict[str, Any] = {"mode": mode, "vector": [1, *[0] * 7], "text": "rain in lisbon"}
            whole = docs.query(**asked, k=300)
            kept = [hit for hit in whole if matches(condition, {**documents(hit.node), **hit.node.metadata})]
            assert docs.query(**asked, filters=condition, k=5) == kept[:5]
    few = docs.query(vector=[1, *[0] * 7], node_ids=["n7", "n8", "nowhere"], ref_doc_ids=["d1"], k=5)
    assert ids(few) == ["n8"]


def test_a_documents_id_in_filters(memory: Database) -> None:
    """A filter finds the node's document by three names; metadata of the node's own under such a name comes first."""
    docs = collection(memory)
    docs.add([
        Node(id="a", ref_doc_id="d", vector=[1]),
        Node(id="b", ref_doc_id="d", metadata={"doc_id": "own"}, vector=[1]),
        Node(id="c", vector=[1]),
    ])  # fmt: skip
    for key in ("document_id", "ref_doc_id"):
        assert [node.id for node in docs.get(filters=Compare(key, "==", "d"))] == ["a", "b"]
    assert [node.id for node in docs.get(filters=Compare("doc_id", "!=", "d"))] == ["b", "c"]
    assert [node.id for node in docs.get(filters=Compare("doc_id", "is_empty"))] == ["c"]
    assert docs.get()[0].metadata == {}


def test_queries_follow_every_change(memory: Database) -> None:
    """Two handles, one writing: the other's answers always equal those of a fresh one, scores and all."""
    chance = random.Random(3)
    writing, reading = collection(memory), collection(memory)
    for step in range(60):
        change = chance.randrange(10)
        if change == 0:
            writing.clear()
        elif change <= 3:
            writing.delete(node_ids=[f"n{chance.randrange(12)}" for _ in range(3)])
        else:
            writing.add([Node(id=f"n{chance.randrange(12)}", text=chance.choice(TEXTS), vector=axis(1, step % 9))])
        for mode in ("vector", "words"):
            asked: dict[str, Any] = {"mode": mode, "vector": axis(1), "text": "rain in lisbon", "k": 20}
            assert reading.query(**asked) == collection(memory).query(**asked)


class Interrupted:
    """A database whose next read goes on only when something else was done, after its own moment was settled."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.meanwhile: Callable[[], object] | None = None

    def read(self, work: Callable[[Connection], Any], *, snapshot: bool = False) -> Any:
        """Settle what is seen, let the other work be done in another thread, then go on."""
        meanwhile, self.meanwhile = self.meanwhile, None

        def interrupted(conn: Connection) -> Any:
            conn.execute(select(func.count()).select_from(nodes))
            if meanwhile is not None:
                with ThreadPoolExecutor(1) as other:
                    other.submit(meanwhile).result()
            return work(conn)

        return self._database.read(interrupted, snapshot=snapshot)


@pytest.mark.parametrize("change", ["add", "delete", "clear"])
def test_a_query_of_an_earlier_moment_answers_as_of_then(tmp_path: Path, change: str) -> None:
    """What other threads store and ask meanwhile is not in an older snapshot: no error, and nothing of the later."""
    database = open_database(f"sqlite:///{tmp_path / 'nodes.db'}")
    pausing = Interrupted(database)
    writing, reading = collection(database), collection(cast("Database", pausing))
    writing.add(some())
    asked: dict[str, Any] = {"mode": "hybrid", "vector": axis(1), "text": "rain in lisbon", "k": 20}
    before = reading.query(**asked)

    def meanwhile() -> None:
        if change == "delete":
            writing.delete(node_ids=["n1"])
        if change == "clear":
            writing.clear()
        writing.add([Node(id=f"later{i}", text="rain", ref_doc_id="d0", vector=axis(1)) for i in range(3)])
        assert "later0" in ids(reading.query(**asked))

    pausing.meanwhile = meanwhile
    assert reading.query(**asked) == before
    assert reading.query(**asked) == collection(database).query(**asked)
    database.close()


def test_as_many_as_asked_for(memory: Database) -> None:
    """Thousands of nodes, thousands of hits: nothing is capped, and equal scores keep the order of storing."""
    docs = collection(memory)
    docs.add([Node(id=f"n{i}", vector=[1, i // 100]) for i in range(12_000)])
    assert len(docs.get()) == 12_000
    assert ids(docs.query(vector=[1, 0], k=11_000)) == [f"n{i}" for i in range(11_000)]
    assert ids(docs.query(vector=[1, 0], k=130)) == [f"n{i}" for i in range(130)]
    assert docs.delete(node_ids=[f"n{i}" for i in range(11_999)]) == 11_999


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (Node(id="x", text="x"), "'x' has no vector"),
        (Node(id="x", vector=[]), "shape"),
        (Node(id="x", vector=[[1, 2]]), "shape"),
        (Node(id="x", vector="abc"), "a list of numbers"),
        (Node(id="x", vector=[10**400, 0, 0, 0]), "a list of numbers"),
        (Node(id="x", vector=[1, float("nan"), 0, 0]), "NaN"),
        (Node(id="x", ref_doc_id=5, vector=axis(1)), "ref_doc_id: expected a string, got 5"),  # type: ignore[arg-type]  # as above
        (None, "expected a Node, got NoneType"),
        (Node(id="x", vector=[1.0, 2.0]), "one of 4"),
        (Node(id="", vector=axis(1)), "empty string"),
        (Node(id="x" * 513, vector=axis(1)), "513"),
        (Node(id="x", text=3, vector=axis(1)), "expected a string"),  # type: ignore[arg-type]  # as above
        (Node(id="x", metadata={"n": float("inf")}, vector=axis(1)), "infinity"),
        (Node(id="x", metadata={"n": object()}, vector=axis(1)), "not JSON"),
        (Node(id="x", metadata={"n": "x" * 2**21}, vector=axis(1)), "within 1,048,576"),
        (Node(id="x", metadata=["n"], vector=axis(1)), "a mapping"),  # type: ignore[arg-type]  # as above
        (Node(id="x", text="x" * (2**25 + 1), vector=axis(1)), "within 33,554,432"),
    ],
)
def test_a_bad_node_is_refused_with_its_batch(memory: Database, bad: Node, named: str) -> None:
    """One node that cannot be stored: the error names it and why, and none of the batch is stored."""
    docs = collection(memory)
    with pytest.raises(InvalidInput, match="nodes: ") as refused:
        docs.add([*some(), bad])
    assert named in str(refused.value)
    assert len(str(refused.value)) < 300
    assert docs.get() == []


@pytest.mark.parametrize("given", ["abc", None, 5, Node(id="x", vector=[1])])
async def test_what_is_no_list_of_nodes_is_refused(memory: Database, given: Any) -> None:
    """A single node, a string or nothing at all is named, sync and async alike; an empty list stores nothing."""
    docs = collection(memory)
    with pytest.raises(InvalidInput, match="nodes: expected a list of nodes"):
        docs.add(given)
    with pytest.raises(InvalidInput, match="nodes: expected a list of nodes"):
        await docs.aadd(given)
    assert (docs.add([]), await docs.aadd([]), docs.get()) == ([], [], [])


def test_one_embedding_for_a_collection(memory: Database) -> None:
    """A vector of another dimension is refused, stored or asked with, and the error says what to do."""
    docs = collection(memory)
    docs.add(some())
    for wrong in (lambda: docs.add([Node(id="x", vector=[1, 2])]), lambda: docs.query(vector=[1, 2])):
        with pytest.raises(InvalidInput, match=r"2 numbers, but collection 'docs' holds vectors of 4; .* clear\(\)"):
            wrong()
    assert len(docs.get()) == 4


def test_one_analyzer_for_a_collection(memory: Database) -> None:
    """Words are never compared with stems: a store with another analyzer is told so; vectors work all the same."""
    collection(memory).add(some())
    other = NodeCollection(memory, "t", None, "docs", analyzer="none")
    for wrong in (lambda: other.add(some()), lambda: other.query(mode="words", text="rain")):
        with pytest.raises(InvalidInput, match="none, but collection 'docs' was filled with english"):
            wrong()
    assert ids(other.query(vector=axis(1), k=1)) == ["n0"]


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"mode": "svm", "vector": axis(1)}, "mode: 'svm' is not known"),
        ({}, "vector: the mode vector needs"),
        ({"mode": "varied"}, "vector: the mode varied needs"),
        ({"mode": "hybrid", "vector": axis(1)}, "text: the mode hybrid needs"),
        ({"mode": "words", "vector": axis(1)}, "text: the mode words needs"),
        ({"mode": "words", "text": 3}, "text: expected a string"),
        ({"vector": axis(1), "k": 0}, "k: 0 is out of range"),
        ({"vector": axis(1), "k": -1}, "k: -1 is out of range"),
        ({"vector": axis(1), "k": 2.5}, "k: expected a whole number"),
        ({"vector": axis(1), "alpha": 1.5}, "alpha: 1.5"),
        ({"vector": axis(1), "alpha": float("nan")}, "alpha: nan"),
        ({"vector": axis(1), "threshold": "x"}, "threshold: 'x'"),
        ({"vector": [float("inf")] * 4}, "NaN or infinity"),
        ({"vector": axis(1), "node_ids": "n1"}, "node_ids: expected a list"),
        ({"vector": axis(1), "ref_doc_ids": "d1"}, "ref_doc_ids: expected a list"),
        ({"vector": axis(1), "ref_doc_ids": 5}, "ref_doc_ids: expected a list"),
        ({"vector": [10**400]}, "vector: a vector is a list of numbers"),
        ({"vector": axis(1), "ref_doc_ids": [3]}, "ref_doc_ids: expected strings"),
        ({"vector": axis(1), "filters": "number = 1"}, "is no condition"),
    ],
)
def test_a_bad_query_is_refused(memory: Database, asked: dict[str, Any], named: str) -> None:
    """What cannot be asked is refused by name, also while the collection is empty."""
    docs = collection(memory)
    with pytest.raises(InvalidInput, match=named):
        docs.query(**asked)


@pytest.mark.parametrize("name", ["", "x" * 513, "a\x00b", None, 3])
def test_a_bad_name_is_refused(memory: Database, name: Any) -> None:
    """A collection's name is an id like any other."""
    with pytest.raises(InvalidInput, match="collection: "):
        collection(memory, name)


async def test_the_async_forms(database: Database) -> None:
    """Each async form does what its sync form does."""
    docs = collection(database)
    assert await docs.aadd([]) == []
    assert await docs.aadd(some()) == ["n0", "n1", "n2", "n3"]
    assert await docs.aget(node_ids=["n2"]) == docs.get(node_ids=["n2"])
    insensitive = Compare("name", "text_match_insensitive", "x")
    assert await docs.aget(filters=insensitive) == []
    for asked in (
        {"vector": axis(1)},
        {"mode": "hybrid", "vector": axis(1), "text": "rain", "filters": Compare("number", ">", 1)},
    ):
        assert await docs.aquery(**asked) == docs.query(**asked)
    assert await docs.adelete(ref_doc_ids=["d0"]) == 2
    with pytest.raises(InvalidInput, match="clear"):
        await docs.adelete()
    assert await docs.aclear() == 2
    assert docs.get() == []


def test_any_loop_and_thread(database: Database) -> None:
    """One handle serves threads and event loops at once, a fresh loop for each call included."""
    docs = collection(database)

    def work(worker: int) -> None:
        for turn in range(5):
            asyncio.run(docs.aadd([Node(id=f"{worker}-{turn}", text="rain", vector=axis(1, worker))]))
            docs.add([Node(id="shared", text="rain", vector=axis(1, worker))])
            found = asyncio.run(docs.aquery(mode="words", text="rain", k=100))
            assert {f"{worker}-{t}" for t in range(turn + 1)} <= set(ids(found))

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(work, range(4)))
    assert len(docs.get()) == 21
    assert len(docs.query(vector=axis(1), k=100)) == 21


def test_sync_methods_inside_a_running_loop(database: Database) -> None:
    """The sync forms use no event loop, so they work where one is running."""

    async def inside() -> list[str]:
        docs = collection(database)
        docs.add(some())
        return ids(docs.query(vector=axis(1), k=2))

    assert asyncio.run(inside()) == ["n0", "n1"]


@pytest.mark.parametrize("vector", [np.array([1, 0]), np.array([1, 0], np.float16), (1, 0), range(1, 3)])
def test_vectors_of_any_kind(memory: Database, vector: Any) -> None:
    """Lists, tuples and arrays of any number type are vectors."""
    docs = collection(memory)
    docs.add([Node(id="x", vector=vector)])
    assert docs.query(vector=vector)[0].score == pytest.approx(1)


def test_case_folding_on_a_connection_in_use(database: Database) -> None:
    """Filters that need a function of ours work on every connection, again and again."""
    docs = collection(database)
    docs.add(some(name="ÅRHUS"))
    wanted = Compare("name", "text_match_insensitive", "århus")
    checks: list[Callable[[], int]] = [
        lambda: len(docs.get(filters=wanted)), lambda: len(docs.query(vector=axis(1), filters=wanted)),
    ]  # fmt: skip
    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(lambda turn: checks[turn % 2](), range(40))) == [4] * 40
    assert docs.delete(filters=wanted) == 4
