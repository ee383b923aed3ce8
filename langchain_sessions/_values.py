"""Any Python value as JSON, and back, equal wherever JSON can say it.

A message may hold more than JSON has: bytes (pictures in Bedrock's shape), mappings with numbers for keys, objects in
a tool's artifact. Bytes and such keys are written as a mapping with one tagged key; objects become what they consist
of, or their ``repr``. Nothing stored names a class, so reading never builds anything but plain values.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agent_session_core.errors import InvalidInput

__all__ = ["LONG", "Path", "pack", "plain", "point_at", "unpack"]

Path: TypeAlias = "Sequence[int | str]"
"""Where a string stands among the parts of a message: ``[part, field, key]``."""

LONG = 32
"""From this many characters on, a string that stands in a part already is pointed at instead of repeated."""

_BYTES, _ITEMS, _LITERAL, _PART = "$bytes", "$items", "$literal", "$part"
_TAGS = frozenset((_BYTES, _ITEMS, _LITERAL, _PART))


def pack(value: Any, known: Mapping[str, Path] | None = None) -> Any:
    """``value`` as JSON from which :func:`unpack` makes it again.

    Args:
        value: anything; tuples become lists, sets too, keys that are no plain value become strings.
        known: long strings that are stored elsewhere, and where; each is replaced by a pointer.

    Raises:
        InvalidInput: when the value is nested too deeply to be walked, or holds itself.
    """
    return _walked(value, known or {})


def plain(value: Any) -> Any:
    """``value`` as JSON for every reader: bytes as base64, every key a string, no tags.

    Raises:
        InvalidInput: as :func:`pack`.
    """
    return _walked(value, None)


def point_at(path: Path) -> dict[str, Any]:
    """The pointer that stands for what is found at ``path``."""
    return {_PART: list(path)}


def unpack(value: Any, resolve: Callable[[Path], Any] | None = None) -> Any:
    """The value that :func:`pack` was given.

    Args:
        value: what :func:`pack` returned, after any trip through JSON text.
        resolve: finds what a pointer means.

    Raises:
        ValueError, TypeError, LookupError: when ``value`` was not made by :func:`pack`.
    """
    if isinstance(value, list):
        return [unpack(item, resolve) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        tag, content = next(iter(value.items()))
        if tag == _BYTES:
            return base64.b64decode(content, validate=True)
        if tag == _ITEMS:
            return {key: unpack(item, resolve) for key, item in content}
        if tag == _LITERAL:
            return {key: unpack(item, resolve) for key, item in content.items()}
        if tag == _PART and resolve is not None:
            return resolve(content)
    return {key: unpack(item, resolve) for key, item in value.items()}


def _walked(value: Any, known: Mapping[str, Path] | None) -> Any:
    try:
        return _json(value, known)
    except RecursionError:
        raise InvalidInput("message: nested too deeply, or holds itself; flatten it") from None


def _json(value: Any, known: Mapping[str, Path] | None) -> Any:
    """``value`` as JSON, with tags where ``known`` is a mapping."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        text = str.__str__(value)  # an enum's or a subclass's own str() may say something else
        return point_at(known[text]) if known and len(text) >= LONG and text in known else text
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return _json_object(value, known)
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item, known) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        text = base64.b64encode(value).decode()
        return text if known is None else {_BYTES: text}
    return _json(_simpler(value), known)


def _json_object(value: Mapping[Any, Any], known: Mapping[str, Path] | None) -> dict[str, Any]:
    if all(isinstance(key, str) for key in value):
        packed = {str.__str__(key): _json(item, known) for key, item in value.items()}
        tagged = known is not None and len(packed) == 1 and not _TAGS.isdisjoint(packed)
        return {_LITERAL: packed} if tagged else packed
    if known is not None and all(key is None or isinstance(key, str | int | float) for key in value):
        return {_ITEMS: [[key, _json(item, known)] for key, item in value.items()]}
    return _json_object({str(key): item for key, item in value.items()}, known)


def _simpler(value: object) -> Any:
    """An object as simpler values: what it consists of where that is known, else how it shows itself."""
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    try:
        return to_jsonable_python(value, fallback=repr, bytes_mode="base64", inf_nan_mode="constants")
    except ValueError:
        return repr(value)
