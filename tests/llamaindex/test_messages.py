"""Messages of LlamaIndex as stored messages: what goes in comes back equal, and nothing on a disk is touched."""

from __future__ import annotations

import base64
import dataclasses
import json
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseContentBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.bridge.pydantic import AnyUrl, BaseModel, SecretStr
from llama_index.core.schema import ImageDocument

from agent_session_core.errors import InvalidInput
from agent_session_core.models import Message, Origin, TextPart, ToolResultPart
from llamaindex_sessions import message_to_record, record_to_message
from llamaindex_sessions._blocks import BLOCKS

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GONE = Path("/nowhere/at/all.bin")

TABLE: dict[str, BaseContentBlock] = {
    "text": TextBlock(text="where do we fly?"),
    "empty text": TextBlock(text=""),
    "odd text": TextBlock(text='tab\tnul\x00 quote" \ud800 \u202e 日本'),
    "image bytes": ImageBlock(image=PNG, detail="low"),
    "image bytes of no known kind": ImageBlock(image=b"\x00\x01\x02"),
    "image url": ImageBlock(url="https://example.org/a.png"),
    "image url without a path": ImageBlock(url="https://example.org"),
    "image data url": ImageBlock(url="data:image/png;base64,iVBORw=="),
    "image bytes and url": ImageBlock(image=PNG, url="https://example.org/a.png", image_mimetype="image/x-own"),
    "image of nothing": ImageBlock(),
    "image with no bytes": ImageBlock(image=b""),
    "audio bytes": AudioBlock(audio=b"\x00RIFF", format="wav"),
    "audio of mp3": AudioBlock(audio=b"\x00ID3", format="mp3"),
    "audio without a format": AudioBlock(audio=b"\x00\x00"),
    "audio with a media type": AudioBlock(audio=b"\x00\x00", format="audio/flac"),
    "audio url": AudioBlock(url="https://example.org/a.mp3"),
    "video bytes": VideoBlock(video=b"\x00\x00", video_mimetype="video/mp4", fps=3, detail="high"),
    "video without a type": VideoBlock(video=b"\x00\x00"),
    "video url": VideoBlock(url="https://example.org/a.webm"),
    "document bytes": DocumentBlock(data=b"%PDF-1.4", title="The contract"),
    "document without a title": DocumentBlock(data=b"\x04\xcf\xff", document_mimetype=None),
    "document url": DocumentBlock(url="https://example.org/a.pdf"),
    "document path as text": DocumentBlock(path="plans/a.txt"),
    "cache point": CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h")),
    "citable": CitableBlock(
        title="Guide", source="shelf 3", content=[TextBlock(text="Lisbon"), ImageBlock(image=PNG), TextBlock(text="")]
    ),
    "citable document": CitableBlock(title="Guide", source="3", content=[DocumentBlock(data=b"%PDF-1.4")]),
    "citation": CitationBlock(cited_content="so", source="s", title="t", additional_location_info={"page": 3}),
    "citation of an image": CitationBlock(
        cited_content=ImageBlock(image=PNG), source="s", title="t", additional_location_info={}
    ),
    "thinking": ThinkingBlock(content="hm", num_tokens=7, additional_information={"signature": "c2ln"}),
    "thinking with bytes": ThinkingBlock(content="hm", additional_information={"signature": b"\xff", "n": 1}),
    "thinking untold": ThinkingBlock(additional_information={"redacted": "x"}),
    "tool call": ToolCallBlock(tool_call_id="call_1", tool_name="find", tool_kwargs={"to": "Lisbon", "n": [1, 2.5]}),
    "tool call by text": ToolCallBlock(tool_call_id="call_1", tool_name="find", tool_kwargs='{"to": "Lisbon"}'),
    "tool call with broken text": ToolCallBlock(tool_call_id="call_1", tool_name="find", tool_kwargs='{"to": "Lis'),
    "tool call without an id": ToolCallBlock(tool_name="find"),
    "tool call with bytes": ToolCallBlock(tool_call_id="c", tool_name="find", tool_kwargs={"raw": b"\x00"}),
}

KWARGS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "name": {"name": "Ana"},
    "name that is none": {"name": None},
    "name that is a number": {"name": 7},
    "answer": {"tool_call_id": "call_1", "name": "find"},
    "json": {"a": [1, 2.5, None, True, "x", {"b": []}], "big": 2**70},
    "bytes": {"raw": b"\x00\xff", "inside": [{"more": b""}]},
    "keys that are no text": {"map": {1: "a", None: b"b", "c": {2.5: 3}}},
    "keys like tags": {"$bytes": "AAAA", "deep": {"$pairs": []}, "other": {"$path": "x"}},
    "dict with lc": {"lc": 1, "type": "constructor", "id": ["x"], "kwargs": {}},
    "data": {
        "path": PurePosixPath("/a/b"),
        "url": AnyUrl("https://example.org/"),
        "at": datetime(2026, 11, 22, 9, 30, tzinfo=timezone.utc),
        "on": date(2026, 11, 22),
        "id": UUID(int=5),
        "cost": Decimal("0.10"),
    },
    "calls of OpenAI": {
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"to": "x"}'}}]
    },
}


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A file that is there when a block is made of it."""
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    return path


def back(message: ChatMessage) -> ChatMessage:
    """``message`` after the way to the store and back, which must be the same way the second time."""
    record = message_to_record(message)
    assert record.origin is not None
    json.dumps(record.origin.data, allow_nan=False)
    read = record_to_message(record)
    assert message_to_record(read) == record
    return read


@pytest.mark.parametrize("role", MessageRole)
@pytest.mark.parametrize("name", TABLE)
def test_every_role_with_every_block_reads_back_equal(role: MessageRole, name: str) -> None:
    """A message of any role that holds any block is equal after storing, also among other blocks."""
    alone = ChatMessage(role=role, blocks=[TABLE[name]])
    assert back(alone) == alone
    others = [TABLE[name], TABLE["tool call"], TABLE["text"]]
    among = ChatMessage(role=role, blocks=[TABLE[name], TextBlock(text="and"), *others])
    assert back(among) == among
    assert type(back(among)) is ChatMessage


@pytest.mark.parametrize("name", KWARGS)
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_additional_kwargs_read_back_equal(role: str, name: str) -> None:
    """Whatever plain data ``additional_kwargs`` holds is equal after storing."""
    message = ChatMessage(role=role, content="hello", additional_kwargs=KWARGS[name])
    assert back(message) == message


def test_the_table_holds_every_block_of_the_installed_version() -> None:
    """A kind of block that a new version brings cannot be forgotten here."""
    assert {block.model_dump()["block_type"] for block in TABLE.values()} == set(BLOCKS)


def test_a_message_with_no_blocks_and_one_with_an_empty_text_stay_apart() -> None:
    """``content`` None and ``content`` "" are two things to LlamaIndex."""
    assert back(ChatMessage(role="user")).content is None
    assert back(ChatMessage(role="user", content="")).content == ""


def test_a_plain_message_is_stored_once() -> None:
    """Text, pictures and tool calls are in the neutral parts alone: the origin says nothing more."""
    names = ["text", "image bytes", "image url", "tool call"]
    record = message_to_record(ChatMessage(role="assistant", blocks=[TABLE[name] for name in names]))
    assert record.origin is not None
    assert record.origin.data is None
    among = message_to_record(ChatMessage(blocks=[TABLE["citable"], TABLE["image bytes and url"]]))
    assert "iVBOR" not in repr(among.origin)


def test_a_path_is_kept_as_data_and_its_file_never_looked_at(there: Path) -> None:
    """A session stays readable when the file of a block is gone, and the block still names it."""
    message = ChatMessage(
        blocks=[
            ImageBlock(path=there),
            AudioBlock(path=there, format="wav"),
            VideoBlock(path=there),
            DocumentBlock(path=there),
            ImageBlock(image=PNG, path=there),
            CitableBlock(title="t", source="s", content=[ImageBlock(path=there)]),
        ]
    )
    record = message_to_record(message)
    assert "iVBOR" not in repr(record.parts[0])
    there.unlink()
    read = record_to_message(record)
    assert read == message
    assert isinstance(read.blocks[0], ImageBlock)
    assert read.blocks[0].path == there
    assert message_to_record(read) == record


def test_a_path_in_stored_data_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ``open`` nor ``stat`` is called for a path that an imported message names."""
    data = {"blocks": [{"block_type": "image", "path": {"$path": "/etc/passwd"}}]}
    record = Message(role="user", origin=Origin("llamaindex", "0", data))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("touched the file system")

    for name in ("stat", "open", "read_bytes", "exists", "is_file"):
        monkeypatch.setattr(Path, name, refuse)
    block = record_to_message(record).blocks[0]
    assert isinstance(block, ImageBlock)
    assert str(block.path) == "/etc/passwd"


@pytest.mark.parametrize(
    ("block", "field"),
    [
        (ImageBlock(image=BytesIO(PNG)), "image"),
        (AudioBlock(audio=BytesIO(PNG), format="wav"), "audio"),
        (VideoBlock(video=BytesIO(PNG)), "video"),
        (DocumentBlock(data=BytesIO(PNG)), "data"),
    ],
)
def test_a_stream_is_stored_as_its_bytes(block: BaseContentBlock, field: str) -> None:
    """A stream comes back as the bytes it holds, in base64 as LlamaIndex keeps them, and is left where it was."""
    stream = getattr(block, field)
    stream.seek(3)
    read = back(ChatMessage(blocks=[block])).blocks[0]
    assert base64.b64decode(getattr(read, field)) == PNG
    assert stream.tell() == 3


def test_a_picture_from_a_stream_gets_its_media_type() -> None:
    """Other frameworks are told what the bytes are, as for a picture given by its bytes."""
    assert back(ChatMessage(blocks=[ImageBlock(image=BytesIO(PNG))])) == ChatMessage(blocks=[ImageBlock(image=PNG)])


def test_a_closed_stream_is_refused_by_name() -> None:
    """What cannot be read cannot be stored: the error says so before anything is written."""
    stream = BytesIO(PNG)
    block = ImageBlock(image=stream)
    stream.close()
    with pytest.raises(InvalidInput, match="BytesIO cannot be read"):
        message_to_record(ChatMessage(blocks=[block]))


def test_objects_of_a_provider_come_back_as_the_data_they_hold() -> None:
    """An object in ``additional_kwargs`` costs neither the message nor a secret, and is stable from then on."""

    class Function(BaseModel):
        name: str
        arguments: str
        key: SecretStr = SecretStr("hush")

    class Call(BaseModel):
        id: str
        function: Function

    @dataclass
    class Usage:
        tokens: int
        raw: bytes

    class Odd:
        def __repr__(self) -> str:
            return "Odd()"

    kwargs = {
        "tool_calls": [Call(id="call_1", function=Function(name="find", arguments='{"to": "x"}'))],
        "usage": Usage(3, b"\x00"),
        "odd": Odd(),
        "many": {3, 1, 2},
        "pair": (1, 2),
        "role": MessageRole.USER,
    }
    message = ChatMessage(role="assistant", content="", additional_kwargs=kwargs)
    record = message_to_record(message)
    assert "hush" not in repr(record)
    (call,) = record.parts
    assert dataclasses.asdict(call) == {"id": "call_1", "name": "find", "arguments": {"to": "x"}}
    assert back(message).additional_kwargs == {
        "tool_calls": [
            {"id": "call_1", "function": {"name": "find", "arguments": '{"to": "x"}', "key": "SecretStr('**********')"}}
        ],
        "usage": {"tokens": 3, "raw": b"\x00"},
        "odd": "Odd()",
        "many": [1, 2, 3],
        "pair": [1, 2],
        "role": "user",
    }


def test_images_of_the_former_kind_are_kept_as_the_blocks_they_became(there: Path) -> None:
    """``additional_kwargs["images"]`` is not kept: LlamaIndex would open the files again each time it sees it."""
    message = ChatMessage(content="look", additional_kwargs={"images": [ImageDocument(image_path=str(there))], "n": 1})
    there.unlink()
    read = ChatResponse(message=back(message)).message
    assert read.blocks == message.blocks
    assert read.additional_kwargs == {"n": 1}
    hostile = Origin("llamaindex", "0", {"kwargs": {"images": [{"image_path": "/etc/passwd"}]}})
    assert ChatResponse(message=record_to_message(Message(role="user", origin=hostile))).message.additional_kwargs == {}


def test_a_model_that_cannot_be_dumped_does_not_cost_the_message() -> None:
    """Where a provider's serializer fails, its text is kept."""

    class Broken(BaseModel):
        x: int = 1

        def model_dump(self, **_: Any) -> dict[str, Any]:
            raise RuntimeError("no")

    assert back(ChatMessage(content="hi", additional_kwargs={"b": Broken()})).additional_kwargs == {"b": "Broken(x=1)"}


def test_too_deep_a_value_is_refused_by_name() -> None:
    """Nesting without end, a cycle among it, is refused with the limit."""
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(InvalidInput, match="nested deeper than 90"):
        message_to_record(ChatMessage(content="hi", additional_kwargs={"x": cycle}))


def test_what_is_no_message_is_refused() -> None:
    """A string in place of a message is named."""
    with pytest.raises(InvalidInput, match="expected a ChatMessage, got str"):
        message_to_record("hello")  # type: ignore[arg-type]  # the mistake under test


DAMAGED: list[Any] = [
    "text",
    7,
    {"role": "emperor"},
    {"blocks": 5},
    {"blocks": [9]},
    {"blocks": [{"block_type": "unheard of"}]},
    {"blocks": [{"block_type": "text"}]},
    {"blocks": [{"block_type": "text", "text": 5}]},
    {"blocks": [{"block_type": "text", "text": "x", "more": 1}]},
    {"blocks": [{"block_type": "image", "image": {"$bytes": 5}}]},
    {"blocks": [{"block_type": "image", "url": {"$url": "::"}}]},
    {"blocks": [{"block_type": "citable", "title": "t", "source": "s", "content": ["x"]}]},
    {"blocks": [{"block_type": "cache", "cache_control": {"ttl": "x"}}]},
    {"blocks": [[0, {"text": 5}]]},
    {"blocks": [[0, {"__class__": "x"}]]},
    {"kwargs": [1]},
    {"kwargs": {"$pairs": 1}},
]


@pytest.mark.parametrize("data", DAMAGED, ids=repr)
def test_a_damaged_origin_falls_back_to_what_the_message_says(data: Any) -> None:
    """Hostile or broken origins never make a session unreadable, and build nothing they name."""
    record = Message(role="user", text="hello", origin=Origin("llamaindex", "9.9", data))
    assert record_to_message(record) == ChatMessage(role="user", content="hello")


def test_an_unknown_kind_of_block_is_kept_as_data() -> None:
    """A block that a newer llama-index-core brings is stored, and read as text."""

    class NewBlock(TextBlock):
        block_type: str = "new"  # type: ignore[assignment]  # what a newer version may do

    message = ChatMessage.model_construct(role=MessageRole.USER, additional_kwargs={}, blocks=[NewBlock(text="hi")])
    assert message_to_record(message).parts == (TextPart("hi"),)
    assert record_to_message(message_to_record(message)).content == "hi"


def test_answers_among_other_content_name_their_call() -> None:
    """Where parts alone say which calls a tool's message answers, LlamaIndex is told the first; nothing is changed."""
    record = Message(role="tool", name="find", parts=(ToolResultPart("c1", "TP 123"), ToolResultPart("c2", "none")))
    message = record_to_message(record)
    assert message.additional_kwargs == {"name": "find", "tool_call_id": "c1"}
    assert message_to_record(message) == record
