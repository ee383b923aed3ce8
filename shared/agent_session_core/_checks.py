"""Checks of what callers hand in. Each names the argument, shows the value (shortened) and says what to do."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from agent_session_core._json import encode
from agent_session_core.errors import InvalidInput

MAX_ID = 512
"""Characters in an id."""
MAX_TITLE = 1_000
"""Characters in a session's title."""
MAX_LIMIT = 1_000_000
"""The most that any ``limit``, ``last`` or ``offset`` may ask for."""
MAX_METADATA = 64 * 1024
"""Characters of JSON in the metadata of a session or message."""

_FIRST_MOMENT = datetime.min.replace(tzinfo=timezone.utc)
_LAST_MOMENT = datetime.max.replace(tzinfo=timezone.utc)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def shown(value: object) -> str:
    """``value`` as an error message shows it: shortened, one line, printable."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    try:
        text = ascii(value[:61]) if isinstance(value, str) else reprlib.repr(value)  # neither writes out the whole
    except ValueError:  # an integer of thousands of digits
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def identifier(value: object, argument: str) -> str:
    """An id: 1-512 characters without control characters or lone surrogates.

    Raises:
        InvalidInput: when it is anything else.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{argument}: expected a string, got {type(value).__name__} {shown(value)}; use str(...)")
    if not value:
        raise InvalidInput(f"{argument}: an empty string cannot be used; give 1-{MAX_ID} characters")
    if len(value) > MAX_ID:
        raise InvalidInput(
            f"{argument}: {len(value)} characters ({shown(value)}); shorten it to {MAX_ID}, by a hash for one"
        )
    if value.isascii() and value.isprintable():
        return value
    if _CONTROL.search(value):
        raise InvalidInput(f"{argument}: {shown(value)} holds a control character; remove it")
    _encodable(value, argument)
    return value


def optional_identifier(value: object, argument: str) -> str | None:
    """An id, or None."""
    return None if value is None else identifier(value, argument)


def identifiers(values: object, argument: str) -> tuple[str, ...] | None:
    """Several ids, or None.

    Raises:
        InvalidInput: for a bare string, which is nearly always a slip, and for anything that is no id.
    """
    if values is None:
        return None
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{argument}: expected a list of ids, got {shown(values)}; write [{shown(values)}]")
    return tuple(identifier(value, argument) for value in values)


def title(value: object) -> str | None:
    """A title: at most 1,000 characters, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"title: expected a string, got {type(value).__name__} {shown(value)}; use str(...)")
    if len(value) > MAX_TITLE:
        raise InvalidInput(f"title: {len(value)} characters; shorten it to {MAX_TITLE}")
    if "\x00" in value:
        raise InvalidInput(f"title: {shown(value)} holds a NUL character; remove it")
    _encodable(value, "title")
    return value


def whole(value: object, argument: str, *, least: int = 1, most: int = MAX_LIMIT) -> int:
    """A whole number within ``least`` and ``most``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{argument}: expected a whole number, got {shown(value)}; give {least} to {most:,}")
    if not least <= value <= most:
        raise InvalidInput(f"{argument}: {shown(value)} is out of range; give {least} to {most:,}")
    return value


def moment(value: object, argument: str) -> datetime:
    """An aware datetime, of the years 1 to 9999 of UTC."""
    if not isinstance(value, datetime):
        raise InvalidInput(
            f"{argument}: expected a datetime, got {type(value).__name__} {shown(value)}; use an aware datetime"
        )
    if value.utcoffset() is None:
        raise InvalidInput(
            f"{argument}: {shown(value)} has no time zone; give it one, by .replace(tzinfo=timezone.utc) for UTC"
        )
    if not _FIRST_MOMENT <= value <= _LAST_MOMENT:
        raise InvalidInput(f"{argument}: {value} is outside the years 1 to 9999 of UTC; use another time")
    return value


def json_object(value: object, argument: str) -> str | None:
    """A mapping with string keys, as stored JSON; None where it is empty.

    Raises:
        InvalidInput: when it is no mapping of JSON values, or too large.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{argument}: expected a mapping, got {type(value).__name__} {shown(value)}; use a dict")
    if not value:
        return None
    for key in value:
        if not isinstance(key, str):
            raise InvalidInput(f"{argument}: the key {shown(key)} is not a string; use str(...)")
    text = json_value(dict(value), argument)
    if len(text) > MAX_METADATA:
        raise InvalidInput(f"{argument}: {len(text):,} characters of JSON; keep it within {MAX_METADATA:,}")
    return text


def json_value(value: object, argument: str) -> str:
    """A value that comes back as it is, as stored JSON.

    Raises:
        InvalidInput: when it is not JSON, also for NaN, infinity, and keys that are no strings.
    """
    text = encode(value, argument)
    _check_inner(value, argument)
    return text


def flag(value: Any, argument: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise InvalidInput(f"{argument}: {shown(value)} is not known; use True or False")
    return value


def archived(value: Any) -> bool | None:
    """Which messages: live (False), archived (True) or both (None)."""
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(
            f"archived: {shown(value)} is not known; use False for the live history, True for what was set aside, "
            "None for both"
        )
    return value


def one_of(value: Any, argument: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if value not in allowed:
        raise InvalidInput(f"{argument}: {shown(value)} is not known; use one of {', '.join(allowed)}")
    return str(value)


def _check_inner(value: object, argument: str) -> None:
    """See that a value has none of what Python's JSON lets pass and changes, or other readers of JSON refuse."""
    if isinstance(value, float):
        if value - value != 0:
            raise InvalidInput(f"{argument}: holds NaN or infinity, which JSON has not; use None or a string")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidInput(f"{argument}: the key {shown(key)} is not a string; use str(...)")
            _check_inner(inner, argument)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_inner(inner, argument)


def _encodable(value: str, argument: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{argument}: {shown(value)} holds a lone surrogate; remove it") from None
