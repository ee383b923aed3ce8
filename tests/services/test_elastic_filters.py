"""Conditions on metadata mean on Elasticsearch what they mean in plain Python, as they do in SQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent_session_core import ElasticsearchIndex, Message, SessionStore
from agent_session_core.filters import OPERATORS, And, Compare, Filter, Not, Or, matches
from agent_session_core.search.elastic.mapping import definition
from agent_session_core.search.elastic.metadata import FIELD, LONGEST, query_of, tokens_of
from tests.services.conftest import Open
from tests.unit import test_filters as plain

Metadata = dict[str, Any]
Chosen = Callable[[Sequence[Filter], Sequence[Metadata]], list[tuple[set[int], set[int]]]]


@pytest.fixture(scope="module")
def chosen(server: str, client: Elasticsearch) -> Iterator[Chosen]:
    """What finds the places of the metadata that each condition chooses: widely, and narrowly."""
    index = f"filters-{uuid.uuid4()}"
    client.indices.create(index=index, **definition(ElasticsearchIndex(server), 1, "english"))

    def choose(conditions: Sequence[Filter], held: Sequence[Metadata]) -> list[tuple[set[int], set[int]]]:
        batch = uuid.uuid4().hex
        lines: list[Any] = []
        for place, metadata in enumerate(held):
            document = {"tenant": batch, "seq": place, FIELD: tokens_of(json.loads(json.dumps(metadata)))}
            lines += [{"index": {}}, document]
        assert not client.bulk(index=index, operations=lines, refresh=True)["errors"]
        searches: list[Any] = []
        for condition in conditions:
            for wide in (True, False):
                filters = [{"term": {"tenant": batch}}, query_of(condition, wide=wide)]
                searches += [{"index": index}, {"query": {"bool": {"filter": filters}}, "size": 1_000}]
        answers = client.msearch(searches=searches)["responses"]
        assert not [answer["error"] for answer in answers if "error" in answer]
        places = [{hit["_source"]["seq"] for hit in answer["hits"]["hits"]} for answer in answers]
        return list(zip(places[::2], places[1::2], strict=True))

    yield choose
    client.indices.delete(index=index)


def wanted(condition: Filter, held: Sequence[Metadata]) -> set[int]:
    """What plain Python chooses."""
    return {place for place, metadata in enumerate(held) if matches(condition, metadata)}


def check(chosen: Chosen, conditions: Sequence[Filter], held: Sequence[Metadata]) -> None:
    """Nothing here is too long for a token: wide and narrow are both exact."""
    for condition, (wide, narrow) in zip(conditions, chosen(conditions, held), strict=True):
        assert wide == narrow == wanted(condition, held), condition


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(plain.conditions, min_size=20, max_size=40), st.lists(plain.metadatas, min_size=10, max_size=40), st.data()
)
def test_any_condition(chosen: Chosen, conditions: list[Filter], held: list[Metadata], data: st.DataObject) -> None:
    """Any condition on any metadata is answered exactly as by plain Python, also where it holds the value asked for."""
    for condition in conditions:
        for compare in plain_compares(condition):
            value = list(compare.value) if isinstance(compare.value, tuple) else compare.value
            near = data.draw(st.sampled_from([value, [value], [value, None], str(value), {str(value): 1}]))
            held.append({compare.key: near})
    check(chosen, conditions, held[:400])


def plain_compares(condition: Filter) -> Iterator[Compare]:
    """The first comparison of a condition."""
    if isinstance(condition, Compare):
        yield condition
    elif isinstance(condition, Not):
        yield from plain_compares(condition.part)
    elif condition.parts:
        yield from plain_compares(condition.parts[0])


def test_every_operator_on_the_usual_values(chosen: Chosen) -> None:
    """Each operator, with each of the values that the tests of SQL use, on all of the usual values."""
    usual: list[Any] = [None, 1, 1.0, "1", "a", "A", "abc", "", 2, True, False, [], ["a", 1], ["a", True], [1, None]]
    usual += [{"a": 2}, {}, 0, -0.0, -1, -1.5, 2**53, 2**53 + 1, float(2**53), 1e300, 5e-324, "2024-05-01T10:00:00Z"]
    values: dict[str, list[Any]] = {
        "in": [[1, "a", None], []], "nin": [[1, "a"]], "any": [["a", None], []], "all": [["a", 1], []],
        "contains": ["a", None, 1, ""], "text_match": ["b", ""], "text_match_insensitive": ["A"], "is_empty": [None],
    }  # fmt: skip
    scalars = [1, "a", True, -1, 2**53 + 1, 1e300, "2024"]
    conditions: list[Filter] = []
    for operator in OPERATORS:
        given = values.get(operator, [*scalars, *([["a", 1], [], None] if operator in ("==", "!=") else [])])
        conditions += [Compare("key", operator, value) for value in given]
    conditions += [Not(condition) for condition in conditions]
    check(chosen, conditions, [{}, *({"key": value} for value in usual)])


def test_hostile_text_is_plain_data(chosen: Chosen) -> None:
    """Whatever a key or value holds, it finds what holds the same, and nothing else."""
    held: list[Metadata] = [{key: attack} for attack in plain.ATTACKS for key in (attack, "key")]
    held += [{"key": "other"}, {}, {"key": "a*b", "a*b": "?"}]
    conditions: list[Filter] = [
        Compare(key, operator, [attack] if operator in ("in", "any") else attack)
        for attack in plain.ATTACKS
        for key in (attack, "key")
        for operator in ("==", "text_match", "text_match_insensitive", "in", "any", "contains", ">=")
    ]
    for condition, (wide, narrow) in zip(conditions, chosen(conditions, held), strict=True):
        assert narrow <= wanted(condition, held) <= wide, condition
        if "x" * 100 not in str(condition):
            assert narrow == wide


def test_joined_conditions(chosen: Chosen) -> None:
    """Conditions nest; joining none with And restricts nothing, with Or everything."""
    one, two = Compare("a", "==", 1), Compare("b", "==", 2)
    conditions: list[Filter] = [Or((And((one, Not(two))), two)), And((one, two)), Not(Or((one, two))), And(()), Or(())]
    check(chosen, conditions, [{"a": 1}, {"b": 2}, {"a": 1, "b": 2}, {"a": 3}, {}])


def test_what_json_can_say_and_text_cannot(chosen: Chosen) -> None:
    """A lone surrogate or NUL in the metadata spoils no filter on it, nor on what stands beside it."""
    odd = {"a": "X \ud800 \x00", "b": "Y", "\x00": 1, "\ud800": 2}
    conditions: list[Filter] = [
        Compare("a", "text_match_insensitive", "x "), Compare("b", "text_match_insensitive", "y"),
        Compare("a", "text_match", "X"), Compare("a", "!=", "X"),
    ]  # fmt: skip
    check(chosen, conditions, [odd])


def test_what_is_too_long_for_a_token(chosen: Chosen) -> None:
    """What the index cannot decide is let through by the wide query and not by the narrow one; equality stays exact."""
    long = "needle " + "x" * LONGEST
    held: list[Metadata] = [{"a": long + "a"}, {"a": long + "b"}, {"a": "needle"}, {"a": [long]}, {"a": 10**3_000}, {}]
    conditions: list[Filter] = [
        Compare("a", "==", long + "a"), Compare("a", "in", [long + "b"]), Compare("a", "contains", long),
        Compare("a", "text_match", "xb"), Compare("a", "text_match", "needle"), Compare("a", "text_match", long),
        Compare("a", "text_match_insensitive", "NEEDLE"), Compare("a", ">", long), Compare("a", ">", 10**2_999),
        Compare("a", "any", [f"needle{number}" for number in range(60)] + ["needle"]),
        Compare("a", "all", ["n", "e", *["d"] * 60]), Not(Compare("a", "text_match", "xa")),
    ]  # fmt: skip
    answers = chosen(conditions, held)
    for condition, (wide, narrow) in zip(conditions, answers, strict=True):
        assert narrow <= wanted(condition, held) <= wide, condition
    for condition, (wide, narrow) in zip(conditions[:2], answers[:2], strict=True):
        assert narrow == wanted(condition, held) == wide, condition


def test_as_large_as_allowed(chosen: Chosen) -> None:
    """A filter at its limits is answered."""
    wide = And(tuple(Compare(f"k{number}", "!=", 1) for number in range(199)))
    deep: Filter = Compare("a", "==", 1)
    for _ in range(15):
        deep = Not(deep)
    check(chosen, [wide, deep, Compare("a", "in", [*range(9_999), "x"])], [{}, {"a": 1}, {"a": "x"}])


def test_a_search_decides_by_the_message_itself(shared: Open) -> None:
    """What the index only lets through is left out when the message is read: a filtered search is exact."""
    store: SessionStore = shared()
    long = "x" * LONGEST
    store.session("s").append(
        Message.user("a red apple", metadata={"note": long + " keep"}),
        Message.user("a green apple", metadata={"note": long + " drop"}),
    )
    (hit,) = store.search("apple", metadata=Compare("note", "text_match", "keep"))
    assert hit.message.text == "a red apple"
    (hit,) = store.search("apple", metadata=Not(Compare("note", "text_match", "keep")))
    assert hit.message.text == "a green apple"


def test_very_many_pieces_are_not_looked_for() -> None:
    """What would have the server go through its tokens thousands of times is left to the database."""
    each = [Compare(f"key {n}", "any", tuple(f"piece {m} of {n}" for m in range(50))) for n in range(190)]
    assert "wildcard" not in json.dumps(query_of(Or(tuple(each))))
    assert json.dumps(query_of(each[0])).count("wildcard") == 50


LONG = "https://example.com/" + "p" * 900 + "/"


@pytest.mark.parametrize(
    "condition",
    [
        Compare("url", "text_match", LONG[-200:] + "0577"),
        Compare("url", "text_match_insensitive", (LONG[-200:] + "0577").upper()),
        Compare("url", "contains", LONG[-200:] + "0577"),
        Compare("url", "any", (LONG[-200:] + "0577", "no such")),
        Compare("url", ">=", LONG + "0598"),
        Or(tuple(Compare("url", "any", tuple(f"{LONG[-90:]}{n:04}" for n in range(m, m + 40))) for m in (560, 1_000))),
    ],
    ids=str,
)
def test_what_the_index_can_tell_only_roughly(shared: Open, tmp_path: Path, condition: Filter) -> None:
    """Long pieces, long bounds and very many pieces choose what they choose in a database, however many come near."""
    said = [Message.user(f"report {n} about a note", metadata={"url": f"{LONG}{n:04}"}) for n in range(600)]
    found = []
    with SessionStore.open(f"sqlite:///{tmp_path / 'sessions.db'}") as embedded:
        for store in (embedded, shared()):
            store.session("s").append(said)
            hits = store.search("report about a note", metadata=condition, limit=100)
            assert not hits.truncated
            found.append({hit.message.text for hit in hits})
    assert found[0] == found[1] != set()
