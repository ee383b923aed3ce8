"""Any message reads back equal, and no cut leaves a result without its call: properties over random messages."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_session_core import (
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    Part,
    ReasoningPart,
    SessionStore,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    _json,
)
from agent_session_core.content import from_row, part_from_json, part_to_json, to_row
from agent_session_core.turns import unanswerable

# Two surrogates that belong together are the character they stand for: text has one way to write it.
texts = st.text(st.characters(), max_size=30).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
maybe = st.none() | texts
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.integers(10**18, 10**40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
contents = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ImagePart, url=maybe, data=maybe, media_type=maybe, detail=maybe),
    st.builds(AudioPart, url=maybe, data=maybe, media_type=maybe),
    st.builds(FilePart, url=maybe, data=maybe, media_type=maybe, name=maybe),
    st.builds(DataPart, texts, json_values),
)
parts: st.SearchStrategy[Part] = st.one_of(
    contents,
    st.builds(ReasoningPart, texts, signature=maybe),
    st.builds(ToolCallPart, maybe, texts, texts | st.dictionaries(texts, json_values, max_size=3)),
    st.builds(ToolResultPart, texts, texts, st.lists(contents, max_size=2).map(tuple), maybe, st.booleans()),
)
zones = st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
finite = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/"), min_size=1, max_size=9)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    text=texts,
    parts=st.lists(parts, max_size=4).map(tuple),
    name=maybe,
    tool_call_id=maybe,
    author=maybe,
    created_at=st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones),  # noqa: DTZ001  # hypothesis adds the zone
    usage=st.none() | st.builds(Usage, *[st.integers(0, 10**15)] * 3),
    metadata=st.dictionaries(texts, finite, max_size=3),
    origin=st.none() | st.builds(Origin, names, names, json_values),
)
FIELDS = ("role", "text", "parts", "name", "tool_call_id", "author", "usage", "metadata", "origin")


@pytest.fixture(scope="module")
def store() -> Iterator[SessionStore]:
    """A store in memory."""
    with SessionStore.open("sqlite://", index="off") as opened:
        yield opened


@settings(max_examples=200, deadline=None)
@given(messages)
def test_any_message_reads_back_equal(message: Message) -> None:
    """Through its row and back, each field is equal; without a time it gets the one of storing, in UTC."""
    row = to_row(message, at=1_700_000_000_000_000)
    read = from_row((1, 1, *row))
    for field in FIELDS:
        assert getattr(read, field) == getattr(message, field), field
    if message.created_at is None:
        assert read.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)
    else:
        assert read.created_at == message.created_at
        assert read.created_at.utcoffset() == message.created_at.utcoffset()
    for value in row:
        assert isinstance(value, int | str | None)
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value
    assert all(text is None or text.isascii() for text in (row.payload, row.metadata, row.origin_data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(messages, max_size=4))
def test_what_append_returns_is_what_is_read(store: SessionStore, said: list[Message]) -> None:
    """The database changes nothing on the way, and a history replaced by itself keeps its rows."""
    session = store.session()
    stored = session.append(said)
    everything = session.messages(roles=["system", "user", "assistant", "tool"])
    assert [message for message in stored if message in everything] == everything
    replaced = session.replace(said)
    assert [message.seq for message in replaced] == [message.seq for message in stored]


@settings(max_examples=200, deadline=None)
@given(parts)
def test_any_part_is_plain_json(part: Part) -> None:
    """A part's JSON is one that any reader of JSON gives back."""
    assert part_from_json(json.loads(json.dumps(part_to_json(part)))) == part


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_both_decoders_agree(value: Any) -> None:
    """Stored JSON is the value again, with the same types, whichever decoder reads it."""
    text = _json.encode(value, "x")
    for read in (_json.decode(text), json.loads(text), _json.decode(" " + text)):
        assert read == value
        assert repr(read) == repr(value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(1, 2), max_size=2), min_size=1, max_size=5), st.integers(0, 10**6))
def test_no_cut_leaves_an_orphan(store: SessionStore, turns: list[list[int]], seed: int) -> None:
    """Read and taken back at random places, 170 times for each of 60 histories: never a result without its call."""
    session, chance = store.session(), random.Random(seed)
    session.append(_conversation(turns))
    for _ in range(170):
        read = session.messages(**_cut(chance, 24))
        assert not unanswerable(read)
        if chance.random() < 0.05:
            changes: list[Callable[[], object]] = [
                session.pop_turn,
                lambda: session.remove(first=chance.randint(0, 2)),
                lambda: session.remove(last=chance.randint(0, 2)),
                lambda: session.remove(index=chance.randint(0, 9)),
                lambda: session.remove(seqs=[chance.randint(1, 24)]),
                lambda: session.set_aside(first=chance.randint(0, 2)),
                lambda: session.append(_conversation(turns[:2])),
                lambda: session.replace(session.messages()[: chance.randint(0, 24)]),
            ]
            chance.choice(changes)()


def _cut(chance: random.Random, most: int) -> dict[str, Any]:
    cut: dict[str, Any] = chance.choice(
        [
            {"last": chance.randint(1, most)},
            {"since": chance.randint(0, most)},
            {"last": chance.randint(1, most), "since": chance.randint(0, most)},
            {"offset": chance.randint(0, most), "limit": chance.randint(1, most)},
            {"offset": chance.randint(0, most)},
            {"roles": chance.sample(["system", "user", "assistant", "tool"], chance.randint(1, 4))},
            {},
        ]
    )
    return {**cut, "archived": chance.choice([False, False, False, True, None])}


def _conversation(turns: list[list[int]]) -> list[Message]:
    """Turns, each with rounds of so many calls; ids repeat from turn to turn, as some models' do."""
    said = []
    for rounds in turns:
        said.append(Message.user("go"))
        for number, calls in enumerate(rounds):
            ids = [f"call-{number}-{place}" for place in range(calls)]
            said.append(Message.assistant("", parts=tuple(ToolCallPart(id_, "tool", {}) for id_ in ids)))
            said.extend(Message.tool("done", tool_call_id=id_) for id_ in ids)
        said.append(Message.assistant("done"))
    return said
