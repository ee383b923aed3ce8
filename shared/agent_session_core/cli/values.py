"""What is typed at options, and what it means."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import typer

__all__ = ["metadata", "moment", "span"]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}


def moment(text: str) -> datetime:
    """A day, or a time; in this machine's time zone where it names none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time; write 2026-05-04, or 2026-05-04T09:30") from None


def span(text: str) -> timedelta:
    """A time span, as in 12h, 30d or 2w."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no time span; write 90s, 15m, 12h, 30d or 2w")
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


def metadata(pairs: list[str]) -> dict[str, Any] | None:
    """Names and values of ``name=value``: the value is JSON where it can be read so, else a string."""
    read: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{pair!r} names no value; write --meta name=value")
        try:
            read[name] = json.loads(value)
        except ValueError:
            read[name] = value
    return read or None
