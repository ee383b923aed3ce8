"""Records from the lines of a file, every field checked: a file may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any, TypeVar, cast

from agent_session_core._checks import identifier, shown
from agent_session_core.content import part_from_json
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange.records import STATES, MessageEntry, MessageState, SessionEntry
from agent_session_core.models import (
    ROLES,
    STATUSES,
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    Part,
    ReasoningPart,
    SessionRecord,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_T = TypeVar("_T")
_PLAIN = (TextPart, ImagePart, AudioPart, FilePart, DataPart)  # what a tool's result may hold
_REQUIRED: dict[type[Part], tuple[str, ...]] = {
    TextPart: ("text",),
    DataPart: ("kind",),
    ReasoningPart: ("text",),
    ToolCallPart: ("name", "arguments"),
    ToolResultPart: ("tool_call_id", "text"),
}
"""Fields that must be strings; all others may be None."""


def session_from_json(record: Mapping[str, Any], where: str) -> SessionEntry:
    """The session of a line.

    Raises:
        InvalidInput: naming the field that is wrong.
    """
    created_at = _moment(record, "created_at") or _EPOCH
    status = record.get("status", "active")
    if status not in STATUSES:
        raise InvalidInput(f"status: {shown(status)} is not known; use one of {', '.join(STATUSES)}")
    return SessionEntry(
        record=SessionRecord(
            id=identifier(record.get("id"), "id"),
            user_id=_text(record, "user_id"),
            agent_id=_text(record, "agent_id"),
            title=_text(record, "title"),
            metadata=_typed(record, "metadata", dict) or {},
            status=status,
            revision=_whole(record, "revision", least=0) or 0,
            run=_whole(record, "run") or 1,
            created_at=created_at,
            updated_at=_moment(record, "updated_at") or created_at,
        ),
        last_seq=_whole(record, "last_seq", least=0),
        where=where,
    )


def bare_session(entry: MessageEntry) -> SessionEntry:
    """The session of a message whose session line is missing or damaged."""
    at = entry.message.created_at or _EPOCH
    return SessionEntry(
        record=SessionRecord(
            id=entry.session_id,
            user_id=None,
            agent_id=None,
            title=None,
            metadata={},
            status="active",
            revision=0,
            run=entry.message.run or 1,
            created_at=at,
            updated_at=at,
        ),
        where=entry.where,
    )


def message_from_json(record: Mapping[str, Any], where: str) -> MessageEntry:
    """The message of a line.

    Raises:
        InvalidInput: naming the field that is wrong.
        CorruptRecord: for a part of an unknown kind.
    """
    role, state = record.get("role"), record.get("state", "live")
    if role not in ROLES:
        raise InvalidInput(f"role: {shown(role)} is no role; use one of {', '.join(ROLES)}")
    if state not in STATES:
        raise InvalidInput(f"state: {shown(state)} is not known; use one of {', '.join(STATES)}")
    id_ = _text(record, "id")
    message = Message(
        role=role,
        text=_text(record, "text") or "",
        parts=tuple(_part(part) for part in _typed(record, "parts", list) or ()),
        id=None if id_ is None else identifier(id_, "id"),
        name=_text(record, "name"),
        tool_call_id=_text(record, "tool_call_id"),
        author=_text(record, "author"),
        created_at=_moment(record, "created_at"),
        usage=_usage(_typed(record, "usage", dict)),
        metadata=_typed(record, "metadata", dict) or {},
        origin=_origin(_typed(record, "origin", dict)),
        seq=_whole(record, "seq"),
        run=_whole(record, "run"),
    )
    session_id = identifier(record.get("session"), "session")
    return MessageEntry(session_id=session_id, message=message, state=cast("MessageState", state), where=where)


def _part(data: object) -> Part:
    if not isinstance(data, dict):
        raise InvalidInput(f"parts: expected an object, got {shown(data)}")
    part = part_from_json(data)
    if not _sound(part):
        raise InvalidInput(f"parts: {shown(data)} has a field of the wrong type")
    return part


def _sound(part: Part) -> bool:
    """Whether the fields of ``part`` are of the types they are declared with."""
    values: dict[str, Any] = {name: getattr(part, name) for name in part.__slots__}
    if isinstance(part, DataPart):
        values.pop("data")  # any JSON value
    if isinstance(part, ToolCallPart) and isinstance(values["arguments"], dict):
        values.pop("arguments")
    if isinstance(part, ToolResultPart):
        inner = values.pop("parts")
        if not isinstance(values.pop("is_error"), bool):
            return False
        if not all(isinstance(each, _PLAIN) and _sound(each) for each in inner):
            return False
    return all(
        isinstance(value, str) or (value is None and name not in _REQUIRED.get(type(part), ()))
        for name, value in values.items()
    )


def _usage(counts: dict[str, Any] | None) -> Usage | None:
    if counts is None:
        return None
    return Usage(*(_whole(counts, field.name, least=0) or 0 for field in fields(Usage)))


def _origin(data: dict[str, Any] | None) -> Origin | None:
    if data is None:
        return None
    framework, version = _text(data, "framework"), _text(data, "version")
    if not framework or version is None:
        raise InvalidInput("origin: names no framework or no version")
    return Origin(framework, version, data.get("data"))


def _text(record: Mapping[str, Any], field: str) -> str | None:
    return _typed(record, field, str)


def _whole(record: Mapping[str, Any], field: str, *, least: int = 1) -> int | None:
    value = record.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63):
        raise InvalidInput(f"{field}: expected a whole number from {least}, got {shown(value)}")
    return value


def _moment(record: Mapping[str, Any], field: str) -> datetime | None:
    value = _text(record, field)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidInput(f"{field}: {shown(value)} is no time; write it as 2026-05-04T09:30:00+00:00") from None
    if moment.utcoffset() is None:
        raise InvalidInput(f"{field}: {shown(value)} has no time zone; add one, +00:00 for UTC")
    return moment


def _typed(record: Mapping[str, Any], field: str, cls: type[_T]) -> _T | None:
    value = record.get(field)
    if value is not None and not isinstance(value, cls):
        expected = {str: "a string", list: "a list", dict: "an object"}[cls]  # type: ignore[index]  # one of the three
        raise InvalidInput(f"{field}: expected {expected}, got {shown(value)}")
    return value
