"""JSON as it is stored: exact both ways, with limits that have names."""

from __future__ import annotations

from typing import Any

import pytest

from agent_session_core._json import MAX_DEPTH, canonical, decode, decode_object, encode
from agent_session_core.errors import CorruptRecord, InvalidInput


def _deep(levels: int) -> Any:
    value: Any = {}
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return value


def test_the_limit_of_depth_is_exact() -> None:
    """A hundred levels are stored and read, one more is refused, and a bracket in a text is no level."""
    assert decode(encode(_deep(MAX_DEPTH), "x")) == _deep(MAX_DEPTH)
    for levels in (MAX_DEPTH + 1, 2_000, 100_000):
        with pytest.raises(InvalidInput, match=f"x: nested deeper than {MAX_DEPTH} levels; flatten it"):
            encode(_deep(levels), "x")
    assert decode(encode("[" * 10_000, "x")) == "[" * 10_000


def test_what_was_measured_can_be_wrapped() -> None:
    """What is put around a value that is as deep as it may be is not counted against it; it has an end all the same."""
    assert decode(encode([{"value": _deep(MAX_DEPTH)}], "line", around=8)) == [{"value": _deep(MAX_DEPTH)}]
    with pytest.raises(InvalidInput, match=f"line: nested deeper than {MAX_DEPTH} levels"):
        encode(_deep(MAX_DEPTH + 9), "line", around=8)


NO_JSON: dict[str, Any] = {
    "set": {1, 2},
    "bytes": b"bytes",
    "object": object(),
    "complex": 1j,
    "key": {(1, 2): 3},
    "huge": 10**5_000,
}


@pytest.mark.parametrize("kind", NO_JSON)
def test_what_is_not_json_is_refused(kind: str) -> None:
    """The argument is named and a remedy said."""
    with pytest.raises(InvalidInput, match=r"x: not JSON \(.*\); use strings, numbers, lists and mappings"):
        encode({"a": [NO_JSON[kind]]}, "x")


def test_a_value_that_holds_itself_is_too_deep() -> None:
    """A circle has no end."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidInput, match="x: nested deeper"):
        encode(circle, "x")


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nope", " ", "[" * 100_000], ids=len)
def test_what_cannot_be_read_is_corrupt(text: str) -> None:
    """Text that is no JSON is the fault of the row, not of the caller."""
    with pytest.raises(CorruptRecord, match=r"stored JSON \d+ characters long cannot be read .*; restore it"):
        decode(text)


def test_a_mapping_is_asked_for() -> None:
    """Where a mapping is stored, anything else is corrupt."""
    assert decode_object('{"a":1}') == {"a": 1}
    with pytest.raises(CorruptRecord, match="is no object"):
        decode_object("[]")


def test_canonical_text_is_equal_for_equal_values() -> None:
    """The order of keys says nothing; the order of a list does."""
    assert canonical('{"a":1,"b":[NaN,{"c":2,"d":3}]}') == canonical('{"b":[NaN,{"d":3,"c":2}],"a":1}')
    assert canonical("[1,2]") != canonical("[2,1]")
