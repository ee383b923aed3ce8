"""Messages found, as text that a person or a model reads: who said it and when, and what was said as quoted data."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_session_core import Message, SearchHit

__all__ = ["approximate_tokens", "as_data", "as_line", "with_neighbours"]

_SURROGATE = re.compile("[\ud800-\udfff]")  # alone they cannot be sent to a model
_UNSEEN = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # breaks and turns of a line that JSON lets stand
_CUT = "…"


def approximate_tokens(text: str) -> int:
    """About how many tokens ``text`` takes: four bytes each, which errs on the high side for most scripts."""
    return (len(text.encode(errors="replace")) + 3) // 4


def with_neighbours(hit: SearchHit) -> str:
    """A hit among the messages around it, oldest first, each with its speaker and time."""
    around = sorted([*hit.neighbours, hit.message], key=lambda message: message.seq or 0)
    return "\n".join(f"{_speaker(message)} ({_time(message)}): {message.text}" for message in around)


def as_data(hits: list[SearchHit], *, max_tokens: int, count: Callable[[str], int]) -> str:
    """Hits as lines of JSON, best first, within a budget of tokens.

    JSON quotes what was said: nothing in it can end its own quotation. Each hit may take an even share of what is
    left of the budget; a text that is longer is cut around the words that were found, and what finds no room at all
    is left out.

    Args:
        hits: what was found.
        max_tokens: the budget.
        count: how many tokens a text takes.

    Returns:
        At most ``max_tokens`` tokens by ``count``; empty where not even one hit has room.
    """
    lines: list[str] = []
    for index, hit in enumerate(hits):
        left = max_tokens - count("\n".join([*lines, ""]))
        line = _fitting(hit, left // (len(hits) - index), count)
        if line is not None:
            lines.append(line)
    return "\n".join(lines)


def _fitting(hit: SearchHit, budget: int, count: Callable[[str], int]) -> str | None:
    """The longest line for ``hit`` within ``budget``, found by halving; None where even no text is too long."""
    text = hit.message.text
    if count(line := _line(hit, text)) <= budget:
        return line
    low, high = 0, len(text)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if count(_line(hit, _excerpt(hit, middle))) <= budget else (low, middle)
    return _line(hit, _excerpt(hit, low)) if low else None


def _excerpt(hit: SearchHit, length: int) -> str:
    """``length`` characters of the text, around the first of the words found that stands in it."""
    text = hit.message.text
    found = next((at for piece in hit.highlights if (at := text.find(piece)) >= 0), 0)
    start = max(0, min(found - length // 4, len(text) - length))
    end = start + length
    return (_CUT if start else "") + text[start:end] + (_CUT if end < len(text) else "")


def as_line(value: Any) -> str:
    """``value`` as one line of JSON in which nothing can end the line or hide, and which can be sent to a model."""
    line = _SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False))
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _line(hit: SearchHit, text: str) -> str:
    told = {
        "session": hit.session_id,
        "title": hit.session_title,
        "time": _time(hit.message),
        "file": hit.file and hit.file.name,
        "version": hit.file and hit.file.version,
        "speaker": None if hit.file is not None else _speaker(hit.message),
        "text": text,
        "before": _quoted(hit, earlier=True),
        "after": _quoted(hit, earlier=False),
    }
    return as_line({key: value for key, value in told.items() if value is not None})


def _quoted(hit: SearchHit, *, earlier: bool) -> list[str] | None:
    seq = hit.message.seq or 0
    around = [message for message in hit.neighbours if ((message.seq or 0) < seq) is earlier]
    return [f"{_speaker(message)}: {message.text}" for message in around] or None


def _speaker(message: Message) -> str:
    names = [name for name in (message.name, message.author) if name]
    return f"{message.role} {' / '.join(dict.fromkeys(names))}" if names else message.role


def _time(message: Message) -> str:
    return "" if message.created_at is None else message.created_at.strftime("%a %Y-%m-%d %H:%M %z").strip()
