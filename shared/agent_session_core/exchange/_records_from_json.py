"""Variables, tasks, tool calls, files and their bytes from the lines of a file, every field checked."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from agent_session_core._checks import identifier, optional_identifier, shown, title
from agent_session_core.content import to_microseconds
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import _fields as fields
from agent_session_core.exchange.records import KINDS, SCOPES, BlobEntry, RecordEntry, RecordScope, ScopeEntry
from agent_session_core.models import TASK_STATUSES, TOOL_CALL_STATUSES

MAX_PIECE = 16 * 1024 * 1024
"""Bytes in one line."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def record_from_json(record: Mapping[str, Any], where: str) -> RecordEntry:
    """The version of a line.

    Raises:
        InvalidInput: naming the field that is wrong.
    """
    kind = _one_of(record, "kind", KINDS)
    scope, subject = _scope(record, "session")
    if scope == "session":
        subject = identifier(record.get("session"), "session")
    elif kind != "state":
        raise InvalidInput(f"kind: {shown(kind)} belongs to a session; leave the scope out")
    deleted = fields.typed(record, "deleted", bool) or False
    written_at = fields.moment(record, "written_at")
    if written_at is None:
        raise InvalidInput("written_at: missing; say when it was written, as 2026-05-04T09:30:00+00:00")
    return RecordEntry(
        scope=scope,
        subject=subject,
        kind=kind,
        key=identifier(record.get("key"), "key"),
        value=None if deleted else _VALUES[kind](record.get("value")),
        deleted=deleted,
        revision=fields.whole(record, "revision", least=0) or 0,
        seq=fields.whole(record, "seq", least=0) or 0,
        written_at=written_at,
        current=fields.typed(record, "current", bool) or False,
        session_id=None if scope == "session" else optional_identifier(record.get("session"), "session"),
        where=where,
    )


def scope_from_json(record: Mapping[str, Any], where: str) -> ScopeEntry:
    """The scope of a line.

    Raises:
        InvalidInput: naming the field that is wrong.
    """
    scope, subject = _scope(record, None)
    return ScopeEntry(
        scope=scope, subject=subject, revision=fields.whole(record, "revision", least=0) or 0, where=where
    )


def blob_from_json(record: Mapping[str, Any], where: str) -> BlobEntry:
    """The piece of bytes of a line.

    Raises:
        InvalidInput: naming the field that is wrong.
    """
    size, offset = fields.whole(record, "size", least=0) or 0, fields.whole(record, "offset", least=0) or 0
    text = fields.text(record, "data") or ""
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"data: {shown(text)} is not base64") from None
    if len(data) > MAX_PIECE or offset + len(data) > size:
        raise InvalidInput(f"data: {len(data):,} bytes; a piece has {MAX_PIECE:,} at most, and ends with the file")
    return BlobEntry(sha256=_sha256(record), size=size, offset=offset, data=data, where=where)


def _scope(record: Mapping[str, Any], default: RecordScope | None) -> tuple[RecordScope, str]:
    scope: RecordScope = _one_of({"scope": default, **record}, "scope", SCOPES if default else SCOPES[1:])
    return scope, identifier(record.get("user_id"), "user_id") if scope == "user" else ""


def _state(value: Any) -> Any:
    return value


def _task(value: Any) -> dict[str, Any]:
    task = _object(value)
    name = title(task.get("title"))
    progress = task.get("progress")
    if not name:
        raise InvalidInput("value.title: a task needs one")
    if progress is not None and (
        isinstance(progress, bool) or not isinstance(progress, int | float) or not 0 <= progress <= 1
    ):
        raise InvalidInput(f"value.progress: {shown(progress)} is out of range; give 0 to 1")
    return {
        "parent_id": optional_identifier(task.get("parent_id"), "value.parent_id"),
        "title": name,
        "status": _one_of(task, "status", TASK_STATUSES),
        "progress": progress,
        "note": fields.text(task, "note"),
        "created_at": _microseconds(task, "created_at", required=True),
        "updated_at": _microseconds(task, "updated_at", required=True),
    }


def _call(value: Any) -> dict[str, Any]:
    call = _object(value)
    arguments = call.get("arguments")
    if not isinstance(arguments, str | dict):
        raise InvalidInput(f"value.arguments: expected an object or a string, got {shown(arguments)}")
    return {
        "name": identifier(call.get("name"), "value.name"),
        "arguments": arguments,
        "status": _one_of(call, "status", TOOL_CALL_STATUSES),
        "idempotency_key": optional_identifier(call.get("idempotency_key"), "value.idempotency_key"),
        "result": call.get("result"),
        "error": fields.text(call, "error"),
        "started_at": _microseconds(call, "started_at"),
        "finished_at": _microseconds(call, "finished_at"),
    }


def _file(value: Any) -> dict[str, Any]:
    file = _object(value)
    return {
        "version": _required(file, "version", 1),
        "media_type": identifier(file.get("media_type"), "value.media_type"),
        "size": _required(file, "size", 0),
        "sha256": _sha256(file),
    }


def _key(value: Any) -> str:
    return identifier(value, "value")


def _rewind(value: Any) -> dict[str, Any]:
    rewind = _object(value)
    aside = rewind.get("aside")
    if not isinstance(aside, list) or not all(isinstance(seq, int) and 0 < seq < 2**32 for seq in aside):
        raise InvalidInput(f"value.aside: expected a list of places, got {shown(aside)}")
    numbers = {name: _required(rewind, name, 0) for name in ("revision", "record", "end")}
    return {**numbers, "aside": aside}


_VALUES: dict[str, Callable[[Any], Any]] = {
    "state": _state,
    "task": _task,
    "call": _call,
    "file": _file,
    "key": _key,
    "rewind": _rewind,
}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"value: expected an object, got {shown(value)}")
    return value


def _required(record: Mapping[str, Any], field: str, least: int) -> int:
    number = fields.whole(record, field, least=least)
    if number is None:
        raise InvalidInput(f"{field}: missing; give a whole number from {least}")
    return number


def _microseconds(record: Mapping[str, Any], field: str, *, required: bool = False) -> int | None:
    at = fields.moment(record, field)
    if at is None and required:
        raise InvalidInput(f"{field}: missing; write it as 2026-05-04T09:30:00+00:00")
    return None if at is None else to_microseconds(at)


def _sha256(record: Mapping[str, Any]) -> str:
    digest = fields.text(record, "sha256") or ""
    if not _SHA256.fullmatch(digest):
        raise InvalidInput(f"sha256: {shown(digest)} is none; give 64 hexadecimal digits")
    return digest


def _one_of(record: Mapping[str, Any], field: str, allowed: tuple[Any, ...]) -> Any:
    value = record.get(field)
    if value not in allowed:
        raise InvalidInput(f"{field}: {shown(value)} is not known; use one of {', '.join(allowed)}")
    return value
