"""The JSON-lines form: nothing is lost on the way through it, and what is broken costs no more than itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import Entry, MessageEntry, Problem, SessionEntry, dump, parse
from agent_session_core.models import (
    ROLES,
    STATUSES,
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    ReasoningPart,
    SessionRecord,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

texts = st.text(st.characters(), max_size=20)  # with lone surrogates and NUL
ids = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)
optional = st.none() | texts
whole = st.integers(0, 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=3)
moments = st.builds(
    lambda at, seconds: at.replace(tzinfo=timezone(timedelta(seconds=seconds))),
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001  # the zone is added above
    st.integers(-86_399, 86_399),
)
plain_parts = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ImagePart, url=optional, data=optional, media_type=optional, detail=optional),
    st.builds(AudioPart, url=optional, data=optional, media_type=optional),
    st.builds(FilePart, url=optional, data=optional, media_type=optional, name=optional),
    st.builds(DataPart, texts, values),
)
parts = st.one_of(
    plain_parts,
    st.builds(ReasoningPart, texts, signature=optional),
    st.builds(ToolCallPart, optional, texts, objects | texts),
    st.builds(ToolResultPart, texts, texts, st.lists(plain_parts, max_size=2).map(tuple), optional, st.booleans()),
)
messages = st.builds(
    Message,
    role=st.sampled_from(ROLES),
    text=texts,
    parts=st.lists(parts, max_size=3).map(tuple),
    id=st.none() | ids,
    name=optional,
    tool_call_id=optional,
    author=optional,
    created_at=st.none() | moments,
    usage=st.none() | st.builds(Usage, whole, whole, whole),
    metadata=objects,
    origin=st.none() | st.builds(Origin, ids, texts, values),
    seq=st.none() | st.integers(1, 2**63 - 1),
    run=st.none() | st.integers(1, 9),
)
records = st.builds(
    SessionRecord,
    id=ids,
    user_id=optional,
    agent_id=optional,
    title=optional,
    metadata=objects,
    status=st.sampled_from(STATUSES),
    revision=whole,
    run=st.integers(1, 9),
    created_at=moments,
    updated_at=moments,
)


@st.composite
def sessions(draw: st.DrawFn) -> list[Entry]:
    """A session and its messages, of every state."""
    session = SessionEntry(record=draw(records), last_seq=draw(st.none() | whole))
    states = st.sampled_from(("live", "archived", "removed"))
    entries = st.builds(MessageEntry, session_id=st.just(session.record.id), message=messages, state=states)
    return [session, *draw(st.lists(entries, max_size=3))]


@given(st.lists(sessions(), max_size=3))
def test_what_is_dumped_is_parsed_back_equal(groups: list[list[Entry]]) -> None:
    """Every field of every record comes back equal, through lines that are ASCII and one record each."""
    entries = list(chain.from_iterable(groups))
    lines = list(dump(entries))
    assert list(parse(lines)) == entries
    assert all(line.isascii() and line.endswith("\n") and line.count("\n") == 1 for line in lines)
    assert len(lines) == len(entries) + 1


def test_nan_is_kept() -> None:
    """A number that JSON has not, in a framework's own data, comes back as it was."""
    entry = MessageEntry(session_id="s", message=Message.user("x", origin=Origin("f", "1", float("nan"))))
    found = list(parse(dump([entry])))[-1]
    assert isinstance(found, MessageEntry)
    assert found.message.origin is not None
    assert found.message.origin.data != found.message.origin.data


def _lines(*records: dict[str, Any] | str) -> list[str]:
    header = '{"type":"header","format":"agent-session-core","version":1}'
    return [header, *(record if isinstance(record, str) else json.dumps(record) for record in records)]


def _message(**fields: Any) -> dict[str, Any]:
    return {"type": "message", "session": "s", "role": "user", "text": "hello", **fields}


SESSION = {"type": "session", "id": "s", "created_at": "2026-05-04T09:30:00Z"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON: "),
        ('{"type": "message"', "not JSON: "),
        ("[1, 2]", "expected an object"),
        ('"words"', "expected an object"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5_000, "not JSON that can be read"),
        ('{"type":"message","text":"\udce9"}', "not UTF-8"),
        ({"type": "note"}, "type: 'note' is not known"),
        ({"text": "no type"}, "type: None is not known"),
        ({"type": "header", "format": "other", "version": 1}, "header: "),
        ({"type": "session", "id": ""}, "id: an empty string"),
        ({"type": "session", "id": 7}, "id: expected a string"),
        ({"type": "session", "id": "s", "status": "asleep"}, "status: 'asleep'"),
        ({"type": "session", "id": "s", "metadata": []}, "metadata: expected an object"),
        ({"type": "session", "id": "s", "created_at": "yesterday"}, "created_at: 'yesterday' is no time"),
        (
            {"type": "session", "id": "s", "created_at": "2026-05-04T09:30:00"},
            "created_at: '2026-05-04T09:30:00' has no",
        ),
        (_message(session=None), "session: expected a string"),
        (_message(session="a\x00b"), "session: "),
        (_message(role="robot"), "role: 'robot' is no role"),
        (_message(role=["user"]), "role: ['user'] is no role"),
        (_message(state="lost"), "state: 'lost' is not known"),
        (_message(text=5), "text: expected a string"),
        (_message(id="x" * 513), "id: 513 characters"),
        (_message(seq=0), "seq: expected a whole number"),
        (_message(seq=True), "seq: expected a whole number"),
        (_message(seq=2**63), "seq: expected a whole number"),
        (_message(usage={"input_tokens": -1}), "input_tokens: expected a whole number"),
        (_message(origin={"framework": "langchain"}), "origin: names no"),
        (_message(parts={"type": "text"}), "parts: expected a list"),
        (_message(parts=["text"]), "parts: expected an object"),
        (_message(parts=[{"type": "hologram"}]), "part "),
        (_message(parts=[{"type": "text", "text": 5}]), "parts: "),
        (_message(parts=[{"type": "image", "url": ["a"]}]), "parts: "),
        (_message(parts=[{"type": "tool_call", "name": "f", "arguments": [1]}]), "parts: "),
        (_message(parts=[{"type": "tool_result", "tool_call_id": "1", "parts": [{"type": "reasoning"}]}]), "part "),
    ],
)
def test_a_broken_line_costs_only_itself(line: dict[str, Any] | str, reason: str) -> None:
    """The problem names the line and the reason; the lines around it are read."""
    found = list(parse(_lines(SESSION, _message(text="before"), line, _message(text="after"))))
    problems = [item for item in found if isinstance(item, Problem)]
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == ["before", "after"]
    assert [problem.where for problem in problems] == ["line 4"]
    assert problems[0].reason.startswith(reason)
    assert len(str(problems[0])) < 300


def test_messages_outlive_their_session_line() -> None:
    """Where a session's line is damaged, its messages come under its id, not under the session before."""
    found = list(parse(_lines(SESSION, _message(), '{"type":"session","id":"t",', _message(session="t", text="mine"))))
    assert [type(item).__name__ for item in found] == [
        "SessionEntry",
        "MessageEntry",
        "Problem",
        "SessionEntry",
        "MessageEntry",
    ]
    session, message = found[-2:]
    assert isinstance(session, SessionEntry)
    assert isinstance(message, MessageEntry)
    assert session.record.id == message.session_id == "t"


def test_a_newer_format_is_refused() -> None:
    """A file of a version that is yet to come is not guessed at."""
    with pytest.raises(InvalidInput, match="format version 3 is newer than 2; upgrade"):
        list(parse(['{"type":"header","format":"agent-session-core","version":3}']))


def test_empty_lines_and_a_missing_header_do_no_harm() -> None:
    """A file that was edited by hand, or cut out of a larger one, is read."""
    found = list(parse(["\ufeff\n", "\r\n", json.dumps(SESSION) + "\r\n", "", json.dumps(_message())]))
    assert [type(item).__name__ for item in found] == ["SessionEntry", "MessageEntry"]


def test_a_stored_path_is_never_opened(tmp_path: Path) -> None:
    """An address in a file is text: the secret it points at does not come in."""
    secret = tmp_path / "secret.txt"
    secret.write_text("canary")
    image = {"type": "image", "url": secret.as_uri()}
    _, entry = parse(_lines(SESSION, _message(parts=[image])))
    assert isinstance(entry, MessageEntry)
    assert entry.message.parts == (ImagePart(url=secret.as_uri()),)
