"""Content blocks of LlamaIndex as parts that every framework understands, and parts as blocks."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseContentBlock,
    CitableBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.bridge.pydantic import AnyUrl

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
)
from llamaindex_sessions._blocks import BLOCKS, block_from_json, block_to_json
from llamaindex_sessions._values import plain

__all__ = ["arguments_of", "blocks_of", "parts_of"]

Medium: TypeAlias = ImageBlock | AudioBlock | VideoBlock | DocumentBlock
M = TypeVar("M", ImageBlock, AudioBlock, VideoBlock)

UNTITLED = "input_document"
"""The title LlamaIndex gives to a document without one."""
ANY_VIDEO = "video/*"
"""The media type of a video of which no more is known."""

_FORMATS = {"mp3": "audio/mpeg", "m4a": "audio/mp4"}  # formats that are not their media type's name
_MEDIA_TYPES = {media_type: name for name, media_type in _FORMATS.items()}


def parts_of(block: BaseContentBlock) -> list[Part]:
    """What ``block`` says, in parts: one, several for a block that holds others, none for an empty text.

    Raises:
        InvalidInput: when a value cannot be stored.
    """
    match block:
        case TextBlock():
            return [TextPart(block.text)] if block.text else []
        case ImageBlock():
            return [_medium(block, block.image, ImagePart, block.image_mimetype, detail=block.detail)]
        case AudioBlock():
            return [_medium(block, block.audio, AudioPart, _audio_type(block.format))]
        case VideoBlock():
            return [_medium(block, block.video, FilePart, block.video_mimetype or ANY_VIDEO)]
        case DocumentBlock():
            name = block.title if block.title != UNTITLED else None
            return [_medium(block, block.data, FilePart, block.document_mimetype, name=name)]
        case CitableBlock():
            return [part for inner in block.content for part in parts_of(inner)]
        case ThinkingBlock():
            signature = block.additional_information.get("signature")
            return [ReasoningPart(block.content or "", signature if isinstance(signature, str) else None)]
        case ToolCallBlock():
            call_id = block.tool_call_id or block.tool_name  # as LlamaIndex does where a provider gives no ids
            return [ToolCallPart(call_id, block.tool_name, arguments_of(block.tool_kwargs))]
        case _:
            return [_data(block)]


def blocks_of(part: Part) -> list[ContentBlock]:
    """``part`` as blocks: one, or several for a tool's answer with pictures or files in it.

    What LlamaIndex has no block for becomes text.
    """
    match part:
        case TextPart():
            return [TextBlock.model_construct(text=part.text)]
        case ImagePart():
            return [
                _block(ImageBlock, part, image=_bytes(part.data), image_mimetype=part.media_type, detail=part.detail)
            ]
        case AudioPart():
            return [_block(AudioBlock, part, audio=_bytes(part.data), format=_audio_format(part.media_type))]
        case FilePart(media_type=str() as media_type) if media_type.startswith("video/"):
            known = media_type if media_type != ANY_VIDEO else None
            return [_block(VideoBlock, part, video=_bytes(part.data), video_mimetype=known)]
        case FilePart():
            told = part.media_type is not None or part.url is None
            make = DocumentBlock.model_construct if told else DocumentBlock
            title = part.name or UNTITLED
            return [make(data=_bytes(part.data), url=part.url, title=title, document_mimetype=part.media_type)]
        case ReasoningPart():
            information = {} if part.signature is None else {"signature": part.signature}
            return [ThinkingBlock.model_construct(content=part.text, additional_information=information)]
        case ToolCallPart():
            arguments = part.arguments if isinstance(part.arguments, str) else dict(part.arguments)
            return [ToolCallBlock.model_construct(tool_call_id=part.id, tool_name=part.name, tool_kwargs=arguments)]
        case ToolResultPart():
            seen = [block for inner in part.parts if not isinstance(inner, TextPart) for block in blocks_of(inner)]
            return [TextBlock.model_construct(text=part.text), *seen]
        case DataPart():
            return [_own(part) or TextBlock.model_construct(text=f"{part.kind}: {json.dumps(part.data)}")]


def arguments_of(arguments: Any) -> Mapping[str, Any] | str:
    """A tool call's arguments: a mapping, or the model's text where that is not a JSON object.

    Raises:
        InvalidInput: when a value cannot be stored.
    """
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            return arguments
        return parsed if isinstance(parsed, dict) else arguments
    found = plain(arguments)
    return found if isinstance(found, dict) else json.dumps(found)


def _data(block: BaseContentBlock) -> DataPart:
    """A block that says nothing to other frameworks, as it is."""
    known = str(getattr(block, "block_type", type(block).__name__))
    return DataPart(known, block_to_json(block) if known in BLOCKS else plain(block))


def _own(part: DataPart) -> ContentBlock | None:
    """The block of which ``_data`` made ``part``, if it did."""
    if not isinstance(part.data, dict) or part.data.get("block_type") != part.kind:
        return None
    try:
        return block_from_json(part.data)
    except (KeyError, TypeError, ValueError):
        return None


def _medium(block: Medium, data: object, kind: Callable[..., Part], media_type: str | None, **more: str | None) -> Part:
    """The part of the ``kind`` that says what a medium is, or where: the block itself where it has a path at most."""
    if data and isinstance(data, bytes):
        return kind(data=_base64(data), media_type=media_type, **more)
    if not block.url:
        return _data(block)
    head, comma, rest = str(block.url).partition(";base64,")
    if comma and head.startswith("data:"):
        return kind(data=rest, media_type=head.removeprefix("data:"), **more)
    return kind(url=str(block.url), media_type=media_type, **more)


def _base64(data: bytes) -> str:
    """Base64 of ``data``, which is base64 already in a block that LlamaIndex has validated."""
    try:
        base64.b64decode(data, validate=True)
        return data.decode("ascii")
    except binascii.Error:
        return base64.b64encode(data).decode("ascii")


def _bytes(data: str | None) -> bytes | None:
    return None if data is None else data.encode("utf-8", "surrogatepass")


def _block(kind: type[M], part: ImagePart | AudioPart | FilePart, **fields: Any) -> M:
    """A medium's block. An address without a media type is told one by its ending, as LlamaIndex does."""
    if part.url is None:
        return kind.model_construct(**fields)
    url = _url(part.url)
    if part.media_type is None and not isinstance(url, str):
        return kind(url=url, **fields)
    return kind.model_construct(url=url, **fields)


def _url(url: str) -> AnyUrl | str:
    """The URL as LlamaIndex keeps it; as the text it is where that would change it, as for a provider's file id."""
    try:
        return known if str(known := AnyUrl(url)) == url else url
    except ValueError:
        return url


def _audio_type(name: str | None) -> str | None:
    if name is None or "/" in name:
        return name
    return _FORMATS.get(name, f"audio/{name}")


def _audio_format(media_type: str | None) -> str | None:
    if media_type is None:
        return None
    return _MEDIA_TYPES.get(media_type) or media_type.removeprefix("audio/")
