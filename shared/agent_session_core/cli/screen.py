"""What the commands put on the screen, and how. What was found in a database is text, never a command to a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "ROLE_STYLES",
    "STATUS_STYLES",
    "console",
    "count",
    "errors",
    "facts",
    "line",
    "plain",
    "print_json",
    "size",
    "table",
    "when",
]

PIPED_WIDTH = 160
"""Columns where the output goes to no terminal."""
ROLE_STYLES = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}
STATUS_STYLES = {"active": "green", "closed": "dim", "expired": "yellow", "archived": "dim"}

_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNITS = ("B", "KB", "MB", "GB", "TB")


def console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for what reads it."""
    fixed = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPED_WIDTH
    return Console(highlight=False, width=fixed)


def errors() -> Console:
    """Standard error: for what went wrong, and for progress."""
    return Console(stderr=True, highlight=False)


def plain(text: str) -> str:
    """``text`` without what would move the cursor, change colours or turn the direction of reading."""
    return _UNFIT.sub("\ufffd", text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """``text`` in one line."""
    return " ".join(plain(text).split())


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Write JSON, all ASCII, on standard output."""
    sys.stdout.write(json.dumps(value, indent=indent, default=_told) + "\n")


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table; the columns named in ``right`` are set to the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def when(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, or the day where that is over a week."""
    seconds = ((now or datetime.now(timezone.utc)) - moment).total_seconds()
    if seconds < 0 or seconds >= 7 * 86_400:
        return moment.astimezone().strftime("%Y-%m-%d")
    if seconds >= 86_400:
        return f"{count(int(seconds // 86_400), 'day')} ago"
    if seconds >= 3_600:
        return f"{int(seconds // 3_600)} h ago"
    return f"{int(seconds // 60)} min ago" if seconds >= 60 else "just now"


def count(number: int, thing: str, more: str | None = None) -> str:
    """As in "1 session" and "2 sessions"."""
    return f"{number:,} {thing if number == 1 else more or thing + 's'}"


def size(number: int) -> str:
    """As in "3.1 MB"."""
    shown, unit = float(number), 0
    while shown >= 1_000 and unit < len(_UNITS) - 1:
        shown, unit = shown / 1_000, unit + 1
    return f"{number} B" if not unit else f"{shown:.1f} {_UNITS[unit]}"


def facts(pairs: Mapping[str, str | Text | None]) -> Table:
    """Names and values, one below the other, without those that say nothing."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        if value:
            made.add_row(name, value if isinstance(value, Text) else Text(plain(value)))
    return made


def _told(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | set | Sequence):
        return list(value)
    return str(value)
