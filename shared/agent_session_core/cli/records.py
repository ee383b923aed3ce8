"""Records as the JSON that commands print: the same fields as in an export."""

from __future__ import annotations

from typing import Any

from agent_session_core import Message, SessionRecord
from agent_session_core.exchange import MessageEntry, SessionEntry
from agent_session_core.exchange._to_json import entry_to_json
from agent_session_core.files import FileVersion
from agent_session_core.tasks import TaskRecord
from agent_session_core.tool_calls import ToolCall

__all__ = ["call_as_json", "file_as_json", "message_as_json", "session_as_json", "task_as_json"]


def session_as_json(record: SessionRecord, messages: int) -> dict[str, Any]:
    """A session, with how many messages its current run has."""
    return _without_type(entry_to_json(SessionEntry(record=record))) | {"messages": messages}


def message_as_json(session_id: str, message: Message) -> dict[str, Any]:
    """A message."""
    return _without_type(entry_to_json(MessageEntry(session_id=session_id, message=message)))


def task_as_json(task: TaskRecord) -> dict[str, Any]:
    """A task, with its place in the tree."""
    return {
        "id": task.id,
        "parent_id": task.parent_id,
        "depth": task.depth,
        "title": task.title,
        "status": task.status,
        "progress": task.progress,
        "note": task.note,
        "created_at": task.created_at.isoformat(),
        "updated_at": task.updated_at.isoformat(),
    }


def file_as_json(file: FileVersion) -> dict[str, Any]:
    """A version of a file, without its bytes."""
    return {
        "name": file.name,
        "version": file.version,
        "media_type": file.media_type,
        "size": file.size,
        "sha256": file.sha256,
        "created_at": file.created_at.isoformat(),
    }


def call_as_json(call: ToolCall) -> dict[str, Any]:
    """A tool call."""
    return {
        "id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        "status": call.status,
        "result": call.result,
        "error": call.error,
    }


def _without_type(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "type"}
