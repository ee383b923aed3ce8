"""The vector store's filters beside LlamaIndex's own, on metadata of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.types import VectorStoreQuery as Query
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from agent_session_core import InvalidInput, SessionStore
from llamaindex_sessions import SessionVectorStore

VALUES: list[Any] = [
    None, "", "a", "A", "abc", "10", "2024-05-01", "2024-05-01T10:00:00+00:00", "2025-01-01", "100%", "a_c", "'; --",
    0, 1, -1, 10, 2**53, 0.5, 1.0, 1e300, True, False,
    [], ["a"], ["a", "b"], ["abc"], [1, 2], [1.0, "1"], [None], [True], [["a"]], {}, {"a": 1}, {"b": {"a": 1}},
]  # fmt: skip
"""What metadata may hold."""
LISTS = ("in", "nin", "any", "all")
ASKED: dict[str, list[Any]] = {
    operator.value: (
        [None] if operator == FilterOperator.IS_EMPTY
        else ["", "a", "B", "abc", "%", "_", "'; --"] if operator.value.startswith("text_match")
        else [[], ["a"], ["a", "b"], ["1", ""], [1], [1, 2], [1.0], [0.5, 1e300]] if operator.value in LISTS
        else ["", "a", "10", "2024-05-01T10:00:00+00:00", 0, 1, 2**53, 0.5, 1.0]
    )
    for operator in FilterOperator
}  # fmt: skip
"""What each operator is asked with."""


@pytest.fixture(scope="module")
def filled() -> Iterator[SessionVectorStore]:
    """A store with a node for every value, and one without the key."""
    with SessionStore.open("sqlite://", index="off") as store:
        vectors = SessionVectorStore(store)
        vectors.add([node(place, {"key": value, "place": place}) for place, value in enumerate(VALUES)])
        vectors.add([node(len(VALUES), {"other": 1})])
        yield vectors


def node(place: int, metadata: dict[str, Any]) -> TextNode:
    """A node with this metadata."""
    return TextNode(id_=str(place), text=f"node {place}", metadata=metadata, embedding=[1.0, float(place)])


def theirs(filters: MetadataFilters, metadata: dict[str, Any]) -> bool:
    """What LlamaIndex says of one node, where it can; a comparison that it cannot make does not match."""
    try:
        return bool(build_metadata_filter_fn(lambda _: metadata, filters)("node"))
    except TypeError:
        return False


@pytest.mark.parametrize("operator", list(FilterOperator), ids=lambda operator: operator.value)
def test_each_operator_on_each_value(filled: SessionVectorStore, operator: FilterOperator) -> None:
    """Every operator, asked with every kind of value, chooses the nodes that LlamaIndex chooses."""
    held: list[dict[str, Any]] = [{"key": value} for value in VALUES] + [{"other": 1}]
    for value in ASKED[operator.value]:
        filters = MetadataFilters(filters=[MetadataFilter(key="key", value=value, operator=operator)])
        wanted = {str(place) for place, metadata in enumerate(held) if theirs(filters, metadata)}
        assert {found.node_id for found in filled.get_nodes(filters=filters)} == wanted, value
        query = Query(query_embedding=[1.0, 0.0], similarity_top_k=99, filters=filters)
        assert set(filled.query(query).ids or []) == wanted, value


scalars = st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]) | st.text("abAB%_é", max_size=3)
metadatas = st.dictionaries(
    st.sampled_from(["a", "b.c", "d e", 'f"']),
    scalars | st.none() | st.booleans() | st.lists(scalars, max_size=3),
    max_size=4,
)


@st.composite
def comparisons(draw: st.DrawFn) -> MetadataFilter:
    """A filter that LlamaIndex can evaluate, but for values of other types."""
    operator = draw(st.sampled_from(list(FilterOperator)))
    one = draw(scalars)
    value: Any = one
    if operator.value in LISTS:
        value = draw(st.lists(st.integers(-3, 3), max_size=3) | st.lists(st.text("abAB", max_size=2), max_size=3))
    elif operator.value.startswith("text_match"):
        value = str(one)
    return MetadataFilter(key=draw(st.sampled_from(["a", "b.c", "d e", 'f"'])), operator=operator, value=value)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(metadatas, min_size=1, max_size=6),
    st.lists(comparisons(), min_size=1, max_size=3),
    st.sampled_from(list(FilterCondition)),
)
def test_any_filter_on_any_metadata(
    filled: SessionVectorStore, held: list[dict[str, Any]], parts: list[MetadataFilter], condition: FilterCondition
) -> None:
    """Any filters joined in any way choose what LlamaIndex chooses, from get_nodes and from a query."""
    vectors = SessionVectorStore(filled.client, collection="any")
    vectors.clear()
    vectors.add([node(place, metadata) for place, metadata in enumerate(held)])

    def chosen(metadata: dict[str, Any]) -> bool:
        each = [theirs(MetadataFilters(filters=[part]), metadata) for part in parts]
        return {FilterCondition.AND: all(each), FilterCondition.OR: any(each), FilterCondition.NOT: not any(each)}[
            condition
        ]

    filters = MetadataFilters(filters=list(parts), condition=condition)
    wanted = {str(place) for place, metadata in enumerate(held) if chosen(metadata)}
    assert {found.node_id for found in vectors.get_nodes(filters=filters)} == wanted
    query = Query(query_embedding=[1.0, 0.0], similarity_top_k=99, filters=filters)
    assert set(vectors.query(query).ids or []) == wanted


@pytest.mark.parametrize("operator", LISTS)
def test_a_list_is_a_list(filled: SessionVectorStore, operator: str) -> None:
    """A text in place of a list is refused: LlamaIndex would look for its letters."""
    filters = MetadataFilters(filters=[MetadataFilter(key="key", value="abc", operator=FilterOperator(operator))])
    with pytest.raises(InvalidInput, match=rf"{operator} on 'key' takes a list, got 'abc'; write \['abc'\]"):
        filled.get_nodes(filters=filters)


def test_hostile_filters_delete_nothing_else(filled: SessionVectorStore) -> None:
    """Keys and values that would break out of a statement are plain data in deleting too."""
    vectors = SessionVectorStore(filled.client, collection="attacked")
    attacks = ["' OR 1=1; --", '" OR ""="', "%", "_", "*", "$.key", "key') OR ('1'='1", "\\", "\n", "a\u202e"]
    vectors.add([node(place, {attack: attack}) for place, attack in enumerate(attacks)])
    vectors.add([node(99, {"key": "value"})])
    for place, attack in enumerate(attacks):
        filters = MetadataFilters(filters=[MetadataFilter(key=attack, value=attack)])
        assert [found.node_id for found in vectors.get_nodes(filters=filters)] == [str(place)]
        vectors.delete_nodes(filters=filters)
        assert len(vectors.get_nodes()) == len(attacks) - place
    assert [found.node_id for found in vectors.get_nodes()] == ["99"]
    assert len(filled.get_nodes()) == len(VALUES) + 1
