"""Messages of LlamaIndex as stored messages, and back.

``origin.data`` holds only what the neutral fields do not say: nothing at all for most messages. It is a mapping of

- ``role``: LlamaIndex's role, where it is not the neutral one;
- ``blocks``: what each block is: the number of the part that says it, ``[number, differences]``, or its JSON;
- ``kwargs``: the ``additional_kwargs`` that are not the name, the tool call's id, or that it failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llama_index.core import __version__
from llama_index.core.base.llms.types import ChatMessage, CitableBlock, ContentBlock, MessageRole, TextBlock
from llama_index.core.bridge.pydantic import BaseModel, PrivateAttr

from agent_session_core.errors import InvalidInput
from agent_session_core.models import Message, Origin, Part, Role, ToolCallPart, ToolResultPart
from llamaindex_sessions._blocks import block_from_json, block_to_json, differences, patched, settled
from llamaindex_sessions._parts import arguments_of, blocks_of, parts_of
from llamaindex_sessions._values import exact, restored

__all__ = ["message_to_record", "record_to_message"]

FRAMEWORK = "llamaindex"

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}


def message_to_record(message: ChatMessage) -> Message:
    """The stored form of ``message``: it reads back equal, and other frameworks can read it.

    A stream is stored as the bytes it holds, an object in ``additional_kwargs`` as the data it holds, a path as a path.

    Args:
        message: any message, with blocks of every kind.

    Returns:
        A message without id and time, for ``Session.append`` or ``Session.replace``.

    Raises:
        InvalidInput: when it is no ``ChatMessage``, or holds what cannot be stored; the error says what.
    """
    if not isinstance(message, ChatMessage):
        raise InvalidInput(
            f"messages: expected a ChatMessage, got {type(message).__name__}; use ChatMessage(role=..., content=...)"
        )
    if isinstance(message, ForeignMessage) and message == _neutral(message.record):
        return replace(message.record, id=None, seq=None, run=None, created_at=None)
    role = _ROLES.get(str(getattr(message.role, "value", message.role)), "user")
    blocks = [settled(block) for block in message.blocks]
    kwargs = message.additional_kwargs
    parts = [part for block in blocks for part in parts_of(block)] + _kwargs_calls(blocks, kwargs)
    record = Message(
        role=role,
        parts=tuple(sorted(parts, key=_is_call)),
        name=_text(kwargs, "name"),
        tool_call_id=_text(kwargs, "tool_call_id") if role == "tool" else None,
        is_error=role == "tool" and kwargs.get("is_error") is True,
    )
    rest = _rest(message, blocks, record)
    return replace(record, origin=Origin(FRAMEWORK, __version__, rest, adds=rest is not None))


def record_to_message(record: Message) -> ChatMessage:
    """The ``ChatMessage`` of a stored message, whichever framework wrote it.

    What LlamaIndex wrote comes back equal. What another wrote is read from its neutral parts; such a message carries
    its stored form along, so that handing it back changes nothing. No path or URL in it is opened.

    Args:
        record: a message as the store gives it.

    Returns:
        The message; where its origin is damaged, what the neutral fields say.
    """
    if record.origin is None or record.origin.framework != FRAMEWORK:
        return ForeignMessage.carrying(record)
    try:
        return _own(record, record.origin.data)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return _neutral(record)


class ForeignMessage(ChatMessage):
    """A message that another framework wrote, with its stored form. It equals the ``ChatMessage`` it looks like."""

    _record: Message = PrivateAttr()

    @classmethod
    def carrying(cls, record: Message) -> ForeignMessage:
        """The message that ``record`` says."""
        message = cls.model_construct(**dict(_neutral(record)))
        message._record = record  # noqa: SLF001  # an instance of this class
        return message

    @property
    def record(self) -> Message:
        """What is stored."""
        return self._record

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatMessage) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # messages can be changed, so they have no hash


def _neutral(record: Message) -> ChatMessage:
    """The message that the neutral fields of ``record`` say."""
    blocks: list[ContentBlock] = [block for part in record.parts for block in blocks_of(part)]
    return ChatMessage.model_construct(
        role=MessageRole(record.role),
        additional_kwargs=_neutral_kwargs(record),
        blocks=blocks or [TextBlock.model_construct(text="")],
    )


def _neutral_kwargs(record: Message) -> dict[str, Any]:
    """Where LlamaIndex keeps names and tool call ids; a tool's failure is kept beside them."""
    answered = (part.tool_call_id for part in record.parts if isinstance(part, ToolResultPart))
    call_id = record.tool_call_id or (next(answered, None) if record.role == "tool" else None)
    named = {"name": record.name, "tool_call_id": call_id, "is_error": record.is_error or None}
    return {key: value for key, value in named.items() if value is not None}


def _own(record: Message, data: Any) -> ChatMessage:
    """The message that LlamaIndex wrote: the neutral one, and what ``data`` says is different."""
    message = _neutral(record)
    if data is None:
        return message
    if "role" in data:
        message.role = MessageRole(data["role"])
    if "blocks" in data:
        message.blocks = [_block(entry, record.parts) for entry in data["blocks"]]
    if "kwargs" in data:
        message.additional_kwargs = _safe({**message.additional_kwargs, **restored(data["kwargs"])})
    return message


def _safe(kwargs: dict[str, Any]) -> dict[str, Any]:
    """``kwargs`` without ``images``, of which LlamaIndex has made blocks: it would open their paths and URLs again."""
    return {key: value for key, value in kwargs.items() if key != "images" or not value}


def _rest(message: ChatMessage, blocks: Sequence[ContentBlock], record: Message) -> dict[str, Any] | None:
    """What the neutral fields of ``record`` do not say of the message."""
    rest: dict[str, Any] = {}
    if message.role != record.role:
        rest["role"] = MessageRole(message.role).value
    numbers = _places(blocks)
    entries = [_entry(block, numbers, record.parts) for block in blocks]
    if entries != list(range(len(record.parts))) if record.parts else list(blocks) != [TextBlock(text="")]:
        rest["blocks"] = entries
    known = _neutral_kwargs(record)
    told = message.additional_kwargs.items()
    kwargs = _safe({key: value for key, value in told if key not in known or known[key] != value})
    if kwargs:
        rest["kwargs"] = exact(kwargs)
    return rest or None


def _places(blocks: Sequence[ContentBlock]) -> Iterator[int]:
    """The number of each part that the blocks give, one after another: its place once tool calls stand last."""
    parts = [part for block in blocks for part in parts_of(block)]
    order = sorted(range(len(parts)), key=lambda number: _is_call(parts[number]))
    return iter(sorted(range(len(parts)), key=order.__getitem__))


def _entry(block: ContentBlock, numbers: Iterator[int], parts: Sequence[Part]) -> Any:
    """What ``blocks`` of the origin says of one block, whose parts have the next of ``numbers``."""
    if isinstance(block, CitableBlock):
        held = [_entry(inner, numbers, parts) for inner in block.content]
        return {**block_to_json(block.model_copy(update={"content": []})), "content": held}
    if isinstance(block, TextBlock) and not block.text:
        return block_to_json(block)
    number = next(numbers)
    ((read), *more) = blocks_of(parts[number])
    changes = differences(block, read) if not more else None
    if changes is None:
        return block_to_json(block)
    return [number, changes] if changes else number


def _block(entry: Any, parts: Sequence[Part]) -> ContentBlock:
    """The block of which ``_entry`` made ``entry``."""
    if isinstance(entry, int):
        (block,) = blocks_of(parts[entry])
        return block
    if isinstance(entry, list):
        number, changes = entry
        return patched(_block(number, parts), changes)
    if entry["block_type"] != "citable":
        return block_from_json(entry)
    held = [_block(inner, parts) for inner in entry["content"]]
    return block_from_json({**entry, "content": []}).model_copy(update={"content": held})


def _is_call(part: Part) -> bool:
    """Calls stand after the other parts."""
    return isinstance(part, ToolCallPart)


def _kwargs_calls(blocks: Sequence[ContentBlock], kwargs: Mapping[str, Any]) -> list[Part]:
    """The tool calls that only ``additional_kwargs`` tell, as integrations did before there was a block for them."""
    calls = kwargs.get("tool_calls")
    if any(block.block_type == "tool_call" for block in blocks if hasattr(block, "block_type")):
        return []
    found = [_kwargs_call(call) for call in calls] if isinstance(calls, list | tuple) else []
    return [call for call in found if call is not None]


def _kwargs_call(call: Any) -> ToolCallPart | None:
    """One call in the shape of OpenAI (``function`` with its ``arguments``), Anthropic (``input``) or Bedrock."""
    fields = _fields(call)
    function = {**fields, **_fields(fields.get("function"))}
    name = next((function[key] for key in ("name", "tool_name") if isinstance(function.get(key), str)), None)
    if name is None:
        return None
    ids = ("id", "tool_call_id", "tool_id", "toolUseId")
    call_id = next((fields[key] for key in ids if isinstance(fields.get(key), str) and fields[key]), name)
    shapes = ("arguments", "input", "args", "tool_kwargs")
    arguments: Any = next((function[key] for key in shapes if function.get(key) is not None), {})
    return ToolCallPart(call_id, name, arguments_of(arguments))


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, BaseModel):
        return dict(value)
    return value if isinstance(value, Mapping) else {}


def _text(kwargs: Mapping[str, Any], key: str) -> str | None:
    value = kwargs.get(key)
    return value if isinstance(value, str) and value else None
