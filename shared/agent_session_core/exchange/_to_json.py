"""Records as the lines of a file say them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from agent_session_core.content import part_to_json
from agent_session_core.exchange.records import MessageEntry, SessionEntry
from agent_session_core.models import Origin, TextPart


def session_to_json(entry: SessionEntry) -> dict[str, Any]:
    """The record of a session line."""
    record = entry.record
    return _filled(
        {
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
            "created_at": record.created_at.isoformat(),
            "updated_at": record.updated_at.isoformat(),
        }
    )


def message_to_json(entry: MessageEntry) -> dict[str, Any]:
    """The record of a message line. Parts that say no more than the text are left out."""
    message = entry.message
    plain = (TextPart(message.text),) if message.text else ()
    return _filled(
        {
            "type": "message",
            "session": entry.session_id,
            "seq": message.seq,
            "id": message.id,
            "run": message.run,
            "state": None if entry.state == "live" else entry.state,
            "role": message.role,
            "name": message.name,
            "tool_call_id": message.tool_call_id,
            "author": message.author,
            "created_at": None if message.created_at is None else message.created_at.isoformat(),
            "text": message.text or None,
            "parts": None if message.parts == plain else [part_to_json(part) for part in message.parts],
            "usage": None if message.usage is None else asdict(message.usage),
            "metadata": dict(message.metadata) or None,
            "origin": None if message.origin is None else _origin_to_json(message.origin),
        }
    )


def _origin_to_json(origin: Origin) -> dict[str, Any]:
    return {"framework": origin.framework, "version": origin.version, "data": origin.data}


def _filled(record: dict[str, Any]) -> dict[str, Any]:
    """``record`` without the fields that say nothing."""
    return {key: value for key, value in record.items() if value is not None}
