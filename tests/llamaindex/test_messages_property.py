"""Messages of LlamaIndex made at random come back equal, and messages of anybody survive LlamaIndex."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
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

from agent_session_core import (
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agent_session_core.content import same_history
from llamaindex_sessions import message_to_record, record_to_message

text = st.text(st.characters(), max_size=20)  # every character, lone surrogates among them
words = st.text(max_size=12)
maybe = st.none() | words
data = st.binary(min_size=1, max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
plain_values = st.recursive(
    json_values | st.binary(max_size=8) | st.datetimes() | st.dates() | st.uuids() | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.none(), inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$bytes", "$pairs", "$path", "$url"]), inner, min_size=1, max_size=1)
    ),
    max_leaves=8,
)
objects = st.dictionaries(words, plain_values, max_size=3)
urls = st.none() | st.sampled_from(
    ["https://example.org", "http://münchen.de/a b?q=ü#f", "data:image/gif;base64,R0lG", "data:,hi", "s3://b/k.mp4"]
)

images = st.builds(ImageBlock, image=st.none() | data, url=urls, image_mimetype=maybe, detail=maybe)
documents = st.builds(
    DocumentBlock, data=st.none() | data, url=urls | words, title=maybe, document_mimetype=maybe, path=maybe
)
texts = st.builds(TextBlock, text=text)
blocks = st.one_of(
    texts,
    images,
    documents,
    st.builds(AudioBlock, audio=st.none() | data, url=urls, format=maybe | st.sampled_from(["mp3", "wav", "audio/x"])),
    st.builds(
        VideoBlock, video=st.none() | data, url=urls, video_mimetype=maybe, detail=maybe, fps=st.none() | st.integers()
    ),
    st.builds(CachePoint, cache_control=st.builds(CacheControl, type=words, ttl=words)),
    st.builds(CitableBlock, title=words, source=words, content=st.lists(texts | images | documents, max_size=3)),
    st.builds(
        CitationBlock,
        cited_content=texts | images,
        source=words,
        title=words,
        additional_location_info=st.dictionaries(words, st.integers(), max_size=2),
    ),
    st.builds(
        ThinkingBlock,
        content=st.none() | text,
        num_tokens=st.none() | st.integers(),
        additional_information=objects | st.builds(lambda seal: {"signature": seal}, words),
    ),
    st.builds(
        ToolCallBlock, tool_call_id=maybe, tool_name=words, tool_kwargs=objects | text | json_values.map(json.dumps)
    ),
)
kwargs = objects.filter(lambda found: "images" not in found) | st.fixed_dictionaries(
    {}, optional={"name": maybe, "tool_call_id": maybe, "tool_calls": st.lists(json_values, max_size=2)}
)
messages = st.builds(
    ChatMessage, role=st.sampled_from(MessageRole), blocks=st.lists(blocks, max_size=5), additional_kwargs=kwargs
)

base64_text = data.map(lambda found: base64.b64encode(found).decode("ascii"))
media = {"url": maybe, "data": st.none() | base64_text | words, "media_type": maybe | st.just("video/mp4")}
simple_parts = st.one_of(
    st.builds(TextPart, text),
    st.builds(ImagePart, detail=maybe, **media),
    st.builds(AudioPart, **media),
    st.builds(FilePart, name=maybe, **media),
    st.builds(DataPart, words, json_values),
)
parts = st.one_of(
    simple_parts,
    st.builds(ReasoningPart, text, maybe),
    st.builds(ToolCallPart, maybe, words, st.dictionaries(words, json_values, max_size=2) | text),
    st.builds(ToolResultPart, words, text, st.lists(simple_parts, max_size=2).map(tuple), maybe, st.booleans()),
)
origins = st.none() | st.builds(Origin, st.sampled_from(["langchain", "llamaindex"]), words, json_values)


@settings(max_examples=400, deadline=None)
@given(messages)
def test_any_message_reads_back_equal_and_is_stored_the_same_again(message: ChatMessage) -> None:
    """Through JSON and back it is equal, of its own type, and its stored form does not change on the way round."""
    record = message_to_record(message)
    assert record.origin is not None
    stored: Any = json.loads(json.dumps(record.origin.data))
    assert stored == record.origin.data
    read = record_to_message(record)
    assert read == message
    assert type(read) is ChatMessage
    assert message_to_record(read) == record


@settings(max_examples=400, deadline=None)
@given(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant", "tool"]),
        text=st.just("") | text,
        parts=st.lists(parts, max_size=4).map(tuple),
        name=maybe,
        tool_call_id=maybe,
        origin=origins,
    )
)
def test_any_stored_message_can_be_read_and_handed_back(record: Message) -> None:
    """Whatever is stored reads as a ``ChatMessage``; what another framework stored is handed back as it was."""
    read = record_to_message(record)
    assert isinstance(read, ChatMessage)
    again = message_to_record(read)
    if record.origin is None or record.origin.framework != "llamaindex":
        assert same_history(again, record)
        assert again.origin == record.origin
