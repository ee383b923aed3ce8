"""What a message of a ChatGPT export holds, as canonical parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from agent_session_core.models import (
    AudioPart,
    DataPart,
    ImagePart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    text_of,
)


class Content(NamedTuple):
    """The canonical content of a message: what a person reads of it, and its parts."""

    text: str
    parts: tuple[Part, ...]


def content_of(data: object, *, call_id: str | None, called: str | None) -> Content:
    """The content of a message; that of one addressed to a tool (``called``) is a call of it."""
    parts = tuple(_parts(data)) if isinstance(data, dict) else ()
    if called is not None and parts:
        said = tuple(part for part in parts if isinstance(part, ReasoningPart))
        return Content("", (*said, ToolCallPart(call_id, called, _arguments(text_of(parts)))))
    return Content(text_of(parts), parts)


def _arguments(text: str) -> dict[str, Any] | str:
    """What a tool was called with: the object that the text holds, or the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _parts(data: Mapping[str, Any]) -> Iterator[Part]:
    kind = data.get("content_type")
    if kind == "thoughts":
        for thought in _objects(data.get("thoughts")):
            if text := _joined(thought, "summary", "content"):
                yield ReasoningPart(text)
    elif kind == "reasoning_recap":
        if text := _joined(data, "content"):
            yield ReasoningPart(text)
    elif kind == "tether_quote":
        if text := _joined(data, "title", "url", "text"):
            yield TextPart(text)
    elif kind == "tether_browsing_display":
        if text := _joined(data, "summary", "result"):
            yield TextPart(text)
    elif isinstance(data.get("parts"), list):
        for piece in data["parts"]:
            yield from _piece(piece)
    elif isinstance(data.get("text"), str):
        if data["text"].strip():
            yield TextPart(data["text"])
    elif data.keys() - {"content_type"}:
        yield DataPart(f"chatgpt/{kind}", dict(data))


def _piece(piece: object) -> Iterator[Part]:
    """One of the parts of a message: a string, or an object that points at a picture, a sound or a transcription."""
    if isinstance(piece, str):
        if piece.strip():
            yield TextPart(piece)
        return
    if not isinstance(piece, dict):
        if piece is not None:
            yield DataPart("chatgpt/part", piece)
        return
    kind, pointer = piece.get("content_type"), piece.get("asset_pointer")
    if kind == "image_asset_pointer" and isinstance(pointer, str):
        yield ImagePart(url=pointer)
    elif kind == "audio_asset_pointer" and isinstance(pointer, str):
        sound = piece.get("format")
        yield AudioPart(url=pointer, media_type=f"audio/{sound}" if isinstance(sound, str) else None)
    elif kind == "real_time_user_audio_video_asset_pointer" and isinstance(piece.get("audio_asset_pointer"), dict):
        yield from _piece(piece["audio_asset_pointer"])
    elif kind == "audio_transcription" and isinstance(piece.get("text"), str):
        yield TextPart(piece["text"])
    else:
        yield DataPart(f"chatgpt/{kind}", piece)


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _joined(data: Mapping[str, Any], *fields: str) -> str:
    """The texts of ``fields``, one a line, those that are there."""
    return "\n".join(data[field] for field in fields if isinstance(data.get(field), str) and data[field].strip())
