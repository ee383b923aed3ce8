"""Content blocks and parts: what each block of LangChain, OpenAI, Anthropic, Bedrock or Google means, and back.

Only the meaning is taken over here. The exact block is kept by the message's origin, and where a block means nothing
that all frameworks share, it becomes a :class:`DataPart` with the block itself. Nothing here opens a path or URL.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from agent_session_core.models import (
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    text_of,
)
from langchain_sessions._values import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Block", "arguments_of", "block_of", "part_of"]

Block: TypeAlias = "str | dict[Any, Any]"

_DATA_URI = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_ANY_VIDEO = "video/*"  # for videos whose own type is not told


def part_of(block: Block) -> Part:
    """What a content block means. Every block gives exactly one part."""
    if isinstance(block, str):
        return TextPart(_string(block) or "")
    kind = _string(block.get("type"))
    if kind is None:  # Bedrock and Google name the kind by the key alone
        reader = next((read for key, read in _UNTYPED.items() if key in block), None)
    else:
        reader = _READERS.get(kind)
    part = reader(block) if reader is not None else None
    return part or DataPart(kind or "block", plain(block))


def block_of(part: Part) -> dict[Any, Any]:
    """The standard content block (v1) that says what ``part`` says; :func:`part_of` gives the same part again."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        return _medium("image", part, detail=part.detail)
    if isinstance(part, AudioPart):
        return _medium("audio", part)
    if isinstance(part, FilePart):
        return _medium("video" if (part.media_type or "").startswith("video/") else "file", part, filename=part.name)
    if isinstance(part, ReasoningPart):
        block: dict[Any, Any] = {"type": "reasoning", "reasoning": part.text}
        return block if part.signature is None else {**block, "extras": {"signature": part.signature}}
    if isinstance(part, ToolCallPart):
        return _call_block(part)
    if isinstance(part, ToolResultPart):
        return _result_block(part)
    return _data_block(part)


def arguments_of(value: Any) -> dict[str, Any] | str:
    """A tool call's arguments: the mapping, read from JSON text if need be, else the text itself."""
    if isinstance(value, str):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return parsed if isinstance(parsed, dict) else value
    packed = plain(value)
    return packed if isinstance(packed, dict) else "" if packed is None else str(packed)


def _words(key: str) -> Callable[[dict[Any, Any]], Part | None]:
    def read(block: dict[Any, Any]) -> Part | None:
        text = _string(block.get(key))
        return None if text is None else TextPart(text)

    return read


def _image(block: dict[Any, Any]) -> Part | None:
    extras = _mapping(block.get("extras"))
    place = _place(block)
    return ImagePart(**place, detail=_string(extras.get("detail"))) if place else None


def _image_url(block: dict[Any, Any]) -> Part | None:
    inner = block.get("image_url")
    url, detail = (inner.get("url"), inner.get("detail")) if isinstance(inner, dict) else (inner, None)
    place = _located(url, None, None)
    return ImagePart(**place, detail=_string(detail or block.get("detail"))) if place else None


def _bedrock_image(block: dict[Any, Any]) -> Part | None:
    image = _mapping(block.get("image"))
    form = _string(image.get("format"))
    place = _located(None, _mapping(image.get("source")).get("bytes"), form and f"image/{form}")
    return ImagePart(**place) if place else None


def _audio(block: dict[Any, Any]) -> Part | None:
    place = _place(block)
    return AudioPart(**place) if place else None


def _input_audio(block: dict[Any, Any]) -> Part | None:
    audio = _mapping(block.get("input_audio"))
    form = _string(audio.get("format"))
    place = _located(None, audio.get("data"), form and f"audio/{form}")
    return AudioPart(**place) if place else None


def _video(block: dict[Any, Any]) -> Part | None:
    place = _place(block)
    if place is None:
        return None
    return FilePart(place["url"], place["data"], place["media_type"] or _ANY_VIDEO, _filename(block))


def _file(block: dict[Any, Any]) -> Part | None:
    source = _mapping(block.get("source"))
    if block.get("source_type") == "text" or source.get("type") == "text":  # the document's words themselves
        words = source.get("data") or block.get("text") or block.get("url")
        return _document(words, _filename(block)) if isinstance(words, str) else None
    inner = _mapping(block.get("file")) or block  # OpenAI's Chat Completions put it one level down
    place = _located(inner.get("file_url"), inner.get("file_data"), None) or _place(block)
    return FilePart(**place, name=_filename(inner) or _filename(block)) if place else None


def _plain_text(block: dict[Any, Any]) -> Part | None:
    words = block.get("text")
    if isinstance(words, str):
        return _document(words, _filename(block))
    place = _place(block)
    if place is None:
        return None
    return FilePart(place["url"], place["data"], place["media_type"] or "text/plain", _filename(block))


def _media(block: dict[Any, Any]) -> Part | None:
    place = _located(block.get("file_uri"), block.get("data"), block.get("mime_type"))
    if place is None:
        return None
    sort = (place["media_type"] or "").partition("/")[0]
    return ImagePart(**place) if sort == "image" else AudioPart(**place) if sort == "audio" else FilePart(**place)


def _reasoning(block: dict[Any, Any]) -> Part | None:
    inner = _mapping(block.get("reasoning_content")) or block  # Bedrock puts it one level down
    text = next((inner[key] for key in ("reasoning", "thinking", "text") if isinstance(inner.get(key), str)), None)
    if text is None and isinstance(inner.get("summary"), list):  # OpenAI's Responses
        text = "\n".join(str(item["text"]) for item in inner["summary"] if isinstance(_mapping(item).get("text"), str))
    signature = inner.get("signature") or _mapping(inner.get("extras")).get("signature")
    return None if text is None else ReasoningPart(text, _string(signature))


def _call(block: dict[Any, Any]) -> Part | None:
    given = next((block[key] for key in ("args", "input", "arguments") if key in block), None)
    name, id_ = _string(block.get("name")), _string(block.get("call_id")) or _string(block.get("id"))
    as_said = block["type"] == "invalid_tool_call" and isinstance(given, str)
    arguments = str.__str__(given) if as_said else arguments_of(given)
    return ToolCallPart(id_, name or "", arguments)


def _result(block: dict[Any, Any]) -> Part | None:
    call, content = _string(block.get("tool_use_id")), block.get("content")
    if call is None:
        return None
    name, failed = _string(block.get("name")), block.get("is_error") is True
    if not isinstance(content, list):
        return ToolResultPart(call, content if isinstance(content, str) else "", (), name, failed)
    parts = tuple(_inner_part(item) for item in content if isinstance(item, str | dict))
    return ToolResultPart(call, text_of(parts), parts, name, failed)


def _inner_part(block: Block) -> TextPart | ImagePart | AudioPart | FilePart | DataPart:
    part = part_of(block)
    return DataPart("block", plain(block)) if isinstance(part, ReasoningPart | ToolCallPart | ToolResultPart) else part


def _non_standard(block: dict[Any, Any]) -> Part | None:
    value = _mapping(block.get("value"))
    if block.keys() == {"type", "value"} and value.keys() == {"type", "data"} and isinstance(value["type"], str):
        return DataPart(value["type"], plain(value["data"]))  # the shape that _data_block gives
    return None


_READERS: Mapping[str, Callable[[dict[Any, Any]], Part | None]] = {
    "text": _words("text"),
    "input_text": _words("text"),
    "output_text": _words("text"),
    "refusal": _words("refusal"),
    "image": _image,
    "image_url": _image_url,
    "input_image": _image_url,
    "audio": _audio,
    "input_audio": _input_audio,
    "video": _video,
    "file": _file,
    "input_file": _file,
    "document": _file,
    "text-plain": _plain_text,
    "media": _media,
    "reasoning": _reasoning,
    "thinking": _reasoning,
    "reasoning_content": _reasoning,
    "tool_call": _call,
    "tool_use": _call,
    "function_call": _call,
    "invalid_tool_call": _call,
    "tool_result": _result,
    "non_standard": _non_standard,
}
_UNTYPED: Mapping[str, Callable[[dict[Any, Any]], Part | None]] = {
    "text": _words("text"),
    "image": _bedrock_image,
    "reasoning_content": _reasoning,
}


def _place(block: dict[Any, Any]) -> dict[str, str | None] | None:
    """Where a medium is, in LangChain's present or former shape or in Anthropic's."""
    source = _mapping(block.get("source")) or block
    media_type = source.get("mime_type") or source.get("media_type")
    return _located(source.get("url"), source.get("base64") or source.get("data"), media_type)


def _located(url: Any, data: Any, media_type: Any) -> dict[str, str | None] | None:
    """The fields ``url``, ``data`` and ``media_type`` of a part; None where neither place nor bytes are told."""
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    uri = data if isinstance(data, str) else url
    if isinstance(uri, str) and (match := _DATA_URI.fullmatch(uri)):
        return {"url": None, "data": match[2], "media_type": match[1]}
    if isinstance(data, str):
        return {"url": None, "data": data, "media_type": _string(media_type)}
    return {"url": url, "data": None, "media_type": _string(media_type)} if isinstance(url, str) else None


def _document(words: str, name: str | None) -> FilePart:
    return FilePart(None, base64.b64encode(words.encode(errors="surrogatepass")).decode(), "text/plain", name)


def _filename(block: dict[Any, Any]) -> str | None:
    places = (block, _mapping(block.get("extras")), _mapping(block.get("metadata")))
    names = (place.get(key) for place in places for key in ("filename", "name", "title"))
    return next((_string(name) for name in names if isinstance(name, str)), None)


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _string(value: Any) -> str | None:
    return str.__str__(value) if isinstance(value, str) else None


def _medium(kind: str, part: ImagePart | AudioPart | FilePart, **extras: str | None) -> dict[Any, Any]:
    block: dict[Any, Any] = {"type": kind}
    told = {"url": part.url, "base64": part.data, "mime_type": part.media_type}
    block |= {key: value for key, value in told.items() if value is not None}
    extras = {key: value for key, value in extras.items() if value is not None}
    return {**block, "extras": extras} if extras else block


def _call_block(part: ToolCallPart) -> dict[Any, Any]:
    if isinstance(part.arguments, str):
        return {"type": "invalid_tool_call", "id": part.id, "name": part.name, "args": part.arguments, "error": None}
    return {"type": "tool_call", "id": part.id, "name": part.name, "args": dict(part.arguments)}


def _result_block(part: ToolResultPart) -> dict[Any, Any]:
    content = [block_of(inner) for inner in part.parts] if part.parts else part.text
    block: dict[Any, Any] = {"type": "tool_result", "tool_use_id": part.tool_call_id, "content": content}
    if part.name is not None:
        block["name"] = part.name
    return {**block, "is_error": True} if part.is_error else block


def _data_block(part: DataPart) -> dict[Any, Any]:
    """The block that the data is, or one of no standard kind that holds the data where it is none."""
    if isinstance(part.data, dict) and part_of(part.data) == part:
        return part.data
    return {"type": "non_standard", "value": {"type": part.kind, "data": part.data}}
