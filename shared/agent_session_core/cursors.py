"""Cursors of listings: opaque to callers, a place in an order to us."""

from __future__ import annotations

import re

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput

_CURSOR = re.compile(r"(-?\d{1,18})\.(\d{1,18})")


def to_cursor(updated_at: int, number: int) -> str:
    """The cursor of what comes after this place."""
    return f"{updated_at}.{number}"


def from_cursor(value: object) -> tuple[int, int]:
    """The place of a cursor.

    Raises:
        InvalidInput: when it is none of ours.
    """
    found = _CURSOR.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(f"before: {_checks.shown(value)} is no cursor; give a page's next_cursor")
    return int(found[1]), int(found[2])
