"""Records as the lines of a file say them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from agent_session_core.content import from_microseconds, part_to_json
from agent_session_core.exchange.records import MessageEntry, RecordEntry, ScopeEntry, SessionEntry
from agent_session_core.models import Origin, TextPart

TIMES = {"task": ("created_at", "updated_at"), "call": ("started_at", "finished_at")}
"""The fields of a value that are times, by the kind of record."""


def entry_to_json(entry: SessionEntry | MessageEntry | RecordEntry | ScopeEntry) -> dict[str, Any]:
    """The record of an entry's line, without the fields that say nothing."""
    if isinstance(entry, MessageEntry):
        record = _message(entry)
    elif isinstance(entry, RecordEntry):
        record = _record(entry)
    elif isinstance(entry, SessionEntry):
        record = _session(entry)
    else:
        record = _scope(entry)
    return {key: value for key, value in record.items() if value is not None}


def _session(entry: SessionEntry) -> dict[str, Any]:
    record = entry.record
    return {
        "type": "session",
        "id": record.id,
        "user_id": record.user_id,
        "agent_id": record.agent_id,
        "title": record.title,
        "metadata": dict(record.metadata) or None,
        "status": record.status,
        "revision": record.revision,
        "run": record.run,
        "last_seq": entry.last_seq,
        "state_revision": entry.state_revision or None,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
        "idle_timeout": None if record.idle_timeout is None else _seconds(record.idle_timeout),
        "expires_at": None if record.expires_at is None else record.expires_at.isoformat(),
        "parent_id": record.parent_id,
        "forked_from": record.forked_from,
    }


def _message(entry: MessageEntry) -> dict[str, Any]:
    """Parts that say no more than the text are left out."""
    message = entry.message
    plain = (TextPart(message.text),) if message.text else ()
    return {
        "type": "message",
        "session": entry.session_id,
        "seq": message.seq,
        "id": message.id,
        "run": message.run,
        "state": None if entry.state == "live" else entry.state,
        "changed_at_revision": entry.changed_at_revision,
        "role": message.role,
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "is_error": message.is_error or None,
        "author": message.author,
        "created_at": None if message.created_at is None else message.created_at.isoformat(),
        "text": message.text or None,
        "parts": None if message.parts == plain else [part_to_json(part) for part in message.parts],
        "usage": None if message.usage is None else asdict(message.usage),
        "metadata": dict(message.metadata) or None,
        "origin": None if message.origin is None else _origin_to_json(message.origin),
    }


def _record(entry: RecordEntry) -> dict[str, Any]:
    of_session = entry.scope == "session"
    value = entry.value
    if isinstance(value, dict) and entry.kind in TIMES:
        told = {name: value.get(name) for name in TIMES[entry.kind]}
        value = value | {name: None if at is None else from_microseconds(at).isoformat() for name, at in told.items()}
    return {
        "type": "record",
        "scope": None if of_session else entry.scope,
        "session": entry.subject if of_session else entry.session_id,
        "user_id": entry.subject if entry.scope == "user" else None,
        "kind": entry.kind,
        "key": entry.key,
        "value": value,
        "deleted": entry.deleted or None,
        "revision": entry.revision,
        "seq": entry.seq,
        "written_at": entry.written_at.isoformat(),
        "current": entry.current or None,
    }


def _scope(entry: ScopeEntry) -> dict[str, Any]:
    return {
        "type": "scope",
        "scope": entry.scope,
        "user_id": entry.subject if entry.scope == "user" else None,
        "revision": entry.revision,
    }


def _origin_to_json(origin: Origin) -> dict[str, Any]:
    return {"framework": origin.framework, "version": origin.version, "data": origin.data}


def _seconds(span: timedelta) -> int | float:
    return int(span.total_seconds()) if not span.microseconds else span.total_seconds()
