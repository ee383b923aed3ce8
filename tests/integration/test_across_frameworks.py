"""What LangChain wrote LlamaIndex reads, and the other way: everything in its place, and no stored byte changed."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
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
from llama_index.core.memory import ChatSummaryMemoryBuffer, Memory

from agent_session_core import SessionStore
from langchain_sessions import SessionChatMessageHistory
from llamaindex_sessions import AsyncSessionChatStore, SessionChatStore

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_TEXT = base64.b64encode(PNG).decode("ascii")

BY_LANGCHAIN: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage(
        [
            {"type": "text", "text": "Where is this?"},
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/png"},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
            {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"},
        ],
        name="Ana",
        id="h1",
    ),
    AIMessage(
        [{"type": "reasoning", "reasoning": "A tower."}, {"type": "text", "text": "Let me look."}],
        tool_calls=[
            {"id": "c1", "name": "find", "args": {"what": "tower", "near": {"lat": 38.7}}},
            {"id": "c2", "name": "weather", "args": {}},
        ],
        id="a1",
        usage_metadata={"input_tokens": 12, "output_tokens": 5, "total_tokens": 17},
        response_metadata={"model_name": "m-1"},
    ),
    ToolMessage("Torre de Belém", tool_call_id="c1", name="find", artifact={"score": 0.9}),
    ToolMessage([{"type": "text", "text": "18 °C"}], tool_call_id="c2", name="weather", status="error"),
    AIMessage("In Lisbon, at 18 °C.", name="guide"),
]

READ_BY_LLAMAINDEX = [
    ChatMessage(role="system", content="Be brief."),
    ChatMessage(
        role="user",
        blocks=[
            TextBlock(text="Where is this?"),
            ImageBlock(image=PNG, image_mimetype="image/png"),
            ImageBlock(url="https://example.org/a.png", detail="low"),
            DocumentBlock(data=b"%PDF-", document_mimetype="application/pdf"),
        ],
        additional_kwargs={"name": "Ana"},
    ),
    ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="A tower."),
            TextBlock(text="Let me look."),
            ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs={"what": "tower", "near": {"lat": 38.7}}),
            ToolCallBlock(tool_call_id="c2", tool_name="weather", tool_kwargs={}),
        ],
    ),
    ChatMessage(role="tool", content="Torre de Belém", additional_kwargs={"tool_call_id": "c1", "name": "find"}),
    ChatMessage(
        role="tool", content="18 °C", additional_kwargs={"tool_call_id": "c2", "name": "weather", "is_error": True}
    ),
    ChatMessage(role="assistant", content="In Lisbon, at 18 °C.", additional_kwargs={"name": "guide"}),
]

BY_LLAMAINDEX = [
    ChatMessage(role=MessageRole.DEVELOPER, content="Be brief."),
    ChatMessage(
        role="user",
        blocks=[
            TextBlock(text="Where is this?"),
            ImageBlock(image=PNG, detail="high"),
            ImageBlock(url="https://example.org/a.png"),
            AudioBlock(audio=b"\x00ID3", format="mp3"),
            VideoBlock(url="https://example.org/a.mp4", fps=2),
            DocumentBlock(data=b"%PDF-", title="Guide.pdf"),
            CitableBlock(title="Guide", source="shelf", content=[TextBlock(text="Belém is in Lisbon.")]),
            CachePoint(cache_control=CacheControl(type="ephemeral")),
        ],
        additional_kwargs={"name": "Ana", "trace": b"\x00\x01"},
    ),
    ChatMessage(
        role="assistant",
        blocks=[
            ThinkingBlock(content="A tower.", additional_information={"signature": "c2ln", "raw": b"\xff"}),
            ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs='{"what": "tower"}'),
            TextBlock(text="Let me look."),
            ToolCallBlock(tool_name="weather"),
        ],
    ),
    ChatMessage(role="tool", content="Torre de Belém", additional_kwargs={"tool_call_id": "c1", "name": "find"}),
    ChatMessage(
        role="tool",
        blocks=[TextBlock(text="18 °C"), ImageBlock(image=PNG)],
        additional_kwargs={"tool_call_id": "weather", "is_error": True},
    ),
    ChatMessage(
        role=MessageRole.MODEL,
        blocks=[
            TextBlock(text="In Lisbon, at 18 °C."),
            CitationBlock(cited_content="Belém", source="shelf", title="Guide", additional_location_info={"page": 3}),
        ],
    ),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database's file."""
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SessionStore]:
    """A store that both frameworks work on."""
    with SessionStore.open(f"sqlite:///{path}", index="off") as opened:
        yield opened


@pytest.fixture
def history(store: SessionStore) -> SessionChatMessageHistory:
    """The session as LangChain has it."""
    return SessionChatMessageHistory("trip", store=store)


@pytest.fixture
def chats(store: SessionStore) -> SessionChatStore:
    """The sessions as LlamaIndex has them."""
    return SessionChatStore(store)


def rows(path: Path) -> list[dict[str, Any]]:
    """Every stored byte of every message, but for when its state was last changed."""
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    try:
        found = [dict(row) for row in database.execute("SELECT * FROM messages ORDER BY session, seq")]
    finally:
        database.close()
    return [{column: value for column, value in row.items() if column != "changed_at_revision"} for row in found]


def test_llamaindex_reads_what_langchain_wrote(history: SessionChatMessageHistory, chats: SessionChatStore) -> None:
    """Text, pictures, reasoning, calls, results and names stand where LlamaIndex looks for them."""
    history.add_messages(BY_LANGCHAIN)
    assert chats.get_messages("trip") == READ_BY_LLAMAINDEX


def test_langchain_reads_what_llamaindex_wrote(history: SessionChatMessageHistory, chats: SessionChatStore) -> None:
    """Text, pictures, reasoning, calls, results and names stand where LangChain looks for them."""
    chats.set_messages("trip", BY_LLAMAINDEX)
    system, human, call, found, weather, answer = history.messages
    assert (type(system), system.content) == (SystemMessage, "Be brief.")
    assert (type(human), human.name) == (HumanMessage, "Ana")
    assert [block["type"] for block in human.content_blocks] == [
        *("text", "image", "image", "audio", "video", "file", "text", "non_standard")
    ]
    assert human.content_blocks[1] == {
        "type": "image",
        "base64": PNG_TEXT,
        "mime_type": "image/png",
        "extras": {"detail": "high"},
    }
    assert human.content_blocks[2]["url"] == "https://example.org/a.png"  # type: ignore[typeddict-item]  # an image
    assert "Belém is in Lisbon." in human.text
    assert isinstance(call, AIMessage)
    assert call.text == "Let me look."
    assert call.content_blocks[0]["type"] == "reasoning"
    assert call.content_blocks[0]["reasoning"] == "A tower."
    assert [(made["id"], made["name"], made["args"]) for made in call.tool_calls] == [
        ("c1", "find", {"what": "tower"}),
        ("weather", "weather", {}),
    ]
    assert isinstance(found, ToolMessage)
    assert (found.tool_call_id, found.name, found.content) == ("c1", "find", "Torre de Belém")
    assert isinstance(weather, ToolMessage)
    assert (weather.tool_call_id, weather.status) == ("weather", "error")
    assert [block["type"] for block in weather.content_blocks] == ["text", "image"]
    assert isinstance(answer, AIMessage)
    assert answer.text == "In Lisbon, at 18 °C."


def test_a_failed_call_is_a_failed_call(
    history: SessionChatMessageHistory, chats: SessionChatStore, store: SessionStore
) -> None:
    """Whichever framework wrote its answer: in the other one, in the message, and in the ledger of tool calls."""
    history.add_messages(BY_LANGCHAIN)
    chats.set_messages("other", BY_LLAMAINDEX)
    for session_id in ("trip", "other"):
        session = store.session(session_id)
        assert [message.is_error for message in session.messages() if message.role == "tool"] == [False, True]
        (failed,) = session.tool_calls("failed")
        assert (failed.name, failed.error) == ("weather", "18 °C")
        assert [call.name for call in session.tool_calls("succeeded")] == ["find"]


def test_going_through_llamaindex_changes_no_byte(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path
) -> None:
    """What LangChain wrote is, row by row, what it was after LlamaIndex has read and set it, and reads back equal."""
    history.add_messages(BY_LANGCHAIN)
    before = rows(path)
    written = history.messages
    chats.set_messages("trip", chats.get_messages("trip"))
    buffer = ChatSummaryMemoryBuffer.from_defaults(
        chat_store=chats, chat_store_key="trip", token_limit=1_000, tokenizer_fn=str.split
    )
    buffer.get()
    assert rows(path) == before
    assert history.messages == written == BY_LANGCHAIN


def test_going_through_langchain_changes_no_byte(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path
) -> None:
    """What LlamaIndex wrote is, row by row, what it was after LangChain has read and set it, and reads back equal."""
    chats.set_messages("trip", BY_LLAMAINDEX)
    before = rows(path)
    history.messages = history.messages
    assert rows(path) == before
    assert chats.get_messages("trip") == BY_LLAMAINDEX


def test_each_continues_what_the_other_began(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path
) -> None:
    """Adding by turns leaves every earlier row as it was, and each reads its own messages equal."""
    history.add_messages(BY_LANGCHAIN[:2])
    first = rows(path)
    chats.add_message("trip", BY_LLAMAINDEX[2])
    for message in BY_LLAMAINDEX[3:]:
        chats.add_message("trip", message)
    second = rows(path)
    assert second[:2] == first
    chats.set_messages("trip", [*chats.get_messages("trip"), ChatMessage(role="user", content="And then?")])
    history.messages = [*history.messages, AIMessage("Belém.", id="a9")]
    third = rows(path)
    assert third[:6] == second
    assert len(third) == 8
    assert history.messages[:2] == BY_LANGCHAIN[:2]
    assert chats.get_messages("trip")[2:6] == BY_LLAMAINDEX[2:]


def test_what_llamaindex_writes_anew_stays_langchains(
    history: SessionChatMessageHistory, chats: SessionChatStore
) -> None:
    """Where the beginning changes, the rest is appended anew, and LangChain still reads its own messages equal."""
    history.add_messages(BY_LANGCHAIN)
    summary = ChatMessage(role="system", content="Earlier: a greeting.")
    chats.set_messages("trip", [summary, *chats.get_messages("trip")[1:]])
    again = history.messages[1:]
    assert [message.model_copy(update={"id": None}) for message in again] == [
        message.model_copy(update={"id": None}) for message in BY_LANGCHAIN[1:]
    ]


def test_a_message_changed_by_llamaindex_is_a_new_one(
    history: SessionChatMessageHistory, chats: SessionChatStore
) -> None:
    """Editing what was read stores the edit, not the form that was carried along."""
    history.add_messages([HumanMessage("hello", id="h1")])
    (read,) = chats.get_messages("trip")
    read.blocks = [TextBlock(text="good morning")]
    chats.set_messages("trip", [read])
    assert [message.content for message in history.messages] == ["good morning"]


@pytest.mark.parametrize(
    "change",
    [
        {"additional_kwargs": {"rated": 5}},
        {"response_metadata": {"model_name": "m-2"}},
        {"usage_metadata": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}},
        {"id": "mine"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_only_langchain_knows_can_be_changed(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path, change: dict[str, Any]
) -> None:
    """A change to what LlamaIndex wrote is kept, though the neutral fields say the same; what was not changed stays."""
    chats.set_messages("trip", [ChatMessage(role="user", content="Hi"), ChatMessage(role="assistant", content="Hello")])
    before = rows(path)
    first, second = history.messages
    changed = second.model_copy(update=change)
    history.messages = [first, changed]
    assert history.messages == [first, changed]
    assert rows(path)[0] == before[0]
    history.messages = history.messages
    assert history.messages == [first, changed]


def test_that_a_tool_failed_can_be_changed(history: SessionChatMessageHistory) -> None:
    """A result that turns out to be an error is another result."""
    call = AIMessage("", tool_calls=[{"id": "c1", "name": "find", "args": {}}], id="a1")
    history.add_messages([call, ToolMessage("none", tool_call_id="c1", id="t1")])
    history.messages = [call, ToolMessage("none", tool_call_id="c1", id="t1", status="error")]
    assert history.messages[1] == ToolMessage("none", tool_call_id="c1", id="t1", status="error")


def test_what_only_llamaindex_knows_can_be_changed(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path
) -> None:
    """A change to what LangChain wrote is kept, though the neutral fields say the same; what was not changed stays."""
    history.add_messages([HumanMessage("Hi", id="h1"), AIMessage("Hello", id="a1")])
    before = rows(path)
    first, second = chats.get_messages("trip")
    second.additional_kwargs["rated"] = 5
    chats.set_messages("trip", [first, second])
    kept = chats.get_messages("trip")
    assert kept == [first, second]
    assert kept[1].additional_kwargs == {"rated": 5}
    assert rows(path)[0] == before[0]


def test_a_copy_of_what_was_read_changes_nothing(
    history: SessionChatMessageHistory, chats: SessionChatStore, path: Path
) -> None:
    """Messages that went through a framework's own JSON are still what they were."""
    history.add_messages([HumanMessage("Hi", id="h1"), AIMessage("Hello", id="a1")])
    before = rows(path)
    chats.set_messages("trip", [ChatMessage(**message.model_dump()) for message in chats.get_messages("trip")])
    assert rows(path) == before


async def test_memory_archives_what_langchain_wrote(
    history: SessionChatMessageHistory, store: SessionStore, path: Path
) -> None:
    """``Memory`` over its limit moves whole turns out of the history that both see; nothing in the rows but that."""
    history.add_messages([*BY_LANGCHAIN[1:], HumanMessage("And to eat?"), AIMessage("Pastéis.")])
    before = rows(path)
    memory = Memory.from_defaults(
        session_id="trip",
        chat_store=AsyncSessionChatStore(store),
        token_limit=20,
        chat_history_token_ratio=1.0,
        token_flush_size=1,
        tokenizer_fn=str.split,
    )
    await memory.aput(ChatMessage(role="user", content="Thanks."))
    assert [message.text for message in history.messages] == ["And to eat?", "Pastéis.", "Thanks."]
    after = rows(path)
    assert [row | {"state": 0} for row in after[:7]] == before
