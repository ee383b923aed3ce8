"""Messages of LangChain as records of a session, and back, equal.

A record's canonical fields say what every framework understands. Its origin says only what those leave open: each
field of the message that :func:`_expected` would not give anyway. So nothing is stored twice, and what was written by
another framework is read by the same rule with an empty origin.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    BaseMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.version import VERSION

from agent_session_core.errors import InvalidInput
from agent_session_core.models import (
    Message,
    Origin,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from langchain_sessions._blocks import arguments_of, block_of, part_of
from langchain_sessions._pointers import Packer, resolved
from langchain_sessions._values import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["FRAMEWORK", "message_to_record", "record_to_message"]

FRAMEWORK = "langchain"

_CLASSES: Mapping[str, type[BaseMessage]] = {
    "ai": AIMessage,
    "chat": ChatMessage,
    "function": FunctionMessage,
    "human": HumanMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}
_KINDS = {cls: kind for kind, cls in _CLASSES.items()}
_ROLES: Mapping[str, Role] = {
    "ai": "assistant",
    "assistant": "assistant",
    "chatbot": "assistant",
    "developer": "system",
    "function": "tool",
    "human": "user",
    "model": "assistant",
    "system": "system",
    "tool": "tool",
    "user": "user",
}
_OF_ROLE = {"assistant": "ai", "system": "system", "user": "human"}
_OF_CHUNKS_ONLY = frozenset(("tool_call_chunks", "chunk_position"))
_SOUND: Mapping[str, Callable[[Any], bool]] = {
    "content": lambda value: (
        isinstance(value, str) or (isinstance(value, list) and all(isinstance(block, str | dict) for block in value))
    ),
    "additional_kwargs": lambda value: isinstance(value, dict),
    "response_metadata": lambda value: isinstance(value, dict),
    "name": lambda value: value is None or isinstance(value, str),
    "id": lambda value: value is None or isinstance(value, str),
    "role": lambda value: isinstance(value, str),
    "tool_call_id": lambda value: isinstance(value, str),
    "tool_calls": lambda value: isinstance(value, list) and all(isinstance(call, dict) for call in value),
    "invalid_tool_calls": lambda value: isinstance(value, list) and all(isinstance(call, dict) for call in value),
}
_USAGE = ("input_tokens", "output_tokens", "total_tokens")


def message_to_record(message: BaseMessage) -> Message:
    """The record of a LangChain message.

    A chunk is taken for the message it adds up to, a message of a class of your own for one of the langchain-core
    class it comes from. Tuples become lists, as JSON has it, and objects (in a tool's artifact) plain values. Of an
    object that is no data only the ``repr`` is kept, wherever it stands, with a ``UserWarning`` naming its class.

    Args:
        message: any message but a ``RemoveMessage``.

    Returns:
        A record without seq and time, with the message's own id: append it with ``ids="loose"``, as frameworks repeat
        ids and leave them out.

    Raises:
        InvalidInput: for a ``RemoveMessage``, which is an order and no message; for what is no message at all; and
            for content nested too deeply.
    """
    if isinstance(message, RemoveMessage):
        raise InvalidInput("message: a RemoveMessage cannot be stored; remove messages with Session.remove()")
    if not isinstance(message, BaseMessage):
        raise InvalidInput(f"message: expected a LangChain message, got {type(message).__name__}; give HumanMessage(…)")
    kind, fields = _opened(message)
    content, parts = fields["content"], _parts(kind, fields)
    call_id = _text(fields.get("tool_call_id")) if kind == "tool" else None
    record = Message(
        role=_ROLES.get(str(fields["role"]).lower(), "user") if kind == "chat" else _ROLES[kind],
        text=str.__str__(content) if isinstance(content, str) else "",
        parts=parts,
        id=_text(fields.get("id")) or None,
        name=_text(fields.get("name")),
        tool_call_id=call_id if call_id and call_id != _answered(parts) else None,
        usage=_usage(fields.get("usage_metadata")),
        is_error=kind == "tool" and fields.get("status") == "error",
    )
    expected, packer = _expected(record, kind), Packer(record.parts)
    data: dict[str, Any] = {"type": kind}
    for key, value in fields.items():
        if key in expected and _plainly_equal(value, expected[key]):
            continue
        packed = packer.pack(value)
        if key not in expected or packed != packer.pack(expected[key]):
            data[key] = packed
    adds = kind != _kind_of(record) or not data.keys() <= {"type", "id"}
    return replace(record, origin=Origin(FRAMEWORK, VERSION, data, adds))


def record_to_message(record: Message) -> BaseMessage:
    """The LangChain message of a record: equal to the one it was made of, where LangChain wrote it.

    What another framework wrote, or an origin that cannot be read, is built from the canonical fields. The message is
    not validated: cached models hand out usage that does not validate, and it must come back as it was.

    Args:
        record: a record, as :meth:`~agent_session_core.Session.messages` returns it.

    Returns:
        A message of one of the classes of langchain-core, never a chunk.
    """
    if record.origin is not None and record.origin.framework == FRAMEWORK:
        message = _from_origin(record, record.origin.data)
        if message is not None:
            return message
    kind = _kind_of(record)
    return _built(kind, {**_expected(record, kind), "id": record.id})


def _kind_of(record: Message) -> str:
    """The kind of message that the canonical fields of ``record`` suggest."""
    if record.role != "tool":
        return _OF_ROLE[record.role]
    answers = record.tool_call_id is not None or _answered(record.parts) is not None
    return "function" if record.name and not answers and not record.is_error else "tool"


def _plainly_equal(value: Any, other: Any) -> bool:
    """Whether two values are equal at a glance, as most are; the others are compared as they would be stored."""
    if type(value) is str:
        return type(other) is str and value == other
    return value is other or (not other and type(value) is type(other) and len(value) == 0)


def _opened(message: BaseMessage) -> tuple[str, dict[str, Any]]:
    """The kind of a message and its fields, those of a chunk that are only for adding up left out."""
    base = next((cls for cls in type(message).__mro__ if cls in _KINDS), None)
    kind = _KINDS[base] if base is not None else message.type if message.type in _CLASSES else "chat"
    declared = type(message).model_fields
    fields = {key: value for key, value in message.__dict__.items() if key in declared and key != "type"}
    fields.update(message.__pydantic_extra__ or {})
    if isinstance(message, BaseMessageChunk):
        fields = {key: value for key, value in fields.items() if key not in _OF_CHUNKS_ONLY}
    if kind == "chat":
        fields.setdefault("role", message.type)
    return kind, fields


def _parts(kind: str, fields: Mapping[str, Any]) -> tuple[Part, ...]:
    content = fields["content"]
    parts = [part_of(block) for block in ([content] if isinstance(content, str) else content) if block != ""]
    if kind != "ai":
        return tuple(parts)
    calls = _calls(fields)
    ids = {call.id for call in calls}
    for part in parts:  # content may repeat the calls in the provider's shape
        if isinstance(part, ToolCallPart) and part.id not in ids and (part.id is not None or not calls):
            calls.append(part)
    parts = [part for part in parts if not isinstance(part, ToolCallPart)]
    thought = _mapping(fields.get("additional_kwargs")).get("reasoning_content")
    if isinstance(thought, str) and not any(isinstance(part, ReasoningPart) for part in parts):
        parts.insert(0, ReasoningPart(thought))
    return (*parts, *calls)


def _calls(fields: Mapping[str, Any]) -> list[ToolCallPart]:
    calls = [
        ToolCallPart(_text(call.get("id")), _text(call.get("name")) or "", arguments_of(call.get("args")))
        for call in map(_mapping, fields.get("tool_calls") or ())
    ]
    calls += [
        ToolCallPart(_text(call.get("id")), _text(call.get("name")) or "", _text(call.get("args")) or "")
        for call in map(_mapping, fields.get("invalid_tool_calls") or ())
    ]
    former = _mapping(_mapping(fields.get("additional_kwargs")).get("function_call"))
    if not calls and isinstance(former.get("name"), str):
        calls.append(ToolCallPart(None, former["name"], arguments_of(former.get("arguments"))))
    return calls


def _expected(record: Message, kind: str) -> dict[str, Any]:
    """The fields of the message that the canonical fields of ``record`` suggest."""
    parts = [part for part in record.parts if kind != "ai" or not isinstance(part, ToolCallPart)]
    content: Any = [block_of(part) for part in parts]
    if not parts:
        content = record.text
    elif len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].text:
        content = parts[0].text
    fields = {"content": content, "additional_kwargs": {}, "response_metadata": {}, "name": record.name, "id": None}
    if kind == "ai":
        calls = [part for part in record.parts if isinstance(part, ToolCallPart)]
        fields["tool_calls"] = [
            {"name": call.name, "args": dict(call.arguments), "id": call.id, "type": "tool_call"}
            for call in calls
            if not isinstance(call.arguments, str)
        ]
        fields["invalid_tool_calls"] = [
            {"name": call.name, "args": call.arguments, "id": call.id, "error": None, "type": "invalid_tool_call"}
            for call in calls
            if isinstance(call.arguments, str)
        ]
        fields["usage_metadata"] = None if record.usage is None else asdict(record.usage)
    elif kind == "tool":
        fields |= {
            "tool_call_id": record.tool_call_id or _answered(record.parts) or "",
            "artifact": None,
            "status": "error" if record.is_error else "success",
        }
    elif kind == "function":
        fields["name"] = record.name or ""
    elif kind == "chat":
        fields["role"] = record.role
    return fields


def _answered(parts: Sequence[Part]) -> str | None:
    """The call that parts answer by themselves, the first where they answer several: LangChain has room for one."""
    return next((part.tool_call_id for part in parts if isinstance(part, ToolResultPart)), None)


def _from_origin(record: Message, data: Any) -> BaseMessage | None:
    """The message that ``data`` describes; None where this package did not write it."""
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _CLASSES:
        return None
    resolve = partial(resolved, record.parts)
    try:
        told = {key: unpack(value, resolve) for key, value in data.items() if key != "type"}
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    fields = {**_expected(record, kind), **told}
    sound = all(check(fields[key]) for key, check in _SOUND.items() if key in fields)
    return _built(kind, fields) if sound else None


def _built(kind: str, fields: dict[str, Any]) -> BaseMessage:
    cls = _CLASSES[kind]
    message = cls.model_construct(**{key: fields.pop(key) for key in cls.model_fields if key in fields})
    if fields and message.__pydantic_extra__ is not None:
        message.__pydantic_extra__.update(fields)
    return message


def _usage(value: Any) -> Usage | None:
    told = _mapping(value)
    counts = [told[key] for key in _USAGE if type(told.get(key)) is int]
    return Usage(*counts) if len(counts) == len(_USAGE) else None


def _text(value: Any) -> str | None:
    return str.__str__(value) if isinstance(value, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
