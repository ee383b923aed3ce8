"""Conditions on metadata: what they mean, what SQL makes of them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, StaticPool, column, create_engine, literal, select, table

from agent_session_core import SessionStore
from agent_session_core.errors import InvalidInput
from agent_session_core.filters import OPERATORS, And, Compare, Filter, Not, Or, checked, equals, matches
from agent_session_core.sql.filters import meets, one_of

CURRENT: list[Engine] = []
"""The database that is asked."""
ATTACKS = (
    "'; DROP TABLE nodes; --",
    '" OR ""="',
    "$.a",
    '$."a"',
    "a.b",
    "a[0]",
    "%",
    "_",
    "\\",
    '"',
    "{}",
    "?",
    ":key",
    ":param_1",
    "NEAR(a b)",
    "*",
    "a\u202eb",
    "\ufeff",
    "\n",
    "é",
    "e\u0301",
    "日本",
    "👩‍👩‍👧",
    "x" * 512,
)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.services)], autouse=True)
def current(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each database in its turn."""
    if request.param == "sqlite":
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(request.getfixturevalue("postgres_database"))
    CURRENT[:] = [engine]
    yield
    engine.dispose()


def in_sql(condition: Filter, metadata: dict[str, Any]) -> bool:
    """Whether the database finds a row with this metadata."""
    with CURRENT[0].connect() as conn:
        rows = select(literal(json.dumps(metadata)).label("metadata")).subquery()
        return bool(conn.execute(select(meets(conn, condition, rows.c.metadata)).select_from(rows)).scalar_one())


def both(condition: Filter, metadata: dict[str, Any]) -> bool:
    """What SQL and plain Python agree on."""
    found = in_sql(condition, metadata)
    assert found is matches(condition, metadata)
    return found


numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=4)
letters = st.text("aAbBß\u0130\u212a\u017f\u03a3\u03c3\u03c2", max_size=3)  # where lower case is odd
scalars = st.none() | st.booleans() | numbers | words | letters
values = scalars | st.lists(scalars, max_size=3)
held = values | st.lists(st.lists(scalars, max_size=2), max_size=2) | st.dictionaries(letters, scalars, max_size=2)
keys = st.sampled_from(["a", "a.b", 'q"', "sp ace", "é", "back\\slash", "'"])
metadatas = st.dictionaries(keys, held, max_size=3)


@st.composite
def compares(draw: st.DrawFn) -> Compare:
    """Any comparison that is allowed."""
    operator = draw(st.sampled_from(OPERATORS))
    if operator in ("in", "nin", "any", "all"):
        value: Any = draw(st.lists(scalars, max_size=3))
    elif operator.startswith("text_match"):
        value = draw(words | letters)
    elif operator in (">", "<", ">=", "<="):
        value = draw(words | letters | numbers | st.booleans())
    elif operator == "contains":
        value = draw(scalars)
    else:
        value = draw(values)
    return Compare(draw(keys), operator, value)


def _joined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, max_size=3)
    return st.builds(And, several) | st.builds(Or, several) | st.builds(Not, parts)


conditions: st.SearchStrategy[Filter] = st.recursive(compares(), _joined, max_leaves=5)


@settings(max_examples=400, deadline=None)
@given(conditions, metadatas)
def test_sql_means_what_python_means(condition: Filter, metadata: dict[str, Any]) -> None:
    """Any condition on any metadata is answered by the database exactly as by plain Python."""
    assert in_sql(condition, metadata) is matches(condition, metadata)


@settings(max_examples=200, deadline=None)
@given(compares(), st.data())
def test_sql_means_what_python_means_on_values_alike(compare: Compare, data: st.DataObject) -> None:
    """The same where the metadata holds the very value that is asked for, alone or in a list."""
    value = list(compare.value) if isinstance(compare.value, tuple) else compare.value
    near = data.draw(st.sampled_from([value, [value], [value, None], str(value), {str(value): 1}, {"a": value}]))
    metadata = {compare.key: near}
    assert in_sql(compare, metadata) is matches(compare, metadata)


@pytest.mark.parametrize(
    ("operator", "value", "found"),
    [
        ("==", 1, [1, 1.0, True]),
        ("==", "a", ["a"]),
        ("==", ["a", 1], [["a", 1], ["a", True]]),
        ("==", None, []),
        ("!=", 1, [None, "1", "a", "A", "abc", "", 2, False, [], ["a", 1], ["a", True], [1, None], {"a": 2}]),
        (">", 1, [2]),
        (">=", 1, [1, 1.0, 2, True]),
        ("<", "abc", ["1", "a", "A", ""]),
        ("<=", "a", ["1", "a", "A", ""]),
        ("in", [1, "a", None], [1, 1.0, True, "a"]),
        ("nin", [1, "a"], [None, "1", "A", "abc", "", 2, False, [], ["a", 1], ["a", True], [1, None], {"a": 2}]),
        ("contains", "a", ["a", "abc", ["a", 1], ["a", True], {"a": 2}]),
        ("contains", None, [[1, None]]),
        ("contains", 1, [["a", 1], ["a", True], [1, None]]),
        ("any", ["a", None], ["a", "abc", ["a", 1], ["a", True], [1, None], {"a": 2}]),
        ("any", [], []),
        ("all", ["a", 1], [["a", 1], ["a", True]]),
        ("text_match", "b", ["abc"]),
        ("text_match", "", ["1", "a", "A", "abc", ""]),
        ("text_match_insensitive", "A", ["a", "A", "abc"]),
        ("is_empty", None, [None, "", []]),
    ],
)
def test_each_operator(operator: str, value: Any, found: list[Any]) -> None:
    """Each operator finds these of the usual values, and no others."""
    usual: list[Any] = [None, 1, 1.0, "1", "a", "A", "abc", "", 2, True, False, [], ["a", 1], ["a", True], [1, None]]
    usual.append({"a": 2})
    condition = Compare("key", operator, value)
    assert [repr(one) for one in usual if both(condition, {"key": one})] == [
        repr(one) for one in usual if any(repr(one) == repr(wanted) for wanted in found)
    ]


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_missing_key(operator: str) -> None:
    """What is missing differs from every value, and is empty; it meets nothing else. A null is as good as missing."""
    value: Any = ["x"] if operator in ("in", "nin", "any", "all") else "x"
    wanted = operator in ("!=", "nin", "is_empty")
    assert both(Compare("key", operator, value), {}) is wanted
    assert both(Compare("key", operator, value), {"key": None}) is wanted


def test_dates_compare_as_iso_text() -> None:
    """Dates written as ISO 8601 text compare in the order of time."""
    spring = {"on": "2024-05-01T10:00:00+00:00"}
    assert both(Compare("on", ">", "2024-04-30"), spring)
    assert both(And((Compare("on", ">=", "2024-05-01"), Compare("on", "<", "2024-05-02"))), spring)
    assert not both(Compare("on", "<", "2024-05-01T10:00:00+00:00"), spring)


def test_letters_of_every_script_match_in_either_case() -> None:
    """Case does not matter in any alphabet, which SQLite's own functions would not give."""
    assert both(Compare("city", "text_match_insensitive", "ÅRHUS"), {"city": "in århus"})
    assert both(Compare("city", "text_match_insensitive", "plzeň"), {"city": "PLZEŇ"})


def test_what_json_can_say_and_text_cannot() -> None:
    """A lone surrogate or NUL in the metadata spoils no filter on it, nor on what stands beside it."""
    odd = {"a": "X \ud800 \x00", "b": "Y"}
    assert in_sql(Compare("a", "text_match_insensitive", "x "), odd)
    assert in_sql(Compare("b", "text_match_insensitive", "y"), odd)
    assert in_sql(Compare("a", "text_match", "X"), odd)
    assert in_sql(Compare("a", "!=", "X"), odd)


def test_joined_conditions() -> None:
    """Conditions nest; joining none with And restricts nothing, with Or everything."""
    one, two = Compare("a", "==", 1), Compare("b", "==", 2)
    assert both(Or((And((one, Not(two))), two)), {"a": 1})
    assert not both(And((one, two)), {"a": 1})
    assert both(Not(Or((one, two))), {"a": 3})
    assert both(And(()), {})
    assert not both(Or(()), {})


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("operator", ["==", "text_match", "text_match_insensitive", "in", "any", "contains"])
def test_hostile_text_is_plain_data(attack: str, operator: str) -> None:
    """Whatever a key or value holds, it finds the row that holds the same, and no other."""
    value: Any = [attack] if operator in ("in", "any") else attack
    for key in (attack, "key"):
        condition = Compare(key, operator, value)
        assert both(condition, {key: attack})
        assert not both(condition, {key: "other"})
        assert not both(condition, {"other": attack})


def test_statements_hold_no_value() -> None:
    """Nothing of a key or value is written into the statement: all of it is bound."""
    condition = And(tuple(Compare("canary key", operator, _value(operator)) for operator in OPERATORS))
    metadata: Any = column("metadata")
    with CURRENT[0].connect() as conn:
        compiled = select(meets(conn, condition, metadata)).select_from(table("t", metadata)).compile(CURRENT[0])
    assert "canary" not in str(compiled)


def _value(operator: str) -> Any:
    return ["canary"] if operator in ("in", "nin", "any", "all") else "canary"


@pytest.mark.parametrize(
    ("key", "operator", "value", "named"),
    [
        ("a", "=", 1, "'=' is no operator"),
        ("a", "== 1 OR 1", 1, "is no operator"),
        ("a", "LIKE", "x", "is no operator"),
        ("a", None, 1, "None is no operator"),
        (1, "==", 1, "key 1 is not a string"),
        (None, "==", 1, "key None is not a string"),
        ("x" * 513, "==", 1, "513 characters"),
        ("a\x00", "==", 1, "NUL"),
        ("a\ud800", "==", 1, "lone surrogate"),
        ("a", "==", "\udc00", "lone surrogate"),
        ("a", "in", ["\x00"], "NUL"),
        ("a", "==", float("nan"), "nan"),
        ("a", "<", float("inf"), "inf"),
        ("a", "==", {"$ne": 1}, "cannot use dict"),
        ("a", "==", b"x", "cannot use bytes"),
        ("a", "in", "x", "takes a list"),
        ("a", "any", 3, "takes a list"),
        ("a", "in", [["x"]], "cannot use list"),
        ("a", "in", ["x"] * 10_001, "10,001 values"),
        ("a", "<", None, "is_empty"),
        ("a", "<", ["x"], "takes one value"),
        ("a", "contains", ["x"], "takes one value"),
        ("a", "text_match", 3, "takes text"),
        ("a", "text_match", "x" * 70_000, "70,000 characters"),
    ],
)
def test_what_is_refused(key: Any, operator: Any, value: Any, named: str) -> None:
    """A comparison that cannot be meant is refused with an error that names the reason."""
    with pytest.raises(InvalidInput, match="filters: ") as refused:
        Compare(key, operator, value)
    assert named in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_mapping_is_refused_by_its_own_name() -> None:
    """Errors of a filter that was given as a mapping name the argument that the caller gave."""
    assert equals({"a": 1}) == And((Compare("a", "==", 1),))
    for mapping in ({1: 2}, {"a": {"b": 1}}, dict.fromkeys(map(str, range(200)), 1)):
        with pytest.raises(InvalidInput, match=r"^metadata: ") as refused:
            equals(mapping)  # type: ignore[arg-type]  # keys that are no text
        assert "filters" not in str(refused.value)
    with (
        pytest.raises(InvalidInput, match=r"^metadata: the key 1 is not a string"),
        SessionStore.open("sqlite://") as store,
    ):
        store.search("x", metadata={1: 2})  # type: ignore[dict-item]  # the same


def test_limits_of_a_whole_filter() -> None:
    """Too deep, too many, or not made of these records: refused before any SQL is made."""
    one: Filter = Compare("a", "==", 1)
    deep = one
    for _ in range(100_000):
        deep = Not(deep)
    for condition, named in [
        (deep, "nested deeper"),
        (And((one,) * 200), "more than 200"),
        (And(("a = 1",)), "is no condition"),  # type: ignore[arg-type]  # what a caller without types would do
    ]:
        with pytest.raises(InvalidInput, match=named):
            checked(condition)


def test_as_large_as_allowed() -> None:
    """A filter at its limits is compiled and answered."""
    wide = And(tuple(Compare(f"k{number}", "!=", 1) for number in range(199)))
    deep: Filter = Compare("a", "==", 1)
    for _ in range(15):
        deep = Not(deep)
    assert both(wide, {})
    assert not both(deep, {"a": 1})
    assert both(Compare("a", "in", [*range(9_999), "x"]), {"a": "x"})


def test_one_of_many() -> None:
    """A column is compared with any number of values through one parameter."""
    with CURRENT[0].connect() as conn:
        rows = select(literal("n7").label("id")).subquery()
        names = [f"n{number}" for number in range(100_000)]
        assert conn.execute(select(rows.c.id).where(one_of(conn, rows.c.id, names))).scalar() == "n7"
        assert conn.execute(select(rows.c.id).where(one_of(conn, rows.c.id, []))).scalar() is None
