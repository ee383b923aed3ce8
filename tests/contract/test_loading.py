"""What export and load promise, however the store is driven."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent_session_core import (
    DataPart,
    InvalidInput,
    Message,
    Origin,
    SessionStore,
    TextPart,
    ToolCallPart,
    Usage,
)
from agent_session_core.exchange import parse as read
from tests.contract.drivers import Driven, Opened

EARLY = datetime(2026, 5, 4, tzinfo=timezone(timedelta(hours=5)))


def _filled(store: SessionStore) -> None:
    trip = store.session("trip", user_id="ana", agent_id="planner", title="Lisbon", metadata={"a": [1, {"b": None}]})
    trip.append(
        Message.system("odd \x00 \ud800"),
        Message.user(
            "hi", id="m1", metadata={"k": 1}, created_at=datetime(2026, 5, 4, tzinfo=timezone(timedelta(hours=5)))
        ),
        Message.assistant(
            "text",
            parts=(TextPart("text"), DataPart("d", {"n": 10**30, "x": float("nan")}), ToolCallPart("c", "f", {"q": 1})),
            usage=Usage(1, 2, 3),
            name="n",
            author="a",
            origin=Origin("langchain", "1.0", {"lc": 1, "inf": float("inf")}),
        ),
        Message.tool("result", tool_call_id="c"),
        Message.user("to be taken back"),
    )
    trip.set_aside(first=1)
    trip.remove(last=1)
    store.session("empty")
    store.session("nobody's").append([Message.user(str(n)) for n in range(1_100)])


def _export(store: SessionStore, names: list[str] | None = None) -> list[str]:
    bare: Any = store.target if isinstance(store, Driven) else store
    return list(bare.export(names))


def test_what_is_exported_loads_as_it_was(main_opened: Opened) -> None:
    """Sessions, messages in any state, places, times and origins go over without loss, and once."""
    first, second = main_opened.store(), main_opened.store()
    _filled(first)
    lines = _export(first)
    assert all(line.isascii() and line.count("\n") <= 1 for line in lines)
    report = second.load(lines)
    assert (report.sessions, report.messages, report.problem_count) == (3, 1_105, 0)
    assert _export(second) == lines
    again = second.load(lines)
    assert (again.sessions, again.messages, again.repeated, again.problem_count) == (0, 0, 1_105, 0)
    assert _export(second) == lines
    assert repr(second.session("trip").messages(archived=None)) == repr(first.session("trip").messages(archived=None))
    assert [message.seq for message in second.session("trip").append(Message.user("next"))] == [6]


def test_a_load_that_broke_off_is_resumed(main_opened: Opened) -> None:
    """Loading the same lines again after a part of them completes what is there."""
    first, second = main_opened.store(), main_opened.store()
    _filled(first)
    lines = _export(first)
    second.load(lines[:600])
    assert second.load(lines).problem_count == 0
    assert _export(second) == lines


def test_whatever_can_be_stored_can_be_exported(main_opened: Opened) -> None:
    """Values that are nested as deeply as they may be go over as any other."""
    first, second = main_opened.store(), main_opened.store()

    def deep(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    trip = first.session("trip", metadata={"k": deep(99)})
    trip.state["k"] = deep(100)
    trip.append(
        Message.user("x", metadata={"k": deep(99)}, origin=Origin("f", "1", deep(100))),
        Message(role="user", parts=(DataPart("d", deep(97)),)),
        Message.assistant(parts=(ToolCallPart("c", "f", {"q": deep(96)}),)),
    )
    with trip.tool_call("f", {"q": deep(98)}) as call:
        call.succeed(deep(99))
    lines = _export(first)
    assert second.load(lines).problem_count == 0
    assert _export(second) == lines
    second.load(lines)
    assert _export(second) == lines


def test_lines_may_be_bytes(main_opened: Opened) -> None:
    """A file that is open for bytes is read as one that is open for text; what is neither is a problem of its own."""
    first, second = main_opened.store(), main_opened.store()
    first.session("trip", title="Lissabon für zwei")
    lines = _export(first)
    odd: list[Any] = [line.encode() for line in lines] + ["x", None, 5, b"\xff"]
    report = second.load(odd)
    assert report.sessions == 1
    assert [problem.where for problem in report.problems] == ["line 3", "line 4", "line 5", "line 6"]
    assert "expected a line of text, got NoneType" in report.problems[1].reason
    assert _export(second) == lines
    mixed: list[Any] = [None, *lines]
    assert second.load(mixed).problem_count == 1
    mixed = [*read(lines), "x"]
    assert second.load(mixed).problems[0].reason == "expected an entry of a file, got str 'x'"


def test_chosen_sessions_are_exported_alone(main_opened: Opened) -> None:
    """Named sessions come alone; an id that is not there is refused."""
    store = main_opened.store()
    _filled(store)
    kinds = [json.loads(line)["type"] for line in _export(store, ["trip"])]
    assert kinds == ["header", "session", *["message"] * 5]
    with pytest.raises(InvalidInput, match="session_ids: 'missing' is not found; leave it out"):
        _export(store, ["trip", "missing"])


def test_a_load_stays_within_its_user(main_opened: Opened) -> None:
    """A bound store makes what it loads its user's, and touches nothing of others, whatever the lines say."""
    first, second = main_opened.store(), main_opened.store()
    _filled(first)
    lines = _export(first)
    second.session("trip", user_id="bob").append(Message.user("bob's"))
    report = second.for_user("cleo").load(lines)
    assert (report.sessions, report.messages) == (2, 1_100)
    assert report.problem_count > 0
    assert {problem.reason.split(":")[0] for problem in report.problems} == {"session 'trip'"}
    assert [message.text for message in second.session("trip").messages()] == ["bob's"]
    assert {session.user_id for session in second.sessions()} == {"bob", "cleo"}


@pytest.mark.parametrize(
    ("line", "change", "reason"),
    [
        (2, {"seq": 2**31}, "seq: 2147483648 is out of range"),
        (2, {"seq": 2**62}, "seq: 4611686018427387904 is out of range"),
        (2, {"run": 2**40}, "run: 1099511627776 is out of range"),
        (2, {"metadata": {"a": float("nan")}}, "metadata: holds NaN"),
        (2, {"text": 5}, "text: expected a string"),
        (2, {"created_at": "0001-01-01T00:00:00+14:00"}, "created_at: .* is outside the years 1 to 9999 of UTC"),
        *(
            (1, {name: moment}, f"{name}: .* is outside the years 1 to 9999 of UTC")
            for name in ("created_at", "updated_at", "expires_at")
            for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
        ),
        (3, {"seq": 1}, "place 1 lies before the session's end"),
        (1, {"metadata": {"a": float("inf")}}, "metadata: holds NaN or infinity"),
        (1, {"metadata": {"a": "x" * 70_000}}, "metadata: 70,008 characters"),
        (1, {"id": "a\nb"}, "id: .* holds a control character"),
        (1, {"title": "x" * 1_001}, "title: 1001 characters"),
    ],
)
def test_a_broken_line_costs_only_itself(main_opened: Opened, line: int, change: dict[str, Any], reason: str) -> None:
    """What cannot be stored is listed with its line and the reason; what can be is stored, and can be read."""
    first, second = main_opened.store(), main_opened.store()
    first.session("trip").append([Message.user(str(n), id=f"m{n}") for n in range(4)])
    lines = _export(first)
    lines[line] = json.dumps({**json.loads(lines[line]), **change})
    report = second.load(lines)
    assert any(f"line {line + 1}" in problem.where for problem in report.problems)
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError([problem.reason for problem in report.problems])
    for session in second.sessions():
        assert len(session.append(Message.user("after"))) == 1
        assert [message.text for message in session.messages()][-1] == "after"
    assert second.sessions(metadata={"a": 1}).items == ()


def test_nothing_of_it_must_be_lines() -> None:
    """What is no line is refused by name."""
    refused: list[Callable[[SessionStore], object]] = [lambda store: store.load(5), lambda store: store.load(None)]  # type: ignore[arg-type]
    with SessionStore.open("sqlite://", index="off") as store:
        for call in refused:
            with pytest.raises(InvalidInput, match=r"^lines: "):
                call(store)
        assert len(store.sessions()) == 0
