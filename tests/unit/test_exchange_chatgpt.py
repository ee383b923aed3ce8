"""A ChatGPT data export: the open branch of each conversation, and as much as can be had of a broken file."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from agent_session_core.exchange import Entry, MessageEntry, Problem, SessionEntry, _elements, read_chatgpt, read_file
from agent_session_core.models import AudioPart, DataPart, ImagePart, Message, ReasoningPart, TextPart, ToolCallPart


def _node(id_: str, parent: str | None, role: str = "user", content: Any = None, **message: Any) -> dict[str, Any]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    author = {"role": role, "name": message.pop("name", None), "metadata": {}}
    data = {"id": id_, "author": author, "create_time": 1_714_800_000.5, "content": content, "recipient": "all"}
    return {"id": id_, "message": {**data, **message}, "parent": parent, "children": []}


def _conversation(*nodes: dict[str, Any], current: str | None = None, **fields: Any) -> dict[str, Any]:
    root: dict[str, Any] = {"id": "root", "message": None, "parent": None, "children": []}
    return {
        "title": "Trip",
        "create_time": 1_714_799_000.25,
        "update_time": 1_714_900_000.0,
        "mapping": {node["id"]: node for node in (root, *nodes)},
        "current_node": current or (nodes[-1]["id"] if nodes else "root"),
        "conversation_id": "c-1",
        **fields,
    }


def _read(*conversations: Any) -> list[Entry | Problem]:
    return list(read_chatgpt(io.StringIO(json.dumps(conversations))))


def _messages(*conversations: Any) -> list[Message]:
    found = _read(*conversations)
    assert not [item for item in found if isinstance(item, Problem)]
    return [item.message for item in found if isinstance(item, MessageEntry)]


@pytest.mark.parametrize(
    ("times", "read"),
    [
        ((1, 2, 3, 4), ["a", "c", "d"]),
        ((1, 2, 4, 3), ["a", "c", "d"]),
        ((1, 3, 2, 1), ["a", "b"]),
        ((1, 1, 1, 1), ["a", "c", "d"]),
        ((None, None, None, None), ["a", "c", "d"]),
        ((1, 2, 3, None), ["a", "b"]),
        ((1, math.nan, 3, True), ["a", "c", "d"]),
    ],
)
def test_without_an_open_branch_the_newest_is_read(times: Sequence[Any], read: list[str]) -> None:
    """To its end, whatever the times on the way: the branch ends with the newest message that nothing follows."""
    parents = {"a": "root", "b": "a", "c": "a", "d": "c"}
    nodes = [
        _node(name, parent, content=name, create_time=at)
        for (name, parent), at in zip(parents.items(), times, strict=True)
    ]
    conversation = _conversation(*nodes)
    del conversation["current_node"]
    found = _read(conversation)
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == read
    assert [item.reason for item in found if isinstance(item, Problem)] == [
        "current_node: None is no node; the newest branch is read"
    ]


def test_the_open_branch_is_read_in_order() -> None:
    """Of a question that was asked anew only the branch that was open last comes in, root first."""
    conversation = _conversation(
        _node("a", "root", content="Lisbon?"),
        _node("b", "a", "assistant", "In May."),
        _node("c", "a", "assistant", "In June.", metadata={"model_slug": "m-1"}),
        _node("d", "b", content="not this"),
        current="c",
    )
    session, first, second = _read(conversation)
    assert isinstance(session, SessionEntry)
    assert (session.record.id, session.record.title, session.record.metadata) == ("c-1", "Trip", {"source": "chatgpt"})
    assert session.record.created_at == datetime(2024, 5, 4, 5, 3, 20, 250_000, tzinfo=timezone.utc)
    assert isinstance(first, MessageEntry)
    assert isinstance(second, MessageEntry)
    assert (first.message.id, first.message.role, first.message.text) == ("a", "user", "Lisbon?")
    assert (second.message.id, second.message.role, second.message.text) == ("c", "assistant", "In June.")
    assert first.message.created_at == datetime(2024, 5, 4, 5, 20, 0, 500_000, tzinfo=timezone.utc)
    assert second.message.metadata == {"model": "m-1"}


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"content_type": "text", "parts": ["a", "", "b"]}, (TextPart("a"), TextPart("b"))),
        ({"content_type": "code", "language": "python", "text": "1 + 1"}, (TextPart("1 + 1"),)),
        ({"content_type": "execution_output", "text": "2"}, (TextPart("2"),)),
        ({"content_type": "system_error", "name": "E", "text": "no"}, (TextPart("no"),)),
        (
            {
                "content_type": "multimodal_text",
                "parts": [
                    {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f1", "width": 2},
                    {"content_type": "audio_transcription", "text": "spoken"},
                    {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://f2", "format": "wav"},
                    "What is this?",
                ],
            },
            (
                ImagePart(url="file-service://f1"),
                TextPart("spoken"),
                AudioPart(url="sediment://f2", media_type="audio/wav"),
                TextPart("What is this?"),
            ),
        ),
        (
            {"content_type": "thoughts", "thoughts": [{"summary": "Plan", "content": "Think."}]},
            (ReasoningPart("Plan\nThink."),),
        ),
        ({"content_type": "reasoning_recap", "content": "Thought for 5s"}, (ReasoningPart("Thought for 5s"),)),
        (
            {"content_type": "tether_quote", "title": "T", "url": "https://example.org", "text": "said"},
            (TextPart("T\nhttps://example.org\nsaid"),),
        ),
        ({"content_type": "tether_browsing_display", "result": "found", "summary": ""}, (TextPart("found"),)),
        ({"content_type": "novel", "x": 1}, (DataPart("chatgpt/novel", {"content_type": "novel", "x": 1}),)),
        (
            {"content_type": "multimodal_text", "parts": [{"content_type": "novel"}, 7, None]},
            (DataPart("chatgpt/novel", {"content_type": "novel"}), DataPart("chatgpt/part", 7)),
        ),
    ],
)
def test_each_kind_of_content_finds_its_part(content: dict[str, Any], parts: tuple[Any, ...]) -> None:
    """What a framework could show is a part of that kind; what is not known is kept as data."""
    (message,) = _messages(_conversation(_node("a", "root", content=content)))
    assert message.parts == parts


@pytest.mark.parametrize(
    "node",
    [
        _node("a", "root", "system", ""),
        _node("a", "root", "system", "  \n"),
        _node("a", "root", "assistant", None),
        _node("a", "root", "user", "my profile", metadata={"is_visually_hidden_from_conversation": True}),
        _node("a", "root", "tool", {"content_type": "tether_browsing_display", "result": "", "summary": ""}),
        {"id": "a", "message": None, "parent": "root"},
    ],
)
def test_hidden_and_empty_nodes_are_passed_over(node: dict[str, Any]) -> None:
    """What the person never saw does not come in."""
    assert [message.text for message in _messages(_conversation(node, _node("b", "a", content="seen")))] == ["seen"]


def test_a_message_to_a_tool_is_a_call_and_the_answer_names_it() -> None:
    """The export names no call ids; each answer goes to the newest call of its tool."""
    messages = _messages(
        _conversation(
            _node("a", "root", content="How much?"),
            _node("b", "a", "assistant", {"content_type": "code", "text": "6 * 7"}, recipient="python"),
            _node("c", "b", "tool", {"content_type": "execution_output", "text": "42"}, name="python"),
            _node("d", "c", "assistant", '{"prompt": "a cat"}', recipient="dalle.text2im"),
            _node("e", "d", "tool", "drawn", name="dalle.text2im"),
            _node("f", "e", "tool", "noted", name="bio"),
        )
    )
    assert messages[1].parts == (ToolCallPart("b", "python", "6 * 7"),)
    assert (messages[2].tool_call_id, messages[2].name, messages[2].text) == ("b", "python", "42")
    assert messages[3].parts == (ToolCallPart("d", "dalle.text2im", {"prompt": "a cat"}),)
    assert messages[4].tool_call_id == "d"
    assert messages[5].tool_call_id is None


@pytest.mark.parametrize("time", [None, "noon", float("nan"), float("inf"), 1e300, True, -1e12])
def test_an_odd_time_is_that_of_the_message_before(time: Any) -> None:
    """A message without a time that can be used takes the one before it, not today's."""
    first, second = _messages(
        _conversation(_node("a", "root", content="one"), _node("b", "a", content="two", create_time=time))
    )
    assert second.created_at == first.created_at


@pytest.mark.parametrize(
    ("conversation", "reason", "texts"),
    [
        ("words", "expected an object", []),
        (7, "expected an object", []),
        ({"title": "Trip"}, "has no mapping", []),
        ({"title": "Trip", "mapping": []}, "has no mapping", []),
        (_conversation(_node("a", "root", content="x"), current="gone"), "current_node: 'gone' is no node", ["x"]),
        (_conversation(_node("a", "gone", content="x")), "node 'gone' is named as a parent", ["x"]),
        (_conversation(_node("a", "b", content="x"), _node("b", "a", content="y")), "its own ancestor", ["x", "y"]),
        (_conversation(_node("a", "root", "robot", "x"), _node("b", "a", content="y")), "author.role: 'robot'", ["y"]),
        (_conversation({"id": "a", "message": 5, "parent": "root"}, _node("b", "a", content="y")), "message: ", ["y"]),
    ],
)
def test_a_broken_conversation_says_why_and_the_rest_comes_in(conversation: Any, reason: str, texts: list[str]) -> None:
    """The problem names the conversation and the reason; other conversations and nodes are read."""
    found = _read(conversation, _conversation(_node("z", "root", content="after"), conversation_id="c-2"))
    (problem,) = [item for item in found if isinstance(item, Problem)]
    assert problem.where.startswith("conversation 1")
    assert reason in problem.reason
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == [*texts, "after"]


GOOD = [json.dumps(_conversation(_node("a", "root", content=f"text {n}"), conversation_id=f"c-{n}")) for n in range(3)]

QUOTED = GOOD[1].replace("text 1", 'te" xt')


@pytest.mark.parametrize(
    ("text", "texts", "reason"),
    [
        (f"[{GOOD[0]}, {GOOD[1]}, {GOOD[2][:-40]}", ["text 0", "text 1"], "has no end: "),
        (f"[{GOOD[0]}, {GOOD[1][:200]}, {GOOD[2]}]", ["text 0", "text 2"], "has no end: "),
        (f"[{GOOD[0]}, {QUOTED}, {GOOD[2]}]", ["text 0", "text 2"], "has no end: Expecting ',' delimiter"),
        (f"[{GOOD[0]}, {GOOD[1].replace(':', '', 1)}, {GOOD[2]}]", ["text 0", "text 2"], "not JSON"),
        (f"[{GOOD[0]}, {'[' * 100_000}{']' * 100_000}, {GOOD[2]}]", ["text 0", "text 2"], "not JSON that can be read"),
        (f"[{GOOD[0]}, oops, {GOOD[2]}]", ["text 0", "text 2"], "not JSON"),
    ],
)
def test_broken_json_costs_one_conversation(text: str, texts: list[str], reason: str) -> None:
    """A quote, colon or end that is missing is reported; reading goes on where the next conversation begins."""
    found = list(read_chatgpt(io.StringIO(text)))
    problems = [str(item) for item in found if isinstance(item, Problem)]
    assert len(problems) == 1
    assert reason in problems[0]
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == texts


@pytest.mark.parametrize(
    ("broken", "texts"),
    [
        ('{"x": oops, {"title": "a quotation"}, {"title": oops}', ["text 0", "text 2"]),
        ('{"x": ["unclosed", {"title": "another", "x": [', ["text 0", "text 2"]),
        ("[" * 100_000, ["text 0", "text 2"]),
        ("7", ["text 0", "text 2"]),
    ],
)
def test_what_only_begins_like_a_conversation_is_passed_over(broken: str, texts: list[str]) -> None:
    """Behind a broken element, quotations and other broken things are not taken for conversations."""
    found = list(read_chatgpt(io.StringIO(f"[{GOOD[0]}, {broken}, {GOOD[2]}]")))
    assert len([item for item in found if isinstance(item, Problem)]) == 1
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == texts


def test_a_file_may_end_anywhere() -> None:
    """However much of a file is there, what is whole of it comes in and nothing raises."""
    text = f"[{GOOD[0]}, 7, {GOOD[1]}]"
    counts = [
        sum(isinstance(item, MessageEntry) for item in read_chatgpt(io.StringIO(text[:end])))
        for end in range(0, len(text), 7)
    ]
    assert counts == sorted(counts)
    assert counts[-1] >= 1


def test_elements_are_found_across_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the pieces that are read end, the elements are the same, escapes and all."""
    values = [{"title": 'q"\\', "mapping": {"x": ["]}", "\\"]}}, "s", {"a": {}}, _conversation()]
    for chunk in range(1, 40):
        monkeypatch.setattr(_elements, "CHUNK", chunk)
        assert list(_elements.elements(io.StringIO(json.dumps(values, indent=1)))) == values


def test_an_endless_conversation_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long to be held is reported, and what is behind it is read."""
    monkeypatch.setattr(_elements, "CHUNK", 1_000)
    monkeypatch.setattr(_elements, "MAX_ELEMENT", 20_000)
    endless = json.dumps(_conversation(_node("a", "root", content="x" * 50_000)))
    found = list(read_chatgpt(io.StringIO(f"[{GOOD[0]}, {endless}, {GOOD[1]}]")))
    (problem,) = [item for item in found if isinstance(item, Problem)]
    assert "longer than 20,000 characters" in problem.reason
    assert [item.message.text for item in found if isinstance(item, MessageEntry)] == ["text 0", "text 1"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """30 MB of conversations are read within 12 MB of memory."""
    path = tmp_path / "conversations.json"
    one = json.dumps(_conversation(_node("a", "root", content="x" * 100_000)))
    path.write_text("[" + ",".join([one] * 300) + "]")
    tracemalloc.start()
    try:
        count = sum(isinstance(entry, MessageEntry) for entry in read_file(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 300
    assert peak < 12 * 1024 * 1024


def test_pointers_are_not_followed(tmp_path: Path) -> None:
    """A pointer to a file of this machine is kept as text."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"canary")
    pointer = {"content_type": "image_asset_pointer", "asset_pointer": secret.as_uri()}
    (message,) = _messages(
        _conversation(_node("a", "root", content={"content_type": "multimodal_text", "parts": [pointer]}))
    )
    assert message.parts == (ImagePart(url=secret.as_uri()),)
