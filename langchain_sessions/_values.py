"""Any Python value as JSON, and back, equal wherever JSON can say it.

A message may hold more than JSON has: bytes (pictures in Bedrock's shape), mappings with numbers for keys, objects in
a tool's artifact. Bytes and such keys are written as a mapping with one tagged key; objects become what they consist
of, or their ``repr``, with a warning that names their class. Nothing stored names a class, so reading never builds
anything but plain values.
"""

from __future__ import annotations

import base64
import warnings
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
_ATOMS = frozenset((type(None), bool, int, float))
_TEXT = frozenset((str,))
_EXACT: Mapping[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}
"""How an enum or a subclass of a plain type becomes that type; its own ``str()`` may say something else."""
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
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is str:
        return point_at(known[value]) if known and len(value) >= LONG and value in known else value
    if isinstance(value, Mapping):
        return _json_object(value, known)
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item, known) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        text = base64.b64encode(value).decode()
        return text if known is None else {_BYTES: text}
    return _json(_simpler(value), known)


def _json_object(value: Mapping[Any, Any], known: Mapping[str, Path] | None) -> dict[str, Any]:
    if {*map(type, value)} <= _TEXT:
        packed = {key: _json(item, known) for key, item in value.items()}
        tagged = known is not None and len(packed) == 1 and not _TAGS.isdisjoint(packed)
        return {_LITERAL: packed} if tagged else packed
    keys = {key: _simpler(key) if isinstance(key, tuple(_EXACT)) and type(key) is not bool else key for key in value}
    if known is not None and all(type(key) in _ATOMS or type(key) is str for key in keys.values()):
        return {_ITEMS: [[keys[key], _json(item, known)] for key, item in value.items()]}
    return _json_object({str(keys[key]): item for key, item in value.items()}, known)


def _simpler(value: object) -> Any:
    """An object as a simpler value: what it is a kind of, or what it consists of, else how it shows itself."""
    for base, exact in _EXACT.items():
        if isinstance(value, base):
            return exact(value)
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    shown: list[object] = []

    def as_shown(odd: object) -> str:
        shown.append(odd)
        return repr(odd)

    try:
        simple = to_jsonable_python(value, fallback=as_shown, bytes_mode="base64", inf_nan_mode="constants")
    except ValueError:
        simple = as_shown(value)
    for name in sorted({type(odd).__name__ for odd in shown}):
        warnings.warn(f"message: of a {name} only the repr is stored; give plain values instead", stacklevel=2)
    return simple
