"""What of a message is searched: the text in chunks, a little of what came before, the date in words.

Everything made here is final when the message is stored, so every index holds the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

__all__ = [
    "CHUNK",
    "CONTEXT",
    "WEIGHTS",
    "chunks",
    "clean",
    "context",
    "date_words",
    "embedded_text",
    "speaker_of",
]

CHUNK = 800
"""Characters of a message that are scored as one row."""
CONTEXT = 500
"""A message and what is taken from the two before it stay within this many characters."""
MOST_CHARACTERS = 1_000_000
"""Characters of a message that are indexed; what follows them is kept, not searched."""
MOST_EMBEDDED = 20_000
"""Characters of a message that its vector is made of."""
WEIGHTS = {"body": 5, "prev": 3, "prev2": 2, "date": 3}
"""What a word counts in each field of a row."""

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def clean(text: str) -> str:
    """``text`` without what a text column or tokenizer cannot hold: NUL and lone surrogates become spaces."""
    if text.isascii():
        return text.replace("\x00", " ")
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def chunks(text: str, size: int = CHUNK) -> list[str]:
    """``text`` in pieces of at most ``size`` characters, cut between words where there is a space to cut at.

    Always at least one piece; together they are the text's first million characters.
    """
    text = text[:MOST_CHARACTERS]
    pieces = []
    start = 0
    while len(text) - start > size:
        space = text.rfind(" ", start + size // 2, start + size)
        end = start + size if space < 0 else space + 1
        pieces.append(text[start:end])
        start = end
    pieces.append(text[start:])
    return pieces


def context(text: str, before: Sequence[str]) -> tuple[str, str]:
    """The beginnings of the one and of the two messages before, as far as all three stay within 500 characters.

    Args:
        text: the message's own text.
        before: the texts of the messages before it in its session, nearest first.
    """
    room = max(0, CONTEXT - len(text))
    prev = before[0][:room] if before else ""
    prev2 = before[1][: room - len(prev)] if len(before) > 1 else ""
    return prev, prev2


def date_words(moment: datetime) -> str:
    """The date as people ask for it, in English whatever the locale: ``May 8 2023 Monday``.

    Args:
        moment: the time on the writer's clock, on which "Monday" depends.
    """
    return f"{_MONTHS[moment.month - 1]} {moment.day} {moment.year} {_DAYS[moment.weekday()]}"


def speaker_of(role: str, name: str | None, author: str | None) -> str:
    """Who said it: the author, else the name the model was told, else the role."""
    return author or name or role


def embedded_text(moment: datetime, speaker: str, text: str) -> str:
    """What a message's vector is made of: ``[date] Name: text``."""
    return f"[{date_words(moment)}] {speaker}: {text[:MOST_EMBEDDED]}"
