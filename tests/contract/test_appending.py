"""What an append promises, however the store is driven."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent_session_core import (
    DataPart,
    ImagePart,
    InvalidInput,
    Message,
    MessageConflict,
    Origin,
    ReasoningPart,
    Session,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

ALL_OF_IT = Message(
    role="assistant",
    text="to read",
    parts=(
        TextPart("to read"),
        TextPart("more"),
        ImagePart(data="AAAA", media_type="image/png"),
        DataPart("chart", {"values": [1.5, None, True, {"a": "ü"}]}),
        ReasoningPart("because", signature="sealed"),
        ToolCallPart("c1", "search", {"query": "Lisbon"}),
        ToolCallPart(None, "broken", "{not json"),
        ToolResultPart("c0", "found", parts=(TextPart("x"), ImagePart(url="https://a")), name="search", is_error=True),
    ),
    id="m1",
    name="planner",
    author="agent-7",
    created_at=datetime(2026, 5, 4, 3, 2, 1, 654321, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    usage=Usage(10, 20, 30),
    metadata={"topic": "flights", "nested": {"deep": [1, 2]}},
    origin=Origin("langchain", "1.0", {"type": "ai", "lc": 1, "big": 10**25, "list": [1, [2, [3]]]}),
)


def _texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


class Model:
    """A framework's message, as models of pydantic are: it can be iterated, and gives its fields."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        yield "content", "x"


def test_a_frameworks_message_is_refused_as_what_it_is(main_session: Session) -> None:
    """Alone or in a list, whether it can be iterated or not, the error names its type and who makes a Message of it."""
    bad: Any = Model()
    told = (
        r"^messages: expected a Message, got Model .*; use Message\.user\(\.\.\.\), or the adapter's message_to_record"
    )
    for method in (main_session.append, main_session.replace):
        for given in (bad, [bad], iter([bad])):
            with pytest.raises(InvalidInput, match=told):
                method(given)
    assert main_session.append(message for message in [Message.user("a"), Message.user("b")])[1].seq == 2


def test_what_is_stored_is_returned_and_read_back(session: Session) -> None:
    """Every field of a message comes back, with its place; the answer of append is what a read gives."""
    (stored,) = session.append(ALL_OF_IT)
    assert [stored] == session.messages()
    assert (stored.seq, stored.run) == (1, 1)
    for field in ("role", "text", "parts", "id", "name", "author", "created_at", "usage", "metadata", "origin"):
        assert getattr(stored, field) == getattr(ALL_OF_IT, field), field
    assert stored.created_at is not None
    assert stored.created_at.utcoffset() == timedelta(hours=-3, minutes=-30)


def test_messages_come_singly_or_in_lists(session: Session) -> None:
    """One, several, and lists of them are appended in the order given, numbered without a gap."""
    before = datetime.now(timezone.utc)
    session.append(Message.user("one"))
    session.append(Message.assistant("two"), Message.user("three"))
    session.append([Message.assistant("four")], Message.user("five"), (m for m in [Message.assistant("six")]))
    assert session.append() == []
    read = session.messages()
    assert _texts(read) == ["one", "two", "three", "four", "five", "six"]
    assert [message.seq for message in read] == [1, 2, 3, 4, 5, 6]
    assert len({message.id for message in read}) == 6
    for message in read:
        assert message.created_at is not None
        assert before - timedelta(milliseconds=1) <= message.created_at <= datetime.now(timezone.utc)
    assert session.count() == 6


def test_a_long_list_is_one_append(session: Session) -> None:
    """Many messages with ids go in together, and in a second time without a change."""
    many = [Message.user(str(number), id=f"m{number}") for number in range(601)]
    assert [message.seq for message in session.append(many)] == list(range(1, 602))
    assert [message.seq for message in session.append(many)] == list(range(1, 602))
    assert session.count() == 601


def test_the_same_message_again_changes_nothing(session: Session) -> None:
    """An id that is there with the same content is a repeat, whatever else the call holds, also within one call."""
    first, revision = session.append(ALL_OF_IT), session.revision
    assert session.append(ALL_OF_IT) == first
    assert session.revision == revision
    twice = Message.user("twin", id="twin")
    answer = session.append(Message.user("new"), ALL_OF_IT, twice, twice)
    assert [message.seq for message in answer] == [2, 1, 3, 3]
    assert session.count() == 3


def test_the_same_content_is_the_same_in_any_order_of_keys(session: Session) -> None:
    """A repeat may give its mappings in another order; the time counts only where it is given."""
    one = {"a": 1, "b": {"x": 1, "y": [float("inf")]}}
    other = {"b": {"y": [float("inf")], "x": 1}, "a": 1}
    made = session.append(Message.user("x", id="m", parts=(DataPart("d", one),), origin=Origin("f", "1", one)))
    again = session.append(Message.user("x", id="m", parts=(DataPart("d", other),), origin=Origin("f", "2", other)))
    assert again == made


@pytest.mark.parametrize(
    "other",
    [
        Message.user("other", id="m"),
        Message.assistant("text", id="m"),
        Message.user("text", id="m", name="ana"),
        Message.user("text", id="m", author="bob"),
        Message.user("text", id="m", metadata={"a": 2}),
        Message.user("text", id="m", parts=(TextPart("text"), ImagePart(url="https://a"))),
        Message.user("text", id="m", created_at=datetime(2020, 1, 1, tzinfo=timezone.utc)),
        Message.user("text", id="m", usage=Usage(1, 2, 3)),
        Message.user("text", id="m", origin=Origin("f", "1", {"a": 2})),
    ],
    ids=["text", "role", "name", "author", "metadata", "parts", "created_at", "usage", "origin"],
)
def test_another_message_of_an_id_is_a_conflict(main_session: Session, other: Message) -> None:
    """An id with other content is refused, and nothing of the call is stored."""
    session = main_session
    session.append(Message.user("text", id="m", metadata={"a": 1}, origin=Origin("f", "1", {"a": 1})))
    before = session.record(), session.messages()
    with pytest.raises(MessageConflict, match="id: 'm' is taken by a message with other content; give it another id"):
        session.append(Message.user("new"), other, Message.user("newer"))
    assert (session.record(), session.messages()) == before


def test_two_contents_of_an_id_in_one_call_conflict(session: Session) -> None:
    """The rule holds within a call too."""
    with pytest.raises(MessageConflict):
        session.append(Message.user("a", id="m"), Message.user("b", id="m"))
    assert session.count() == 0
    assert session.record().revision == 0


def test_no_id_never_means_the_same_message(session: Session) -> None:
    """Messages without an id are new ones each time, however alike."""
    same = Message.user("again")
    session.append(same, same)
    session.append(same)
    assert session.count() == 3


def test_an_id_that_was_taken_back_is_free(session: Session) -> None:
    """After a removal its id may come again, with the same or another content, and gets a new place."""
    session.append(Message.user("one", id="m"))
    session.remove()
    assert [message.seq for message in session.append(Message.user("two", id="m"))] == [2]
    session.remove()
    assert [message.seq for message in session.append(Message.user("one", id="m"))] == [3]
    assert _texts(session.messages()) == ["one"]


def test_loose_takes_a_resent_beginning_for_a_repeat(session: Session) -> None:
    """A framework that hands over the whole history again adds only what is new."""
    history = [Message.user("hi", id="1"), Message.assistant("hello", id="2")]
    first = session.append(history, ids="loose")
    longer = session.append([*history, Message.user("bye", id="3")], ids="loose")
    assert longer[:2] == first
    assert [message.id for message in session.messages()] == ["1", "2", "3"]


def test_loose_gives_a_taken_id_anew(session: Session) -> None:
    """What does not continue a resent beginning is a message of its own, also with an id and content that is there."""
    session.append(Message.user("hi", id="1"), Message.assistant("fixed answer", id="run-1"))
    answer = session.append(Message.user("more"), Message.assistant("fixed answer", id="run-1"), ids="loose")
    assert [message.seq for message in answer] == [3, 4]
    assert answer[1].id not in (None, "run-1")
    edited = session.append(Message.user("edited", id="1"), Message.user("edited", id="1"), ids="loose")
    assert len({message.id for message in edited} | {"1"}) == 3
    assert _texts(session.messages()) == ["hi", "fixed answer", "more", "fixed answer", "edited", "edited"]


def test_loose_leaves_an_unusable_id_aside(session: Session) -> None:
    """An id that could be none of ours does not stop a framework: the row gets one of its own."""
    odd = [Message.user(str(place), id=odd) for place, odd in enumerate(["", "a\x00b", "x" * 600, "\ud800"])]
    stored = session.append(odd, ids="loose")
    assert _texts(stored) == ["0", "1", "2", "3"]
    assert {message.id for message in stored}.isdisjoint(message.id for message in odd)


def test_a_message_keeps_its_offset(session: Session) -> None:
    """Times come back as the moment they were, in the offset they were given in, to the microsecond."""
    zones = [timezone.utc, timezone(timedelta(hours=14)), timezone(-timedelta(hours=9, minutes=30, seconds=7))]
    moments = [datetime(year, 12, 31, 23, 59, 59, 999_999, tzinfo=zone) for year in (2, 1969, 2026) for zone in zones]
    session.append([Message.user("x", created_at=moment) for moment in moments])
    read = [message.created_at for message in session.messages()]
    assert read == moments
    assert [moment and moment.utcoffset() for moment in read] == [moment.utcoffset() for moment in moments]


ODD_TEXTS = (
    "a NUL \x00 inside",
    "\ud800 alone, and \udfff",
    "\u202eright to left\u202c",
    "👩‍👩‍👧‍👦 e\u0301 \u200b\ufeff",
    "line\r\nbreaks\u2028and\tcontrol\x1b[0m",
    "'; DROP TABLE messages; --",
    "\x00",
    " ",
)


def test_odd_texts_are_kept_exactly(session: Session) -> None:
    """Whatever a text holds, it comes back the same, in every field that holds text."""
    for odd in ODD_TEXTS:
        message = Message(
            role="tool",
            text=odd,
            parts=(TextPart(odd), TextPart(odd + "!"), DataPart(odd, {odd: odd}), ToolCallPart(odd, odd, {odd: [odd]})),
            name=odd,
            tool_call_id=odd + "?",
            author=odd,
            metadata={odd: odd},
            origin=Origin("f", "1", {odd: odd}),
        )
        (stored,) = session.append(message)
        assert stored == session.messages()[-1]
        for field in ("text", "parts", "name", "tool_call_id", "author", "metadata", "origin"):
            assert getattr(stored, field) == getattr(message, field), (field, odd)
    session.remove()
    session.append([Message.user(odd) for odd in ODD_TEXTS])
    assert _texts(session.messages()) == list(ODD_TEXTS)


def test_a_pair_of_surrogates_is_the_character_it_stands_for(session: Session) -> None:
    """Two surrogates that belong together are no lone ones: JSON has no other way to write the character."""
    session.append(Message.user("\ud83d\ude00"))
    assert _texts(session.messages()) == ["😀"]


def test_odd_numbers_are_kept_exactly(session: Session) -> None:
    """NaN, infinities, huge integers and deep lists in an origin come back as they went in."""
    deep: list[object] = []
    for _ in range(90):
        deep = [deep]
    numbers = [2**53 + 1, 2**63, -(2**64), 10**100, 0.1, 1e-308, -0.0, float("inf"), float("-inf"), deep]
    session.append(Message.user("x", origin=Origin("f", "1", [*numbers, float("nan")])))
    (read,) = session.messages()
    assert read.origin is not None
    assert read.origin.data[:-1] == numbers
    assert [type(number) for number in read.origin.data[:-1]] == [type(number) for number in numbers]
    assert repr(read.origin.data[-1]) == "nan"
