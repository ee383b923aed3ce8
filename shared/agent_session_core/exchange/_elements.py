"""The elements of a huge JSON array, one at a time, also where some of them are broken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

CHUNK = 1024 * 1024
"""Characters read at a time."""
MAX_ELEMENT = 16 * 1024 * 1024
"""Characters of one element: what is longer is not held in memory."""
MAX_SEARCH = 10 * MAX_ELEMENT
"""Characters looked at behind one broken element, to find where the next begins."""

_TOKEN = re.compile(r'[\[\]{}]|"[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)  # a bracket, or a string and its end
_START = re.compile(r"[^\s,]")
_WORD_END = re.compile(r"[,\]]")
_BEGINNING = re.compile(r',\s*(?=\{\s*"(?:title|id|conversation_id|create_time|mapping)"\s*:)')


@dataclass(frozen=True, slots=True)
class Broken:
    """An element that is no JSON: why, and the beginning of its text."""

    reason: str
    head: str


class _Incomplete(ValueError):
    """The text ends before the element does."""


def elements(file: TextIO) -> Iterator[Any | Broken]:
    """The elements of the array in ``file``, or the one object it holds; a :class:`Broken` for each that is no JSON.

    Behind a broken element the next thing that begins as a conversation does is taken for the next element.
    """
    buffer = _Buffer(file)
    if buffer.peek() == "[":
        buffer.position += 1
    while (first := buffer.peek()) and first != "]":
        try:
            end = buffer.end_of_element()
            element = json.loads(buffer.text[buffer.position : end])
        except (ValueError, RecursionError) as error:
            head = buffer.text[buffer.position : buffer.position + 400]
            found = buffer.skip_to_conversation()
            yield Broken(_why(error) + ("" if found else "; no conversation was found behind it"), head)
            if not found:
                return
        else:
            buffer.position = end
            yield element


class _Buffer:
    """A window on a file that moves forward only."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.text = ""
        self.position = 0

    def peek(self) -> str:
        """The character that comes next, spaces and commas aside; "" at the end."""
        while True:
            if match := _START.search(self.text, self.position):
                self.position = match.start()
                return match.group()
            self.position = len(self.text)
            if not self._more():
                return ""

    def end_of_element(self) -> int:
        """Where the element at the position ends.

        Raises:
            _Incomplete: when the file ends before, or the element is too long.
        """
        if self.text[self.position] not in '[{"':
            return self._end_of_word()
        depth, at = 0, self.position
        while True:
            match = _TOKEN.search(self.text, at)
            piece = match.group() if match else ""
            if match is None or (piece[0] == '"' and not match.group(1)):
                at = match.start() if match else len(self.text)
                moved = self.position
                if len(self.text) - self.position > MAX_ELEMENT:
                    raise _Incomplete(f"longer than {MAX_ELEMENT:,} characters")
                if not self._more():
                    raise _Incomplete(f"has no end{self._first_error()}")
                at -= moved - self.position
                continue
            at = match.end()
            if piece in "[{":
                depth += 1
            elif piece in "]}":
                depth -= 1
            if depth <= 0:
                return at

    def _first_error(self) -> str:
        """What JSON's own reader objects to in the text that is left."""
        try:
            json.loads(self.text[self.position :])
        except json.JSONDecodeError as error:
            return f": {error.msg} (character {error.pos + 1} of it)"
        except (ValueError, RecursionError):
            pass
        return ""

    def _end_of_word(self) -> int:
        """Where the number, or whatever begins as no string, list or object does, ends."""
        while not (match := _WORD_END.search(self.text, self.position)):
            if len(self.text) - self.position > MAX_ELEMENT or not self._more():
                return len(self.text)
        return match.start()

    def skip_to_conversation(self) -> bool:
        """Move on to the next conversation; whether there is one."""
        self.position += 1
        budget = MAX_SEARCH
        while budget > 0:
            while not (match := _BEGINNING.search(self.text, self.position)):
                self.position = max(self.position, len(self.text) - 200)  # a beginning may lie across the border
                if not self._more():
                    return False
            self.position = match.end()
            try:
                end = self.end_of_element()  # moves the window, so it comes first
                budget -= end - self.position
                element = json.loads(self.text[self.position : end])
            except _Incomplete:
                budget -= MAX_ELEMENT
            except (ValueError, RecursionError):
                continue
            else:
                if isinstance(element, dict) and "mapping" in element:
                    return True
        return False

    def _more(self) -> bool:
        """Read on, as much again as is held, and forget what lies behind the position; whether there was more."""
        chunk = self._file.read(max(CHUNK, len(self.text) - self.position))
        self.text = self.text[self.position :] + chunk
        self.position = 0
        return bool(chunk)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (character {error.pos + 1} of it)"
    return str(error) if isinstance(error, _Incomplete) else f"not JSON that can be read: {error}"
