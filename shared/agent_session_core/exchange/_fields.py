"""The fields of a line's record, each checked: a file may come from anywhere. All raise InvalidInput and name it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from agent_session_core._checks import moment as within_years
from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput

_T = TypeVar("_T")
_NAMES: dict[type, str] = {str: "a string", list: "a list", dict: "an object", bool: "true or false"}


def text(record: Mapping[str, Any], field: str) -> str | None:
    """A string, or None."""
    return typed(record, field, str)


def whole(record: Mapping[str, Any], field: str, *, least: int = 1) -> int | None:
    """A whole number from ``least`` on, or None."""
    value = record.get(field)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63):
        raise InvalidInput(f"{field}: expected a whole number from {least}, got {shown(value)}")
    return value


def moment(record: Mapping[str, Any], field: str) -> datetime | None:
    """An aware datetime, or None."""
    value = text(record, field)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise InvalidInput(f"{field}: {shown(value)} is no time; write it as 2026-05-04T09:30:00+00:00") from None
    if found.utcoffset() is None:
        raise InvalidInput(f"{field}: {shown(value)} has no time zone; add one, +00:00 for UTC")
    return within_years(found, field)


def typed(record: Mapping[str, Any], field: str, cls: type[_T]) -> _T | None:
    """A value of the type ``cls``, or None."""
    value = record.get(field)
    if value is not None and not isinstance(value, cls):
        expected = _NAMES[cls]
        raise InvalidInput(f"{field}: expected {expected}, got {shown(value)}")
    return value
