"""Messages as rows: how their parts become JSON, and what a text column can hold of their text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import uuid_utils

from agent_session_core import _checks
from agent_session_core._json import canonical, decode, decode_object, encode
from agent_session_core.errors import CorruptRecord, InvalidInput
from agent_session_core.models import (
    ROLES,
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Origin,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)

MAX_MESSAGE = 32 * 1024 * 1024
"""Characters of one stored message, its text, parts and origin together."""
MAX_NAME = 4_096
"""Characters in a name, an author or a tool call's id."""

_PARTS: dict[str, type[Part]] = {
    "text": TextPart,
    "image": ImagePart,
    "audio": AudioPart,
    "file": FilePart,
    "data": DataPart,
    "reasoning": ReasoningPart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
}
_NAMES = {cls: name for name, cls in _PARTS.items()}
_FIELDS: dict[type[Any], tuple[tuple[str, Any], ...]] = {
    cls: tuple((field.name, field.default) for field in fields(cls)) for cls in _NAMES
}
_IN_RESULTS = (TextPart, ImagePart, AudioPart, FilePart, DataPart)  # what a tool result may hold
_UNFIT = re.compile("[\x00\ud800-\udfff]")  # what a text column cannot hold
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_EXACT = 10**6 << 32
"""Microseconds (until 2106) that a float of seconds tells exactly, which is read in half the time."""
_from_seconds = datetime.fromtimestamp


class StoredMessage(NamedTuple):
    """A message's columns, but for its place; the order is that of :data:`COLUMNS`."""

    id: str
    role: str
    name: str | None
    tool_call_id: str | None
    author: str | None
    created_at: int
    utc_offset: int
    text: str
    payload: str | None
    metadata: str | None
    origin: str | None
    origin_data: str | None


COLUMNS = StoredMessage._fields


def new_id() -> str:
    """A UUIDv7: unique, and in the order of time, so that rows made together lie together."""
    return str(uuid_utils.uuid7())


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int, utc_offset: int = 0) -> datetime:
    """The aware datetime, in the offset (seconds east) it was given in."""
    if utc_offset:
        zone = timezone(timedelta(seconds=utc_offset))
        return (_EPOCH + timedelta(microseconds=microseconds)).astimezone(zone)
    if 0 <= microseconds < _EXACT:
        return _from_seconds(microseconds / 1e6, timezone.utc)
    return _EPOCH + timedelta(0, 0, microseconds)


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(timezone.utc)


def to_row(message: Message, *, at: int, id: str | None = None) -> StoredMessage:
    """The columns of ``message``; ``at`` (microseconds) is when it was written, where it does not say.

    Raises:
        InvalidInput: naming the field that cannot be stored.
    """
    if not isinstance(message, Message):
        raise InvalidInput(
            f"messages: expected a Message, got {type(message).__name__} {_checks.shown(message)}; "
            "use Message.user(...), or the adapter's message_to_record(...)"
        )
    exact: dict[str, str] = {}
    text = message.text
    if not text.isascii() or "\x00" in text:
        text = _fitting(text, "text", exact)
    name = None if message.name is None else _name(message.name, "name", exact)
    call = None if message.tool_call_id is None else _name(message.tool_call_id, "tool_call_id", exact)
    author = None if message.author is None else _name(message.author, "author", exact)
    payload: dict[str, Any] = {}
    parts = message.parts
    only_text = message.text and len(parts) == 1 and type(parts[0]) is TextPart and parts[0].text == message.text
    if not only_text and (parts or message.text):
        payload["parts"] = [_part_to_json(part, message.text) for part in parts]
    if message.usage is not None:
        payload["usage"] = _usage_to_json(message.usage)
    if exact:
        payload["exact"] = exact
    if message.is_error:
        payload["is_error"] = True
    offset = 0
    if message.created_at is not None:
        offset = int(_checks.moment(message.created_at, "created_at").utcoffset().total_seconds())  # type: ignore[union-attr]  # moment() has seen to it
        at = to_microseconds(message.created_at)
    origin = message.origin
    row = StoredMessage(
        id or message.id or new_id(),
        message.role,
        name,
        call,
        author,
        at,
        offset,
        text,
        encode(payload, "parts") if payload else None,
        _checks.json_object(message.metadata, "metadata") if message.metadata else None,
        _framework(origin) if origin is not None else None,
        encode(origin.data, "origin.data") if origin is not None else None,
    )
    size = len(text) + len(row.payload or "") + len(row.origin_data or "")
    if size > MAX_MESSAGE:
        raise InvalidInput(
            f"messages: one of {size:,} characters; the limit is {MAX_MESSAGE:,}: "
            "keep large content in a file and its address in the message"
        )
    return row


def from_row(row: Sequence[Any]) -> Message:
    """The message of a row: seq, run, then :data:`COLUMNS`.

    Raises:
        CorruptRecord: when the row was not written by this package.
    """
    seq, run, id_, role, name, call, author, at, offset, text, payload, metadata, origin, origin_data = row
    usage, is_error = None, False
    try:
        if role not in ROLES or type(text) is not str:
            raise TypeError(f"its role is {_checks.shown(role)}, its text {_checks.shown(text)}")
        parts: tuple[Part, ...] = _text_part(text) if text else ()
        if payload is None and metadata is None and origin is None:
            created_at = from_microseconds(at, offset)
            return _restored(role, text, parts, id_, name, call, author, created_at, None, {}, None, False, seq, run)
        if payload is not None:
            rest = decode(payload)
            exact = rest.get("exact")
            if exact is not None:
                text = exact.get("text", text)
                name, call, author = (
                    exact.get("name", name),
                    exact.get("tool_call_id", call),
                    exact.get("author", author),
                )
                parts = _text_part(text) if text else ()
            found = rest.get("parts")
            if found is not None:
                parts = tuple([_part_from_json(part, text) for part in found])
            counts = rest.get("usage")
            if counts is not None:
                usage = Usage(*counts)
            is_error = rest.get("is_error", False)
        return _restored(
            role,
            text,
            parts,
            id_,
            name,
            call,
            author,
            from_microseconds(at, offset),
            usage,
            {} if metadata is None else decode_object(metadata),
            None if origin is None else _origin(origin, decode(origin_data)),
            is_error,
            seq,
            run,
        )
    except (CorruptRecord, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptRecord(f"message {seq} of a session cannot be read ({error}); restore it from a backup") from error


def _origin(name: str, data: Any) -> Origin:
    framework, _, version = name.partition("/")
    return Origin(framework, version, data)


_new: Callable[[Any], Any] = object.__new__
_set_part_text = vars(TextPart)["text"].__set__
_Blank: Any = type("_Blank", (), {"__slots__": tuple(field.name for field in fields(Message))})
"""The fields of a message while they are written; it then becomes a Message, whose own setters take thrice as long."""


def _restored(
    role: str,
    text: str,
    parts: tuple[Part, ...],
    id_: str,
    name: str | None,
    tool_call_id: str | None,
    author: str | None,
    created_at: datetime,
    usage: Usage | None,
    metadata: Mapping[str, Any],
    origin: Origin | None,
    is_error: bool,
    seq: int,
    run: int,
) -> Message:
    """A message of values that were checked when it was stored: a fifth of the time of the frozen record's __init__."""
    blank = _Blank()
    blank.role = role
    blank.text = text
    blank.parts = parts
    blank.id = id_
    blank.name = name
    blank.tool_call_id = tool_call_id
    blank.author = author
    blank.created_at = created_at
    blank.usage = usage
    blank.metadata = metadata
    blank.origin = origin
    blank.is_error = is_error
    blank.seq = seq
    blank.run = run
    blank.__class__ = Message
    message: Message = blank
    return message


def _text_part(text: str) -> tuple[TextPart]:
    """The parts of a message that is nothing but text."""
    part = _new(TextPart)
    _set_part_text(part, text)
    return (part,)


def as_stored(row: StoredMessage, message: Message, seq: int, run: int, moment: datetime) -> Message:
    """What a read of the new ``row`` of ``message`` would give, without decoding it where nothing was encoded.

    ``moment`` is when the row was made, for a message that did not say when it was written.
    """
    id_, role, name, call, author, _, _, text, payload, metadata, origin, _ = row
    if payload is not None or metadata is not None or origin is not None or message.created_at is not None:
        return from_row((seq, run, *row))
    return _restored(role, text, message.parts, id_, name, call, author, moment, None, {}, None, False, seq, run)


def same_content(row: StoredMessage, stored: Sequence[Any], *, with_time: bool) -> bool:
    """Whether ``row`` says what the row ``stored`` (in the order of :data:`COLUMNS`) says.

    The framework's version is left out, and the time too where the message came without one.
    """
    other = StoredMessage(*stored)
    return (
        row.role == other.role
        and row.text == other.text
        and _same_json(row.payload, other.payload)
        and row.name == other.name
        and row.tool_call_id == other.tool_call_id
        and row.author == other.author
        and _same_json(row.metadata, other.metadata)
        and _same_json(row.origin_data, other.origin_data)
        and (not with_time or row.created_at == other.created_at)
    )


def same_history(message: Message, stored: Message) -> bool:
    """Whether ``message`` is what a framework that was handed ``stored`` would hand back unchanged."""
    return (
        message.role == stored.role
        and message.text == stored.text
        and (message.parts == stored.parts or _same_parts(message.parts, stored.parts))
        and message.name == stored.name
        and message.tool_call_id == stored.tool_call_id
        and message.is_error == stored.is_error
        and message.author in (None, stored.author)
        and message.usage in (None, stored.usage)
        and (not message.metadata or message.metadata == stored.metadata)
        and (
            message.origin is None
            or stored.origin is None
            or _same_origin(message.origin, stored.origin, same_id=message.id in (None, stored.id))
        )
    )


def _same_origin(given: Origin, stored: Origin, *, same_id: bool) -> bool:
    """Whether nothing is lost by keeping ``stored``: equal data, or another framework's reading that adds nothing."""
    if given.framework != stored.framework:
        return same_id and not given.adds
    return given.data == stored.data or _same_json(
        encode(given.data, "origin.data"), encode(stored.data, "origin.data")
    )


def _same_parts(given: Sequence[Part], stored: Sequence[Part]) -> bool:
    """Whether parts say the same once they are JSON, which makes lists of tuples and where NaN equals itself."""
    return len(given) == len(stored) and all(
        one == other
        or (type(one) is type(other) and _same_json(*(encode(part_to_json(part), "parts") for part in (one, other))))
        for one, other in zip(given, stored, strict=True)
    )


def _same_json(one: str | None, other: str | None) -> bool:
    """Whether two stored texts say the same, in whatever order of keys."""
    return one == other or (one is not None and other is not None and canonical(one) == canonical(other))


def part_to_json(part: Part) -> dict[str, Any]:
    """The JSON object of one part: its kind as ``type``, and the fields that are not at their default."""
    return _part_to_json(part, None)


def part_from_json(data: Mapping[str, Any]) -> Part:
    """The part of a JSON object.

    Raises:
        CorruptRecord: for a kind or a field that is not known.
    """
    try:
        return _part_from_json(data, "")
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptRecord(f"part {_checks.shown(data)} cannot be read ({error})") from error


def _part_to_json(part: Part, whole: str | None) -> dict[str, Any]:
    """As :func:`part_to_json`; a text equal to the message's ``whole`` text is not said twice."""
    kind = _NAMES.get(type(part))
    if kind is None:
        raise InvalidInput(f"parts: {_checks.shown(part)} is no part; use TextPart, ImagePart, ToolCallPart, ...")
    if kind == "text" and part.text == whole:  # type: ignore[union-attr]  # the kind says which part it is
        return {"type": kind}
    data: dict[str, Any] = {"type": kind}
    for field, default in _FIELDS[type(part)]:
        value = getattr(part, field)
        if value is default or (value is None and field == "id"):
            continue
        told = _field_to_json(part, field, value)
        if default is None or default is MISSING or told:
            data[field] = told
    return data


def _field_to_json(part: Part, field: str, value: Any) -> Any:
    if field == "parts":
        if isinstance(value, list | tuple) and all(isinstance(inner, _IN_RESULTS) for inner in value):
            return [_part_to_json(inner, None) for inner in value]
    elif field == "arguments":
        if isinstance(value, str | dict):
            return value
        if isinstance(value, Mapping):
            return dict(value)
    elif isinstance(value, bool if field == "is_error" else str) or (field == "data" and isinstance(part, DataPart)):
        return value
    raise InvalidInput(
        f"parts: {type(part).__name__}.{field} cannot be {_checks.shown(value)}; give what the record's type says"
    )


def _part_from_json(data: Mapping[str, Any], whole: str) -> Part:
    values = dict(data)
    cls: Any = _PARTS[values.pop("type")]
    if cls is TextPart:
        return TextPart(values.get("text", whole))
    if "parts" in values:
        values["parts"] = tuple(_part_from_json(inner, "") for inner in values["parts"])
    if cls is ToolCallPart:
        return ToolCallPart(values.get("id"), values.get("name", ""), values.get("arguments", {}))
    return cls(**values)  # type: ignore[no-any-return]  # one of the kinds above


def _usage_to_json(usage: object) -> list[int]:
    if not isinstance(usage, Usage):
        raise InvalidInput(
            f"usage: expected a Usage, got {type(usage).__name__} {_checks.shown(usage)}; use Usage(...)"
        )
    return [
        _checks.whole(count, "usage", least=0, most=10**15)
        for count in (usage.input_tokens, usage.output_tokens, usage.total_tokens)
    ]


def _framework(origin: object) -> str:
    """The column that says which framework, and which version of it, a message came from."""
    if not isinstance(origin, Origin):
        raise InvalidInput(
            f"origin: expected an Origin, got {type(origin).__name__} {_checks.shown(origin)}; use Origin(...)"
        )
    framework = _checks.identifier(origin.framework, "origin.framework")
    if "/" in framework:
        raise InvalidInput(f"origin.framework: {_checks.shown(framework)} holds a slash; use a plain name")
    return f"{framework}/{_checks.identifier(origin.version, 'origin.version')}"


def _fitting(text: str, field: str, exact: dict[str, str]) -> str:
    """``text`` as a text column can hold it; where that differs, ``exact`` keeps the whole."""
    fitting = _UNFIT.sub("\ufffd", text)
    if fitting != text:
        exact[field] = text
    return fitting


def _name(value: object, field: str, exact: dict[str, str]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(
            f"{field}: expected a string, got {type(value).__name__} {_checks.shown(value)}; use str(...)"
        )
    if len(value) > MAX_NAME:
        raise InvalidInput(f"{field}: {len(value):,} characters ({_checks.shown(value)}); shorten it to {MAX_NAME:,}")
    return value if value.isascii() and "\x00" not in value else _fitting(value, field, exact)
