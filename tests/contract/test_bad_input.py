"""What cannot be used is refused: by our error, naming argument, value and remedy, and with nothing changed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import (
    DataPart,
    ImagePart,
    InvalidInput,
    Message,
    Origin,
    Session,
    SessionStore,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from tests.contract.drivers import Opened

Call = Callable[[Any], object]


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class Unprintable:
    """Something that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


DEEP = _deep(100_000)
NO_STRING: list[Any] = [5, b"bytes", 1.5, True, ["a"], {"a": 1}, DEEP, Unprintable()]
NO_ID: list[Any] = [*NO_STRING, "", "x" * 513, "x" * 10**7, "a\nb", "a\x00b", "\x85", "\ud800"]
NO_COUNT = ["5", 1.0, True, -1, 10**7, 10**5000, float("nan"), float("inf"), DEEP, Unprintable(), b"1"]
NO_JSON_OBJECT = [5, "text", ["list"], DEEP, Unprintable(), {1: "a"}, {"a": {1, 2}}, {"a": Unprintable()}]
NO_METADATA = [*NO_JSON_OBJECT, {"a": float("nan")}, {"a": [float("-inf")]}, {"a": DEEP}, {"a": "x" * 70_000}]
NO_TIME = ["2026-01-01", 1.5, True, datetime(2026, 1, 1), DEEP]  # noqa: DTZ001  # naive: that is the point
NO_MESSAGES = [5, "text", b"bytes", {"role": "user"}, ["text"], [[Message.user("nested")]], DEEP, Unprintable()]

NO_FLAG = [None, 0, 1, "", "yes", [], DEEP, Unprintable()]

STORE: dict[str, tuple[Callable[[SessionStore], Call], list[Any]]] = {
    "session_id": (lambda store: store.session, NO_ID),
    "user_id": (lambda store: lambda bad: store.session("new", user_id=bad), NO_ID),
    "agent_id": (lambda store: lambda bad: store.session("new", agent_id=bad), NO_ID),
    "title": (lambda store: lambda bad: store.session("new", title=bad), [*NO_STRING, "x" * 1_001, "\x00", "\ud800"]),
    "metadata": (lambda store: lambda bad: store.session("new", metadata=bad), NO_METADATA),
    "user_id ": (lambda store: lambda bad: store.for_user(bad), NO_ID),
    "user_id  ": (lambda store: lambda bad: store.sessions(user_id=bad), NO_ID),
    "status": (lambda store: lambda bad: store.sessions(status=bad), [5, "gone", ["gone"], DEEP, Unprintable()]),
    "metadata ": (lambda store: lambda bad: store.sessions(metadata=bad), NO_METADATA),
    "text": (lambda store: lambda bad: store.sessions(text=bad), NO_ID),
    "before": (lambda store: lambda bad: store.sessions(before=bad), [5, "", "x", "1.2.3", "1" * 40, DEEP, "\ud800"]),
    "metadata  ": (lambda store: lambda bad: store.sessions(metadata=bad), [{"a": {"b": 1}}, {"a": [[1]]}]),
    "limit": (lambda store: lambda bad: store.sessions(limit=bad), [*NO_COUNT, 0, 1_001]),
    "create": (lambda store: lambda bad: store.session("new", create=bad), NO_FLAG),
    "dry_run": (lambda store: lambda bad: store.sweep(dry_run=bad), NO_FLAG),
}
SESSION: dict[str, tuple[Callable[[Session], Call], list[Any]]] = {
    "messages": (lambda session: session.append, NO_MESSAGES),
    "messages ": (lambda session: session.replace, NO_MESSAGES),
    "ids": (lambda session: lambda bad: session.append(Message.user("x"), ids=bad), [None, "lax", 5, DEEP]),
    "last": (lambda session: lambda bad: session.messages(bad), [*NO_COUNT, 0]),
    "since": (lambda session: lambda bad: session.messages(since=bad), [*NO_TIME, -1, 10**5000]),
    "roles": (lambda session: lambda bad: session.messages(roles=bad), [5, "user", [], ["robot"], [5], DEEP, [None]]),
    "run": (lambda session: lambda bad: session.messages(run=bad), [*NO_COUNT, 0]),
    "archived": (lambda session: lambda bad: session.messages(archived=bad), [5, "yes", [], DEEP, Unprintable()]),
    "offset": (lambda session: lambda bad: session.messages(offset=bad), NO_COUNT),
    "limit": (lambda session: lambda bad: session.messages(limit=bad), [*NO_COUNT, 0]),
    "archived ": (lambda session: lambda bad: session.count(archived=bad), [5, "yes", [], DEEP, Unprintable()]),
    "first": (lambda session: lambda bad: session.remove(first=bad), NO_COUNT),
    "last ": (lambda session: lambda bad: session.remove(last=bad), NO_COUNT),
    "index": (lambda session: lambda bad: session.remove(index=bad), [1.0, "0", True, 10**5000, DEEP]),
    "seqs": (lambda session: lambda bad: session.remove(seqs=bad), [5, "12", b"12", [0], [-1], [1.0], [DEEP], [2**70]]),
    "archived  ": (lambda session: lambda bad: session.remove(archived=bad), [5, "yes", [], DEEP]),
    "archived   ": (lambda session: lambda bad: session.append(Message.user("x"), archived=bad), [None, 5, "yes", []]),
    "archived    ": (lambda session: lambda bad: session.replace([], archived=bad), [None, 5, "yes", DEEP]),
    "first ": (lambda session: lambda bad: session.set_aside(first=bad), [*NO_COUNT, None]),
    "title": (lambda session: lambda bad: session.update(title=bad), [*NO_STRING, "x" * 1_001, "\x00", "\ud800"]),
    "metadata": (lambda session: lambda bad: session.update(metadata=bad), NO_METADATA),
    "open": (lambda session: lambda bad: session.tasks.list(open=bad), NO_FLAG),
    "open ": (lambda session: lambda bad: session.tasks.records(open=bad), NO_FLAG),
    "keep_state": (lambda session: lambda bad: session.restart(keep_state=bad), NO_FLAG),
    "forks": (lambda session: lambda bad: session.delete(forks=bad), NO_FLAG),
    "key": (lambda session: lambda bad: session.state.__setitem__(bad, 1), NO_ID),
}
FIELDS: dict[str, list[Any]] = {
    "text": NO_STRING,
    "id": NO_ID,
    "name": [*NO_STRING, "x" * 5_000],
    "tool_call_id": [*NO_STRING, "x" * 5_000],
    "author": [*NO_STRING, "x" * 5_000],
    "created_at": [*NO_TIME, datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))],
    "usage": [5, {"input_tokens": 1}, Usage(-1), Usage("1"), Usage(1.0), Usage(10**5000)],  # type: ignore[arg-type]  # wrong on purpose
    "metadata": NO_METADATA,
    "origin": [5, "langchain", {"framework": "x"}, Unprintable()],
    "origin.framework": [Origin(bad, "1") for bad in (*NO_ID, None, "a/b")],
    "origin.version": [Origin("f", bad) for bad in (*NO_ID, None)],
    "origin.data": [Origin("f", "1", bad) for bad in [{1, 2}, b"x", Unprintable(), DEEP, {"a": _deep(101)}, 10**5000]],
    "parts": [
        5,
        "text",
        ["text"],
        [5],
        DEEP,
        [TextPart(5)],  # type: ignore[arg-type]
        [TextPart(None)],  # type: ignore[arg-type]
        [ImagePart(url=5)],  # type: ignore[arg-type]
        [DataPart(5)],  # type: ignore[arg-type]
        [DataPart("d", {1, 2})],
        [DataPart("d", DEEP)],
        [DataPart("d", 10**5000)],
        [ToolCallPart("c", None)],  # type: ignore[arg-type]
        [ToolCallPart(5, "f")],  # type: ignore[arg-type]
        [ToolCallPart("c", "f", [1])],  # type: ignore[arg-type]
        [ToolCallPart("c", "f", {"a": Unprintable()})],
        [ToolResultPart("c", parts=(ToolResultPart("d"),))],  # type: ignore[arg-type]
        [ToolResultPart("c", parts=5)],  # type: ignore[arg-type]
        [ToolResultPart("c", is_error="no")],  # type: ignore[arg-type]
        [ToolResultPart(None)],  # type: ignore[arg-type]
    ],
    "role": ["robot", "", None, 5, [], DEEP, Unprintable()],
}


@pytest.fixture
def unchanged(database_file: Path) -> Iterator[Callable[[], bool]]:
    """Tells whether nobody has changed the database since it was asked last."""
    watcher = sqlite3.connect(database_file)

    def version() -> int:
        return int(watcher.execute("PRAGMA data_version").fetchone()[0])

    seen = [version()]

    def same() -> bool:
        seen.append(version())
        return seen[-1] == seen[-2]

    yield same
    watcher.close()


def _refuses(call: Call, bad: object, argument: str) -> None:
    """The error is ours, begins with the argument, is short and printable, and says more than what is wrong."""
    with pytest.raises(InvalidInput) as caught:
        call(bad)
    told = str(caught.value)
    assert re.match(rf"{re.escape(argument)}\b.*: ", told), told
    assert len(told) < 400, told[:500]
    assert told.isprintable()
    assert ";" in told or " use " in told, f"no remedy: {told}"


def test_a_store_refuses_what_it_cannot_use(main_opened: Opened, unchanged: Callable[[], bool]) -> None:
    """Every argument of every method of a store."""
    store = main_opened.store()
    store.session("trip")
    unchanged()
    for argument, (method, values) in STORE.items():
        for bad in values:
            _refuses(method(store), bad, argument.strip())
    assert unchanged()


def test_a_session_refuses_what_it_cannot_use(main_session: Session, unchanged: Callable[[], bool]) -> None:
    """Every argument of every method of a session."""
    main_session.append(Message.user("one"), Message.assistant("two"))
    unchanged()
    for argument, (method, values) in SESSION.items():
        for bad in values:
            _refuses(method(main_session), bad, argument.strip())
    assert unchanged()


@pytest.mark.parametrize("field", FIELDS)
def test_a_message_refuses_what_it_cannot_hold(
    main_session: Session, field: str, unchanged: Callable[[], bool]
) -> None:
    """Every field of a message, where it is made or where it is stored; nothing of the call is stored."""
    for bad in FIELDS[field]:
        if field == "role":
            _refuses(lambda bad: Message(role=bad), bad, field)
            continue
        for name in ("append",) if field == "id" else ("append", "replace"):  # replace leaves a framework's id aside
            given = {"role": "user", "text": "x", field.split(".")[0]: bad}
            _refuses(partial(_hand_in, main_session, name), given, field)
    assert unchanged()


def _hand_in(session: Session, name: str, fields: dict[str, Any]) -> object:
    return getattr(session, name)([Message.user("fine"), Message(**fields)])


def test_too_much_is_refused_by_its_limit() -> None:
    """100 MB in a message, and more messages than a call may hold: refused by a limit that the error names."""
    huge = "x" * 100_000_000
    told = r"messages: one of 100,\d{3},\d{3} characters; the limit is 33,554,432"
    with SessionStore.open("sqlite://", index="off") as store:
        session = store.session("trip")
        for message in (Message.user(huge), Message.user("x", origin=Origin("f", "1", huge))):
            with pytest.raises(InvalidInput, match=told):
                session.append(message)
        with pytest.raises(InvalidInput, match="messages: 100,001 at once; give at most 100,000 a call"):
            session.append([Message.user("x")] * 100_001)
        assert session.count() == 0


def test_a_cursor_of_elsewhere_shows_nothing_of_it(main_opened: Opened) -> None:
    """A cursor is a place in an order, nothing more: used elsewhere it shows only what is there."""
    mine, other = main_opened.store(), main_opened.store()
    for number in range(3):
        other.session(f"secret {number}")
    mine.session("mine")
    cursor = other.sessions(limit=1).next_cursor
    assert {session.id for session in mine.sessions(before=cursor)} <= {"mine"}
