"""What records say: decoded, and of the shape that this package writes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent_session_core._checks import shown
from agent_session_core._json import decode
from agent_session_core.errors import CorruptRecord
from agent_session_core.models import TASK_STATUSES, TOOL_CALL_STATUSES

__all__ = ["value_of"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_YEAR_1, _YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000
"""Microseconds since 1970, between which a moment lies."""

_Fits = Callable[[Any], bool]


class _Version(Protocol):
    """A version of a key, as statements give it."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> str | None: ...
    @property
    def written_at(self) -> int: ...


def value_of(kind: str, row: _Version) -> Any:
    """What a version of a record says; None where it is a deletion.

    Raises:
        CorruptRecord: when it was not written by this package.
    """
    try:
        if type(row.key) is not str or not _moment(row.written_at):
            raise TypeError(f"its key is {shown(row.key)}, written at {shown(row.written_at)}")
        if row.value is None:
            return None
        if type(row.value) is not str:
            raise TypeError(f"it holds {shown(row.value)}")
        value = decode(row.value)
        if kind in _SHAPES:
            _SHAPES[kind](value)
    except (CorruptRecord, TypeError) as error:
        what = _WORDS.get(kind, kind)
        raise CorruptRecord(f"{what} {shown(row.key)} cannot be read ({error}); restore it from a backup") from error
    return value


def _object(fields: Mapping[str, _Fits]) -> Callable[[Any], None]:
    """A check of an object that has these fields, and each as it should be."""

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            raise TypeError(f"expected an object, got {shown(value)}")
        for field, fits in fields.items():
            if field not in value:
                raise TypeError(f"{field} is missing")
            if not fits(value[field]):
                raise TypeError(f"{field} cannot be {shown(value[field])}")

    return check


def _only(fits: _Fits) -> Callable[[Any], None]:
    """A check of a value that is no object."""

    def check(value: Any) -> None:
        if not fits(value):
            raise TypeError(f"it cannot be {shown(value)}")

    return check


def _anything(_: Any) -> bool:
    return True


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _moment(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and _YEAR_1 <= value < _YEAR_10000


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_number, value))


def _digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _or_none(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


_SHAPES: dict[str, Callable[[Any], None]] = {
    "task": _object(
        {
            "parent_id": _or_none(_text),
            "title": _text,
            "status": TASK_STATUSES.__contains__,
            "progress": _or_none(_share),
            "note": _or_none(_text),
            "created_at": _moment,
            "updated_at": _moment,
        }
    ),
    "call": _object(
        {
            "name": _text,
            "arguments": lambda value: isinstance(value, str | dict),
            "status": TOOL_CALL_STATUSES.__contains__,
            "idempotency_key": _or_none(_text),
            "result": _anything,
            "error": _or_none(_text),
            "started_at": _or_none(_moment),
            "finished_at": _or_none(_moment),
        }
    ),
    "file": _object({"version": _number, "media_type": _text, "size": _number, "sha256": _digest, "blob": _number}),
    "key": _only(_text),
    "rewind": _object({"revision": _number, "record": _number, "end": _number, "aside": _numbers}),
}
"""The shape of each kind. Variables are whatever their writers like."""
_WORDS = {"state": "variable", "call": "tool call", "key": "idempotency key"}
