"""What a LangChain message means to other frameworks, what is stored of it, and what a damaged origin does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agent_session_core import (
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from langchain_sessions import message_to_record, record_to_message

URL = "https://a.example/x"
LONG = "We fly to Lisbon on the fourth of May, by night, and back on the ninth."

MEANINGS: list[tuple[Any, Part]] = [
    ("Hi", TextPart("Hi")),
    ({"type": "text", "text": "Hi", "annotations": []}, TextPart("Hi")),
    ({"type": "output_text", "text": "Hi"}, TextPart("Hi")),
    ({"type": "refusal", "refusal": "No."}, TextPart("No.")),
    ({"text": "Hi"}, TextPart("Hi")),
    ({"type": "image", "url": URL, "mime_type": "image/png"}, ImagePart(url=URL, media_type="image/png")),
    ({"type": "image", "base64": "AAAA", "extras": {"detail": "low"}}, ImagePart(data="AAAA", detail="low")),
    ({"type": "image", "source_type": "base64", "data": "AAAA"}, ImagePart(data="AAAA")),
    ({"type": "image_url", "image_url": {"url": URL, "detail": "high"}}, ImagePart(url=URL, detail="high")),
    ({"type": "image_url", "image_url": "data:image/png;base64,AAAA"}, ImagePart(data="AAAA", media_type="image/png")),
    ({"type": "input_image", "image_url": URL}, ImagePart(url=URL)),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        ImagePart(data="AAAA", media_type="image/png"),
    ),
    (
        {"image": {"format": "png", "source": {"bytes": b"\x00\x00\x00"}}},
        ImagePart(data="AAAA", media_type="image/png"),
    ),
    ({"type": "media", "mime_type": "image/png", "data": "AAAA"}, ImagePart(data="AAAA", media_type="image/png")),
    ({"type": "image", "file_id": "f1"}, DataPart("image", {"type": "image", "file_id": "f1"})),
    ({"type": "audio", "url": URL}, AudioPart(url=URL)),
    (
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        AudioPart(data="AAAA", media_type="audio/wav"),
    ),
    ({"type": "video", "url": URL}, FilePart(url=URL, media_type="video/*")),
    ({"type": "file", "url": URL, "extras": {"filename": "x.pdf"}}, FilePart(url=URL, name="x.pdf")),
    (
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "x.pdf"}},
        FilePart(data="AAAA", media_type="application/pdf", name="x.pdf"),
    ),
    (
        {"type": "text-plain", "text": "abc", "title": "n.txt"},
        FilePart(data="YWJj", media_type="text/plain", name="n.txt"),
    ),
    (
        {"type": "document", "source": {"type": "text", "data": "abc"}, "title": "T"},
        FilePart(data="YWJj", media_type="text/plain", name="T"),
    ),
    ({"type": "reasoning", "reasoning": "So."}, ReasoningPart("So.")),
    ({"type": "thinking", "thinking": "So.", "signature": "s"}, ReasoningPart("So.", "s")),
    ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "So."}]}, ReasoningPart("So.")),
    (
        {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "ok"}], "is_error": True},
        ToolResultPart("c", "ok", (TextPart("ok"),), None, True),
    ),
    ({"type": "web_search_call", "id": "w"}, DataPart("web_search_call", {"type": "web_search_call", "id": "w"})),
]


@pytest.mark.parametrize(("block", "part"), MEANINGS, ids=lambda value: str(value)[:40])
def test_what_a_block_means(block: Any, part: Part) -> None:
    """A block of any provider becomes the part that every framework understands."""
    assert message_to_record(HumanMessage(content=[block])).parts == (part,)


@pytest.mark.parametrize(
    ("message", "role", "name", "call"),
    [
        (HumanMessage("x", name="ana"), "user", "ana", None),
        (AIMessage("x"), "assistant", None, None),
        (SystemMessage("x"), "system", None, None),
        (ToolMessage("x", tool_call_id="c", name="f"), "tool", "f", "c"),
        (FunctionMessage(content="x", name="f"), "tool", "f", None),
        (ChatMessage(content="x", role="developer"), "system", None, None),
        (ChatMessage(content="x", role="Model"), "assistant", None, None),
        (ChatMessage(content="x", role="critic"), "user", None, None),
    ],
)
def test_roles_names_and_calls(message: BaseMessage, role: str, name: str | None, call: str | None) -> None:
    """Role, name and the call that is answered stand in the canonical fields."""
    record = message_to_record(message)
    assert (record.role, record.text, record.name, record.tool_call_id) == (role, "x", name, call)


def test_tool_calls_stand_behind_all_else_once() -> None:
    """The calls come last, in order, and the provider's own copies of them are not taken for further calls."""
    message = AIMessage(
        content=[
            {"type": "thinking", "thinking": "So."},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "text", "text": "Let me look."},
            {"type": "tool_call", "id": "only here", "name": "g", "args": {}},
        ],
        tool_calls=[{"name": "f", "args": {"x": 1}, "id": "a"}],
        invalid_tool_calls=[{"name": "h", "args": "{bad", "id": "b", "error": "e"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    record = message_to_record(message)
    assert record.text == "Let me look."
    assert record.usage == Usage(1, 2, 3)
    assert record.parts == (
        ReasoningPart("So."),
        TextPart("Let me look."),
        ToolCallPart("a", "f", {"x": 1}),
        ToolCallPart("b", "h", "{bad"),
        ToolCallPart("only here", "g", {}),
    )


def test_what_another_framework_wrote_becomes_a_langchain_message() -> None:
    """Calls, results, pictures and names written elsewhere stand where LangChain looks for them."""
    asked = Message.assistant(
        parts=(TextPart("Let me look."), ToolCallPart("c", "f", {"x": 1})), id="m1", name="planner"
    )
    answered = Message.tool("Two flights.", tool_call_id="c", name="f")
    failed = Message.tool("No line.", tool_call_id="c", name="f", is_error=True)
    shown = Message.user(parts=(TextPart("This one"), ImagePart(data="AAAA", media_type="image/png")))
    assert record_to_message(asked) == AIMessage(
        "Let me look.", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}], id="m1", name="planner"
    )
    assert record_to_message(answered) == ToolMessage("Two flights.", tool_call_id="c", name="f")
    assert record_to_message(failed) == ToolMessage("No line.", tool_call_id="c", name="f", status="error")
    assert message_to_record(record_to_message(replace(failed, tool_call_id=None))).is_error
    assert record_to_message(shown) == HumanMessage(
        [{"type": "text", "text": "This one"}, {"type": "image", "base64": "AAAA", "mime_type": "image/png"}]
    )
    assert record_to_message(Message.tool("old", name="f")) == FunctionMessage(content="old", name="f")


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage(LONG),
        HumanMessage([{"type": "text", "text": LONG}]),
        HumanMessage([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{LONG}"}}]),
        AIMessage([{"type": "text", "text": LONG, "index": 0}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {"text": LONG}, "id": "a"}]),
        AIMessage(
            [{"type": "tool_use", "id": "a", "name": "f", "input": {"text": LONG}}],
            tool_calls=[{"name": "f", "args": {"text": LONG}, "id": "a"}],
        ),
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": LONG, "id": "a", "error": "e"}]),
        AIMessage("x", additional_kwargs={"reasoning_content": LONG}),
        AIMessage([{"type": "thinking", "thinking": "x", "signature": LONG}]),
        HumanMessage([{"type": "odd", "words": LONG}, "x"]),
    ],
)
def test_nothing_is_stored_twice(message: BaseMessage) -> None:
    """What stands in the parts already, a text, a picture, an argument or a whole block, is not in the origin too."""
    record = message_to_record(message)
    assert record.origin is not None
    assert LONG in repr(record.parts)
    assert LONG not in json.dumps(record.origin.data)
    assert record_to_message(record) == message


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "human",
        {},
        {"type": "no such type"},
        {"type": ["human"]},
        {"type": "human", "content": 5},
        {"type": "human", "content": [5]},
        {"type": "human", "content": {"$part": [9]}},
        {"type": "human", "content": {"$part": [0, "__class__"]}},
        {"type": "human", "content": {"$part": ["0"]}},
        {"type": "human", "content": {"$part": 0}},
        {"type": "human", "content": {"$part": []}},
        {"type": "human", "content": {"$bytes": "?"}},
        {"type": "human", "content": {"$items": 5}},
        {"type": "human", "content": {"$items": [[[], 1]]}},
        {"type": "human", "content": {"$literal": None}},
        {"type": "human", "additional_kwargs": "x"},
        {"type": "human", "id": 5},
        {"type": "ai", "tool_calls": [1]},
        {"type": "tool", "tool_call_id": None},
        {"type": "chat", "role": 7},
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {}},
    ],
)
def test_an_origin_that_was_not_written_here_is_not_trusted(data: Any) -> None:
    """Imported data may hold anything: what cannot be a message is left alone, and the canonical fields are read."""
    record = replace(Message.user("Hi", id="m"), origin=Origin("langchain", "1.0", data))
    assert record_to_message(record) == HumanMessage("Hi", id="m")


@pytest.mark.parametrize("key", ["__class__", "model_config", "model_fields", "self", "cls", "_fields_set", "text"])
def test_an_origins_further_fields_are_only_data(key: str) -> None:
    """A field of whatever name is kept as a further field of the message and replaces nothing of its class."""
    record = replace(Message.user("Hi"), origin=Origin("langchain", "1.0", {"type": "human", key: "x"}))
    message = record_to_message(record)
    assert type(message) is HumanMessage
    assert message.text == "Hi"
    assert message.model_dump()[key] == "x"


def test_the_origin_of_another_framework_is_left_alone() -> None:
    """Only what LangChain wrote is read as LangChain's."""
    record = replace(Message.user("Hi"), origin=Origin("llamaindex", "0.14", {"type": "ai", "content": "No"}))
    assert record_to_message(record) == HumanMessage("Hi")


@pytest.mark.parametrize("name", [None, "find"])
def test_answers_among_other_content_name_their_call(name: str | None) -> None:
    """A tool's message whose parts alone say which calls they answer is one message with the first call's id."""
    answers = (ToolResultPart("c1", "TP 123", (TextPart("TP 123"),)), ToolResultPart("c2", "none"), TextPart("Done."))
    record = Message(role="tool", parts=answers, name=name, id="m")
    message = record_to_message(record)
    assert isinstance(message, ToolMessage)
    assert message.tool_call_id == "c1"
    assert [block["type"] for block in message.content if isinstance(block, dict)] == ["tool_result"] * 2 + ["text"]
    again = message_to_record(message)
    assert (again.parts, again.tool_call_id, again.name, again.text) == (answers, None, name, record.text)


@pytest.mark.parametrize("call", ["c1", "c2"])
def test_a_tools_message_that_repeats_its_call_comes_back_equal(call: str) -> None:
    """Blocks in a provider's shape may name the message's call, or another one."""
    block = {"type": "tool_result", "tool_use_id": "c1", "content": "TP 123"}
    message = ToolMessage([block], tool_call_id=call)
    assert record_to_message(message_to_record(message)) == message
