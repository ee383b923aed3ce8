"""Scopes in memory."""

from __future__ import annotations

import random

import numpy as np

from agent_session_core.search.cache import ScopeCache
from agent_session_core.search.entries import Source, entries
from agent_session_core.search.scope import Addition, Mark, Scope, empty_scope
from agent_session_core.search.statements import IndexRow, key_of
from agent_session_core.search.vectors import pack, unit
from agent_session_core.search.words import Words

WORDS = Words("english")
RANDOM = random.Random(4)
MESSAGES = ("id", "role", "created_at", "digest", "meant", "vector")


def addition(session: int, first: int, last: int, epoch: int = 1) -> Addition:
    """Messages ``first`` to ``last`` of a session, by four authors."""
    made = []
    for seq in range(first, last + 1):
        text = " ".join(RANDOM.choices(["dog", "cat", "rain", "sun"], k=RANDOM.randint(1, 300)))
        made.append((Source(seq, 1, 0, "user", None, f"author{seq % 4}", seq, 0, text), [f"text{seq}"]))
    vectors = unit(np.random.default_rng(first).normal(size=(len(made), 8)).astype(np.float32))
    rows = [
        IndexRow(key_of(session, source.seq), vector, *entry)
        for (source, _), entry, vector in zip(made, entries(made, WORDS), pack(vectors), strict=True)
    ]
    return Addition(session, Mark(last, epoch), rows)


def authors(scope: Scope) -> list[str]:
    """The author of each message, by name."""
    return [scope.speakers.names[number] for number in scope.message("author")]


def same(one: Scope, other: Scope) -> bool:
    """Whether two scopes hold the same, in the same order."""
    return (
        all(np.array_equal(one.message(column), other.message(column)) for column in MESSAGES)
        and np.array_equal(one.message("first_row"), other.message("first_row"))
        and all(np.array_equal(one.word(column), other.word(column)) for column in ("stem", "row", "weight"))
        and np.array_equal(one.row("length"), other.row("length"))
        and [one.sessions[n] for n in one.message("session")] == [other.sessions[n] for n in other.message("session")]
        and authors(one) == authors(other)
        and one.marks == other.marks
        and one.vectors == other.vectors
        and np.allclose(one.vector_sum, other.vector_sum)
    )


def test_growing_equals_loading() -> None:
    """A scope that grew bit by bit is the scope loaded at once."""
    parts = [addition(1, 1, 5), addition(2, 1, 3), addition(1, 6, 9), addition(3, 1, 40)]
    at_once = empty_scope(WORDS, 8).extended(parts)
    grown = empty_scope(WORDS, 8)
    for part in parts:
        grown = grown.extended([part])
    assert same(grown, at_once)
    assert len(grown) == 52


def test_a_view_never_changes() -> None:
    """What grows out of a view, twice and in different ways, leaves the view and the other as they were."""
    base = empty_scope(WORDS, 8).extended([addition(1, 1, 5)])
    before = {column: base.message(column).copy() for column in MESSAGES}
    one, other = addition(2, 1, 3), addition(3, 1, 4)
    grown, grown_otherwise = base.extended([one]), base.extended([other])
    grown_again = grown.extended([addition(1, 6, 9)])
    assert [len(scope) for scope in (base, grown, grown_otherwise, grown_again)] == [5, 8, 9, 12]
    assert all(np.array_equal(base.message(column), before[column]) for column in MESSAGES)
    assert set(grown_otherwise.sessions) == {1, 3}
    assert same(grown, empty_scope(WORDS, 8).extended([*_rows_of(base), one]))


def test_leaving_equals_never_having_been_there() -> None:
    """Without a session, a scope is what it would be if the session had never been loaded."""
    first, second, third = addition(1, 1, 5), addition(2, 1, 3), addition(3, 1, 7)
    without = empty_scope(WORDS, 8).extended([first, second, third]).without({2})
    assert same(without, empty_scope(WORDS, 8).extended([first, third]))
    assert same(without.extended([second]), empty_scope(WORDS, 8).extended([first, third, second]))
    assert len(without.without({1, 3})) == 0


def test_names_leave_with_their_sessions() -> None:
    """Nobody is known any more who only spoke in a session that has left."""
    scope = empty_scope(WORDS, 8).extended([addition(1, 1, 1), addition(2, 2, 2)])
    assert scope.speakers.names == ["author1", "author2"]
    assert scope.without({2}).speakers.names == ["author1"]


def test_the_cache_drops_what_was_used_least_lately() -> None:
    """The cache stays within its bytes, dropping the scope that was used least lately; one too large is not kept."""
    scopes = [empty_scope(WORDS, 8).extended([addition(number, 1, 5)]) for number in (1, 2, 3)]
    cache = ScopeCache(sum(scope.arrays.bytes for scope in scopes[:2]) + 100)
    cache.put(("t", "a", 1), scopes[0])
    cache.put(("t", "b", 1), scopes[1])
    assert cache.get(("t", "a", 1)) is scopes[0]
    cache.put(("t", "a", 1), scopes[0])
    cache.put(("t", "c", 1), empty_scope(WORDS, 8).extended([addition(9, 1, 1)]))
    assert cache.get(("t", "b", 1)) is None
    assert cache.get(("t", "a", 1)) is scopes[0]
    small = ScopeCache(10)
    small.put(("t", "a", 1), scopes[0])
    assert small.get(("t", "a", 1)) is None


def _rows_of(scope: Scope) -> list[Addition]:
    """The additions that the module's random texts made of a scope's own session, read back from it."""
    rows = []
    first = [*scope.message("first_row").tolist(), len(scope.row("length"))]
    for place, key in enumerate(scope.message("id").tolist()):
        heads, stems, weights = [], [], []
        for row in range(first[place], first[place + 1]):
            own = scope.word("row") == row
            heads += [int(own.sum()), int(scope.row("length")[row])]
            stems += scope.word("stem")[own].tolist()
            weights += scope.word("weight")[own].tolist()
        vector = pack(scope.message("vector")[place : place + 1])[0]
        rows.append(
            IndexRow(
                key, vector, np.array(heads, "<u2").tobytes(), np.array(stems, "<u4").tobytes(),
                np.array(weights, "<u2").tobytes(), int(scope.message("role")[place]), None, authors(scope)[place],
                int(scope.message("created_at")[place]), int(scope.message("digest")[place]),
            )
        )  # fmt: skip
    return [Addition(session, mark, rows) for session, mark in scope.marks.items()]
