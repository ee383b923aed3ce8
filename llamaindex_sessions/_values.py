"""Any value as JSON, and back.

A ``ChatMessage`` may hold anything: bytes, streams, paths, objects of a provider's client. ``exact`` gives JSON from
which ``restored`` makes an equal value wherever the value is plain data; what JSON lacks is tagged. ``plain`` gives the
same without tags, for readers that know nothing of this package. Objects come back as the data they hold: nothing here
ever builds an instance of a class that stored data names, opens a path or follows a URL.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from io import IOBase
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from llama_index.core.bridge.pydantic import AnyUrl, BaseModel

from agent_session_core.errors import InvalidInput

__all__ = ["contents", "exact", "plain", "restored"]

MAX_DEPTH = 90
"""How deep a value may be nested; the store takes 100 levels, and a message adds a few around the value."""


def exact(value: Any) -> Any:
    """JSON of ``value`` that ``restored`` turns back: equal for data, the data they hold for objects.

    Tuples and sets come back as lists, as JSON has it.

    Raises:
        InvalidInput: when it is nested too deeply, or holds a stream that cannot be read.
    """
    return _json(value, tagged=True, depth=0)


def plain(value: Any) -> Any:
    """JSON of ``value`` without tags: bytes as base64, paths, URLs and times as text.

    Raises:
        InvalidInput: when it is nested too deeply, or holds a stream that cannot be read.
    """
    return _json(value, tagged=False, depth=0)


def restored(value: Any) -> Any:
    """The value of which ``exact`` made ``value``.

    Raises:
        ValueError, TypeError: when a tag holds what it cannot.
    """
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag == _PAIRS:
            return {restored(key): restored(item) for key, item in content}
        if tag in _BUILDERS:
            return _BUILDERS[tag](content)
    return {key: restored(item) for key, item in value.items()}


def contents(stream: IOBase) -> bytes:
    """All bytes of ``stream``, whose position stays what it was.

    Raises:
        InvalidInput: when it is closed or cannot be read from its beginning.
    """
    try:
        position = stream.tell()
        stream.seek(0)
        data = stream.read()
        stream.seek(position)
    except (AttributeError, OSError, ValueError) as error:
        raise InvalidInput(f"messages: a {type(stream).__name__} cannot be read ({error}); give its bytes") from error
    return data.encode() if isinstance(data, str) else bytes(data)


_PAIRS = "$pairs"  # a mapping whose keys are not all strings, or that looks like a tag
_BUILDERS: Mapping[str, Callable[[Any], Any]] = {
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$path": Path,
    "$url": AnyUrl,
    "$datetime": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$uuid": UUID,
    "$decimal": Decimal,
}


def _json(value: Any, *, tagged: bool, depth: int) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if depth > MAX_DEPTH:
        raise InvalidInput(f"messages: a value is nested deeper than {MAX_DEPTH} levels; flatten it")
    if (leaf := _leaf(value)) is not None:
        tag, text = leaf
        return {tag: text} if tagged else text
    value = _as_data(value)
    if isinstance(value, Mapping):
        items = {key: _json(item, tagged=tagged, depth=depth + 1) for key, item in value.items()}
        if not tagged:
            return {str(key): item for key, item in items.items()}
        if all(isinstance(key, str) for key in items) and not _looks_tagged(items):
            return items
        return {_PAIRS: [[_json(key, tagged=True, depth=depth + 1), item] for key, item in items.items()]}
    if isinstance(value, Set):
        value = sorted(value, key=repr)
    if isinstance(value, list | tuple):
        return [_json(item, tagged=tagged, depth=depth + 1) for item in value]
    return value if isinstance(value, str) else repr(value)


def _leaf(value: Any) -> tuple[str, str] | None:
    """The tag and text of a value that JSON lacks and that holds no others."""
    if isinstance(value, IOBase):
        value = contents(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "$bytes", base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return "$datetime", value.isoformat()
    if isinstance(value, date):
        return "$date", value.isoformat()
    for tag, kind in (("$path", PurePath), ("$url", AnyUrl), ("$uuid", UUID), ("$decimal", Decimal)):
        if isinstance(value, kind):
            return tag, str(value)
    return None


def _as_data(value: Any) -> Any:
    """The fields of an object as a mapping, its text where it will not say; anything else as it is."""
    if isinstance(value, BaseModel):
        try:
            return value.model_dump()  # leaves out what the model excludes, clients and keys among them
        except Exception:  # noqa: BLE001  # a provider's serializer may raise anything, and must not cost the message
            return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value


def _looks_tagged(value: Mapping[Any, Any]) -> bool:
    return len(value) == 1 and not value.keys().isdisjoint({_PAIRS, *_BUILDERS})
