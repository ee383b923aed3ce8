"""Records from the lines of a file, every field checked: a file may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as fields_of
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from agent_session_core._checks import identifier, optional_identifier, shown
from agent_session_core.content import part_from_json
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import _fields as fields
from agent_session_core.exchange.records import STATES, MessageEntry, MessageState, RecordEntry, SessionEntry
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
_LONGEST = 36_500 * 24 * 60 * 60
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
    created_at = fields.moment(record, "created_at") or _EPOCH
    status = record.get("status", "active")
    if status not in STATUSES:
        raise InvalidInput(f"status: {shown(status)} is not known; use one of {', '.join(STATUSES)}")
    return SessionEntry(
        record=SessionRecord(
            id=identifier(record.get("id"), "id"),
            user_id=fields.text(record, "user_id"),
            agent_id=fields.text(record, "agent_id"),
            title=fields.text(record, "title"),
            metadata=fields.typed(record, "metadata", dict) or {},
            status=status,
            revision=fields.whole(record, "revision", least=0) or 0,
            run=fields.whole(record, "run") or 1,
            created_at=created_at,
            updated_at=fields.moment(record, "updated_at") or created_at,
            idle_timeout=_span(record, "idle_timeout"),
            expires_at=fields.moment(record, "expires_at"),
            parent_id=optional_identifier(record.get("parent_id"), "parent_id"),
            forked_from=fields.whole(record, "forked_from", least=0),
        ),
        last_seq=fields.whole(record, "last_seq", least=0),
        state_revision=fields.whole(record, "state_revision", least=0) or 0,
        where=where,
    )


def bare_session(entry: MessageEntry | RecordEntry) -> SessionEntry:
    """The session of a message or record whose session line is missing or damaged."""
    if isinstance(entry, MessageEntry):
        name, at, run = entry.session_id, entry.message.created_at or _EPOCH, entry.message.run
    else:
        name, at, run = entry.subject, entry.written_at, None
    return SessionEntry(
        record=SessionRecord(
            id=name,
            user_id=None,
            agent_id=None,
            title=None,
            metadata={},
            status="active",
            revision=0,
            run=run or 1,
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
    id_ = fields.text(record, "id")
    message = Message(
        role=role,
        text=fields.text(record, "text") or "",
        parts=tuple(_part(part) for part in fields.typed(record, "parts", list) or ()),
        id=None if id_ is None else identifier(id_, "id"),
        name=fields.text(record, "name"),
        tool_call_id=fields.text(record, "tool_call_id"),
        author=fields.text(record, "author"),
        created_at=fields.moment(record, "created_at"),
        usage=_usage(fields.typed(record, "usage", dict)),
        metadata=fields.typed(record, "metadata", dict) or {},
        origin=_origin(fields.typed(record, "origin", dict)),
        is_error=fields.typed(record, "is_error", bool) or False,
        seq=fields.whole(record, "seq"),
        run=fields.whole(record, "run"),
    )
    session_id = identifier(record.get("session"), "session")
    return MessageEntry(
        session_id=session_id,
        message=message,
        state=cast("MessageState", state),
        changed_at_revision=fields.whole(record, "changed_at_revision", least=0),
        where=where,
    )


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
    return Usage(*(fields.whole(counts, field.name, least=0) or 0 for field in fields_of(Usage)))


def _origin(data: dict[str, Any] | None) -> Origin | None:
    if data is None:
        return None
    framework, version = fields.text(data, "framework"), fields.text(data, "version")
    if not framework or version is None:
        raise InvalidInput("origin: names no framework or no version")
    return Origin(framework, version, data.get("data"))


def _span(record: Mapping[str, Any], field: str) -> timedelta | None:
    seconds = record.get(field)
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise InvalidInput(f"{field}: {shown(seconds)} is no time span; give seconds, up to {_LONGEST:,}")
    return timedelta(seconds=seconds)
