"""Messages of any content come back equal from a real store; canonical records survive LangChain unchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
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
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from langchain_sessions import message_to_record, record_to_message

Trip = Callable[[Sequence[BaseMessage]], list[BaseMessage]]

texts = st.text(st.characters(codec=None), max_size=60)
names = st.none() | st.text(min_size=1, max_size=20)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
plain = st.none() | st.booleans() | numbers | texts
keys = texts | st.sampled_from(["$bytes", "$items", "$literal", "$part", "type", "lc"])
json_values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
values = st.recursive(
    plain | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=2)
    ),
    max_leaves=8,
)
mappings = st.dictionaries(keys, values, max_size=3)
kinds = st.sampled_from(
    [
        "text",
        "image",
        "image_url",
        "audio",
        "video",
        "file",
        "text-plain",
        "document",
        "reasoning",
        "thinking",
        "tool_use",
        "tool_call",
        "invalid_tool_call",
        "tool_result",
        "non_standard",
        "media",
        "input_audio",
        "refusal",
        "strange",
    ]
)
fields = st.sampled_from(
    [
        "text",
        "url",
        "base64",
        "data",
        "mime_type",
        "source",
        "image_url",
        "id",
        "name",
        "args",
        "input",
        "content",
        "tool_use_id",
        "reasoning",
        "summary",
        "value",
        "extras",
        "title",
        "file",
        "is_error",
    ]
)
blocks = (
    texts
    | mappings
    | st.builds(lambda kind, rest: {"type": kind, **rest}, kinds, st.dictionaries(fields, values, max_size=4))
)
contents = texts | st.lists(blocks, max_size=4)
calls = st.fixed_dictionaries({"name": texts, "args": st.dictionaries(texts, json_values, max_size=3), "id": names})
wrong_calls = st.fixed_dictionaries({"name": names, "args": st.none() | texts, "id": names, "error": names})
common: dict[str, Any] = {
    "content": contents,
    "additional_kwargs": mappings,
    "response_metadata": mappings,
    "name": names,
    "id": st.none() | texts,
}
counts = st.integers(0, 10**6)
usages = st.fixed_dictionaries(
    {"input_tokens": counts, "output_tokens": counts, "total_tokens": counts},
    optional={"input_token_details": st.just({"cache_read": 3})},
)
messages: st.SearchStrategy[BaseMessage] = st.one_of(
    st.builds(HumanMessage, **common),
    st.builds(SystemMessage, **common),
    st.builds(ChatMessage, role=texts | st.sampled_from(["developer", "Model"]), **common),
    st.builds(FunctionMessage, **{**common, "name": texts}),
    st.builds(ToolMessage, tool_call_id=texts, artifact=values, status=st.sampled_from(["success", "error"]), **common),
    st.builds(
        AIMessage,
        tool_calls=st.lists(calls, max_size=2),
        invalid_tool_calls=st.lists(wrong_calls, max_size=2),
        usage_metadata=st.none() | usages,
        **common,
    ),
)


def answers_ahead(said: list[BaseMessage], place: int) -> bool:
    """Whether a message is a tool's answer to a call that comes only later: no history shows it."""
    message, later = said[place], said[place:]
    asked = {call["id"] for other in later if isinstance(other, AIMessage) for call in other.tool_calls}
    asked |= {call["id"] for other in later if isinstance(other, AIMessage) for call in other.invalid_tool_calls}
    return isinstance(message, ToolMessage) and message.tool_call_id in asked


@settings(max_examples=300, deadline=None)
@given(given_messages=st.lists(messages, min_size=1, max_size=3))
def test_any_messages_read_back_equal(given_messages: list[BaseMessage], trip: Trip) -> None:
    """Whatever a message holds, it comes back equal and of the same class, stored beside others in one session."""
    assume(not any(answers_ahead(given_messages, place) for place in range(len(given_messages))))
    back = trip(given_messages)
    assert [type(message) for message in back] == [type(message) for message in given_messages]
    assert back == given_messages


def test_nan_is_kept(trip: Trip) -> None:
    """NaN, which equals nothing, comes back as NaN."""
    [back] = trip([ToolMessage("x", tool_call_id="c", artifact=[math.nan])])
    assert isinstance(back, ToolMessage)
    assert math.isnan(back.artifact[0])


base64s = st.sampled_from(["AAAA", "BBBB" * 20])
media_types = st.none() | st.sampled_from(["image/png", "text/plain", "video/mp4"])


def media(cls: Callable[..., Any], **rest: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Parts that say where a medium is, or what it is."""
    urls = st.sampled_from(["https://a.example/x", "file:///etc/passwd"])
    return st.builds(cls, url=urls, media_type=media_types, **rest) | st.builds(
        cls, data=base64s, media_type=media_types, **rest
    )


inner_parts = st.one_of(
    st.builds(TextPart, texts),
    media(ImagePart, detail=names),
    media(AudioPart),
    media(FilePart, name=names),
    st.builds(DataPart, kind=kinds | texts.filter(bool), data=st.dictionaries(st.sampled_from("ab"), json_values)),
)
other_parts = st.one_of(
    inner_parts,
    st.builds(ReasoningPart, texts, names),
    st.builds(lambda call, text: ToolResultPart(call, text), texts, texts),
    st.builds(
        lambda call, text, failed: ToolResultPart(call, text, (TextPart(text),), None, failed),
        texts,
        texts,
        st.booleans(),
    ),
)
call_parts = st.builds(
    ToolCallPart,
    names,
    texts,
    st.dictionaries(st.sampled_from("ab"), plain, max_size=2) | texts.map("not JSON {".__add__),
)


@st.composite
def records(draw: st.DrawFn) -> Message:
    """Records as another framework's adapter makes them: the calls behind all else, the readable ones first.

    Parts that are answers name their calls themselves, in place of the message.
    """
    role: Role = draw(st.sampled_from(["user", "assistant", "system", "tool"]))
    parts: list[Any] = draw(st.lists(other_parts, max_size=4))
    if role == "assistant":
        parts += sorted(draw(st.lists(call_parts, max_size=2)), key=lambda call: isinstance(call.arguments, str))
    if parts == [TextPart("")]:
        parts = []
    answers = any(isinstance(part, ToolResultPart) for part in parts)
    return Message(
        role=role,
        parts=tuple(parts),
        name=draw(names),
        tool_call_id=draw(names) if role == "tool" and not answers else None,
        usage=Usage(1, 2, 3) if role == "assistant" and draw(st.booleans()) else None,
        id=draw(names),
    )


@settings(max_examples=300, deadline=None)
@given(record=records())
def test_a_canonical_record_survives_langchain(record: Message) -> None:
    """What another framework wrote, read as a LangChain message and written again, says the same."""
    again = message_to_record(record_to_message(record))
    assert (again.role, again.text, again.parts) == (record.role, record.text, record.parts)
    assert (again.name, again.tool_call_id, again.usage, again.id) == (
        record.name,
        record.tool_call_id,
        record.usage,
        record.id,
    )
    assert again.origin is not None
    assert not again.origin.adds
