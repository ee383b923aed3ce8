"""Every kind of message and content block of langchain-core, and the providers' own, reads back equal."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    add_notification_metadata,
    message_chunk_to_message,
)
from langchain_core.messages import content as v1

from agent_session_core import InvalidInput
from langchain_sessions import message_to_record

Trip = Callable[[Sequence[BaseMessage]], list[BaseMessage]]

CALL = {"name": "search_flights", "args": {"to": "Lisbon", "days": [4, 5]}, "id": "call_1"}
USAGE = {
    "input_tokens": 350,
    "output_tokens": 240,
    "total_tokens": 590,
    "input_token_details": {"audio": 10, "cache_read": 100},
    "output_token_details": {"reasoning": 200},
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

MESSAGES: list[BaseMessage] = [
    HumanMessage("Where do we fly?"),
    HumanMessage(""),
    HumanMessage("Named", name="ana", id="h1"),
    HumanMessage("Odd \x00 text \ud800 é 日本 \u202e \U0001f600"),
    HumanMessage("Extra", additional_kwargs={"a": {"b": [1, 2.5, None, True]}}, response_metadata={"m": float("inf")}),
    HumanMessage("Extra field", mood="glad"),
    HumanMessage([]),
    HumanMessage(["two", "strings"]),
    add_notification_metadata(HumanMessage("Done."), source="async_subagent", data={"task_id": "t_42"}),
    SystemMessage("Be brief."),
    SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
    AIMessage("To Lisbon."),
    AIMessage("", tool_calls=[CALL]),
    AIMessage("Let me look.", tool_calls=[CALL, {"name": "f", "args": {}, "id": None}]),
    AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{bad", "id": "c", "error": "no JSON"}]),
    AIMessage("", invalid_tool_calls=[{"name": None, "args": None, "id": None, "error": None}]),
    AIMessage("Counted.", usage_metadata=USAGE),
    AIMessage("Counted.", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    AIMessage("Said.", id="run--1", name="planner", response_metadata={"model_name": "m", "logprobs": [[-0.5]]}),
    AIMessage("Thought.", additional_kwargs={"reasoning_content": "The fourth is a Monday, so it is cheaper."}),
    AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}}),
    AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "not json"}}),
    AIMessage(
        "",
        additional_kwargs={
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
        },
    ),
    ToolMessage("Two flights.", tool_call_id="call_1"),
    ToolMessage("Failed.", tool_call_id="call_1", name="search_flights", status="error", id="t1"),
    ToolMessage([{"type": "text", "text": "Seen"}], tool_call_id="call_1", artifact={"rows": [[1, "a"]], "n": None}),
    ToolMessage("Keys", tool_call_id="call_1", artifact={1: "a", None: "b", 2.5: {"x": {3: 4}}, False: 1}),
    ToolMessage("Tags", tool_call_id="call_1", artifact=[{"$bytes": "x"}, {"$part": [0]}, {"$literal": {"$items": 1}}]),
    ToolMessage("Bytes", tool_call_id="call_1", artifact={"raw": b"\x00\xff\xfe", "list": [b"utf8"]}),
    ToolMessage("lc", tool_call_id="call_1", artifact={"lc": 1, "type": "constructor", "id": ["os", "system"]}),
    ToolMessage("", tool_call_id=""),
    FunctionMessage(content="Done.", name="f"),
    FunctionMessage(content="", name=""),
    ChatMessage(content="As the critic.", role="critic"),
    ChatMessage(content="As the developer.", role="developer", name="dev"),
    ChatMessage(content="As the user.", role="user"),
]

BLOCKS: dict[str, Any] = {
    "text": v1.create_text_block("Hello", id="b1", index=0),
    "text, cited": v1.create_text_block(
        "Lisbon is sunny.",
        annotations=[
            v1.create_citation(url="https://a.example", title="A", start_index=0, end_index=6, cited_text="Lisbon"),
            {"type": "non_standard_annotation", "value": {"k": 1}},
        ],
        signature="EpoWCpc",
    ),
    "image by url": v1.create_image_block(url="https://a.example/x.png"),
    "image by bytes": v1.create_image_block(base64=PNG, mime_type="image/png", detail="low"),
    "image by file": v1.create_image_block(file_id="file-1"),
    "audio": v1.create_audio_block(base64=PNG, mime_type="audio/wav"),
    "video": v1.create_video_block(url="https://a.example/x.mp4", mime_type="video/mp4"),
    "video, kind unknown": v1.create_video_block(url="https://a.example/x"),
    "file": v1.create_file_block(base64=PNG, mime_type="application/pdf", filename="x.pdf"),
    "plain text": v1.create_plaintext_block("A long note\nof two lines", title="note.txt", context="ctx"),
    "plain text by url": v1.create_plaintext_block(url="https://a.example/x.txt"),
    "reasoning": v1.create_reasoning_block("First, the dates.", signature="sig"),
    "reasoning, empty": {"type": "reasoning", "id": "rs_1"},
    "tool call": v1.create_tool_call("f", {"a": 1}, id="c9"),
    "invalid tool call": {"type": "invalid_tool_call", "id": "c8", "name": "f", "args": "{", "error": "bad"},
    "invalid tool call with a number": {"type": "invalid_tool_call", "args": 1.0},
    "tool call chunk": {"type": "tool_call_chunk", "id": "c8", "name": "f", "args": '{"a', "index": 0},
    "server tool call": {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "q"}},
    "server tool call chunk": {"type": "server_tool_call_chunk", "id": "s1", "args": '{"q', "index": "lc_1"},
    "server tool result": {
        "type": "server_tool_result",
        "tool_call_id": "s1",
        "status": "success",
        "output": [{"u": 1}],
    },
    "non-standard": v1.create_non_standard_block({"any": {"thing": [1]}}),
    "OpenAI image": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}},
    "OpenAI image, short": {"type": "image_url", "image_url": "https://a.example/x.png"},
    "OpenAI audio": {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    "OpenAI file": {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}", "filename": "x.pdf"}},
    "OpenAI file by id": {"type": "file", "file": {"file_id": "file-1"}},
    "OpenAI input image": {"type": "input_image", "image_url": "https://a.example/x.png", "detail": "auto"},
    "OpenAI input file": {"type": "input_file", "file_url": "https://a.example/x.pdf"},
    "OpenAI output text": {"type": "output_text", "text": "Hi", "annotations": [{"type": "url_citation", "url": "u"}]},
    "OpenAI refusal": {"type": "refusal", "refusal": "I cannot."},
    "OpenAI reasoning": {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "Dates first."}],
    },
    "OpenAI function call": {
        "type": "function_call",
        "call_id": "c7",
        "id": "fc",
        "name": "f",
        "arguments": '{"a": 1}',
    },
    "OpenAI web search": {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    "Anthropic image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    "Anthropic image by url": {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
    "Anthropic image by id": {"type": "image", "source": {"type": "file", "file_id": "f1"}},
    "Anthropic document": {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        "title": "T",
        "citations": {"enabled": True},
        "cache_control": {"type": "ephemeral"},
    },
    "Anthropic thinking": {"type": "thinking", "thinking": "Dates first, then the price.", "signature": "s" * 80},
    "Anthropic redacted": {"type": "redacted_thinking", "data": "x" * 80},
    "Anthropic tool use": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    "Anthropic tool result": {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "ok"}, {"type": "image", "source": {"type": "url", "url": "u"}}],
        "is_error": True,
    },
    "Anthropic tool result, text": {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"},
    "Bedrock text": {"text": "Hi"},
    "Bedrock image": {"image": {"format": "png", "source": {"bytes": b"\x89PNG\xff\x00"}}},
    "Bedrock cache point": {"cachePoint": {"type": "default"}},
    "Bedrock reasoning": {"type": "reasoning_content", "reasoning_content": {"text": "Dates.", "signature": "s"}},
    "Google media": {"type": "media", "mime_type": "image/png", "data": PNG},
    "Google file": {"type": "media", "mime_type": "application/pdf", "file_uri": "https://a.example/x"},
    "LangChain v0 image": {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    "LangChain v0 file": {"type": "file", "source_type": "url", "url": "https://a.example/x.pdf"},
    "LangChain v0 text": {"type": "file", "source_type": "text", "text": "words", "mime_type": "text/plain"},
    "LangChain v0 id": {"type": "image", "source_type": "id", "id": "f1"},
    "text that is none": {"type": "text", "text": None},
    "type that is none": {"type": 5, "x": 1},
    "empty": {},
    "numbers for keys": {"type": "x", "map": {1: "a"}},
}

CHUNKS: list[BaseMessage] = [
    HumanMessageChunk(content="part"),
    SystemMessageChunk(content="part"),
    ChatMessageChunk(content="part", role="critic"),
    FunctionMessageChunk(content="part", name="f"),
    ToolMessageChunk(content="part", tool_call_id="c", artifact={"a": 1}, status="error"),
    AIMessageChunk(
        content="part", id="run-1", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    ),
    AIMessageChunk(
        content=[{"type": "text", "text": "a", "index": 0}],
        tool_call_chunks=[
            {"name": "f", "args": '{"a": 1}', "id": "c", "index": 0},
            {"name": "g", "args": "[", "id": "d", "index": 1},
        ],
        chunk_position="last",
    ),
]


def named(message: BaseMessage) -> str:
    """How a test of ``message`` is called."""
    return f"{type(message).__name__}-{message.content!s:.20}".encode("ascii", "replace").decode()


@pytest.mark.parametrize("message", MESSAGES, ids=named)
def test_every_message_type_reads_back_equal(message: BaseMessage, trip: Trip) -> None:
    """A message comes back equal, of the same class, with every field it had."""
    [back] = trip([message])
    assert type(back) is type(message)
    assert back == message


@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, SystemMessage, ToolMessage, ChatMessage, FunctionMessage])
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_every_content_block_reads_back_equal(block: dict[str, Any], cls: type[BaseMessage], trip: Trip) -> None:
    """A block comes back equal in every kind of message, alone and between others."""
    needed: dict[str, Any] = {"tool_call_id": "c"} if cls is ToolMessage else {}
    needed |= {"role": "critic"} if cls is ChatMessage else {"name": "f"} if cls is FunctionMessage else {}
    messages = [cls(content=[block], **needed), cls(content=["before", block, {"type": "text", "text": "x"}], **needed)]
    assert trip(messages) == messages


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_blocks_beside_the_calls_they_repeat(block: dict[str, Any], trip: Trip) -> None:
    """Content that repeats the tool calls, as providers have it, and the calls both come back as they were."""
    message = AIMessage(content=[block], tool_calls=[CALL], response_metadata={"model_provider": "anthropic"})
    assert trip([message]) == [message]


def test_content_blocks_read_back_the_same_by_the_frameworks_own_translation(trip: Trip) -> None:
    """What ``content_blocks`` says of a message, it says of the one that came back."""
    blocks: Any = [BLOCKS["text, cited"], BLOCKS["tool call"], BLOCKS["reasoning"]]
    message = AIMessage(content_blocks=blocks, response_metadata={"output_version": "v1"})
    [back] = trip([message])
    assert back == message
    assert back.content_blocks == message.content_blocks


@pytest.mark.parametrize("chunk", CHUNKS, ids=named)
def test_a_chunk_is_stored_as_the_message_it_adds_up_to(chunk: BaseMessage, trip: Trip) -> None:
    """A chunk of any kind comes back as the message that langchain-core itself makes of it."""
    [back] = trip([chunk])
    expected = message_chunk_to_message(chunk)
    assert type(back) is type(expected)
    assert back == expected


def test_the_chunks_of_a_stream_become_one_message(trip: Trip) -> None:
    """Chunks handed over one after another are added up; the end of a stream ends the message."""
    pieces = [AIMessageChunk(content=text, id="run-1") for text in ("We ", "fly ")]
    pieces += [
        AIMessageChunk(content="home.", id="run-1", chunk_position="last"),
        AIMessageChunk(content="Bye", id="run-1"),
    ]
    assert trip([HumanMessage("?"), *pieces]) == [
        HumanMessage("?"),
        AIMessage("We fly home.", id="run-1"),
        AIMessage("Bye", id="run-1"),
    ]


def test_usage_that_does_not_validate_survives(trip: Trip) -> None:
    """Cached models hand out usage that the framework's own validation refuses: it comes back as it was."""
    usage: Any = {"total_cost": 0}
    message = AIMessage("cached")
    message.usage_metadata = usage
    [back] = trip([message])
    assert back == message


def test_a_class_of_ones_own_reads_back_as_its_base(trip: Trip) -> None:
    """A subclass is stored as the message it is a kind of, its own fields with it; no class is looked up by name."""

    class Rated(AIMessage):
        stars: int = 5
        hidden: ClassVar[str] = "class"

    class RatedChunk(AIMessageChunk):
        stars: int = 4

    class Odd(BaseMessage):
        type: Literal["odd"] = "odd"

    back = trip([Rated(content="good", stars=3), RatedChunk(content="fair"), Odd(content="strange")])
    assert [type(message) for message in back] == [AIMessage, AIMessage, ChatMessage]
    assert back == [AIMessage("good", stars=3), AIMessage("fair", stars=4), ChatMessage(content="strange", role="odd")]


def test_objects_in_an_artifact_become_plain_values(trip: Trip) -> None:
    """What JSON has not is stored as what it consists of, or how it shows itself, and never by its class."""

    class Thing:
        def __repr__(self) -> str:
            return "<thing>"

    identity = uuid.UUID(int=7)
    artifact = {
        "docs": [Document(id="d", page_content="text", metadata={"a": (1, 2)})],
        "uuid": identity,
        "decimal": Decimal("1.50"),
        "thing": Thing(),
        "tuple": (1, (2,)),
        "set": {1},
    }
    with pytest.warns(UserWarning, match="of a Thing only the repr is stored"):
        [back] = trip([ToolMessage("x", tool_call_id="c", artifact=artifact)])
    assert isinstance(back, ToolMessage)
    assert back.artifact == {
        "docs": [{"id": "d", "page_content": "text", "metadata": {"a": [1, 2]}, "type": "Document"}],
        "uuid": str(identity),
        "decimal": "1.50",
        "thing": "<thing>",
        "tuple": [1, [2]],
        "set": [1],
    }


def test_enums_and_subclasses_become_the_plain_values_they_are(trip: Trip) -> None:
    """A text or number of a class of its own comes back as the text or number, as a key too."""

    class Colour(str, Enum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    class Odd:
        __slots__ = ()

        def __repr__(self) -> str:
            return "odd"

    artifact = {Colour.RED: Level.HIGH, "np": np.float64(2.5), "array": np.ones(2), "pair": {(1, 2): Odd()}}
    with pytest.warns(UserWarning, match="only the repr is stored") as warned:
        [back, named_by_enum] = trip([ToolMessage("x", tool_call_id="c", artifact=artifact), HumanMessage(Colour.RED)])
    assert {str(one.message).split()[3] for one in warned} == {"ndarray", "Odd"}
    assert isinstance(back, ToolMessage)
    assert back.artifact == {"red": 3, "np": 2.5, "array": repr(np.ones(2)), "pair": {"(1, 2)": "odd"}}
    assert named_by_enum.content == "red"


@pytest.mark.parametrize("field", ["additional_kwargs", "response_metadata"])
def test_an_object_that_is_no_data_is_told(trip: Trip, field: str) -> None:
    """What cannot come back equal is stored as it shows itself, and a warning names its class and nothing of it."""

    class Client:
        def __repr__(self) -> str:
            return "<client with a key>"

    with pytest.warns(UserWarning, match="message: of a Client only the repr is stored; give plain values") as warned:
        [back] = trip([AIMessage("x", **{field: {"client": Client(), "deep": [{"clients": (Client(),)}]}})])
    assert getattr(back, field) == {"client": "<client with a key>", "deep": [{"clients": ["<client with a key>"]}]}
    assert not any("key" in str(one.message) for one in warned)


def test_what_is_no_message_is_refused() -> None:
    """An order to remove, something else altogether, and content that holds itself are refused by name."""
    with pytest.raises(InvalidInput, match="RemoveMessage cannot be stored"):
        message_to_record(RemoveMessage(id="1"))
    with pytest.raises(InvalidInput, match="expected a LangChain message, got str"):
        message_to_record("hello")  # type: ignore[arg-type]  # the mistake under test
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="nested too deeply"):
        message_to_record(ToolMessage("x", tool_call_id="c", artifact=endless))
