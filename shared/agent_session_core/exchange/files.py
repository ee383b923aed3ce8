"""Files of sessions: opened as text, and read in the form they turn out to have."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange.chatgpt import read_chatgpt
from agent_session_core.exchange.lines import MAX_LINE, parse
from agent_session_core.exchange.records import Entry, Problem

__all__ = ["read_file"]

_HEAD = 4096


def read_file(path: str | Path, *, progress: Callable[[int], None] | None = None) -> Iterator[Entry | Problem]:
    """What the file at ``path`` holds: a store's JSON lines, or the ``conversations.json`` of a ChatGPT data export.

    The form is told by how the file begins. The file is open for as long as the iterator is read.

    Args:
        path: the file.
        progress: is told, with each entry, how many bytes have been read so far.

    Raises:
        InvalidInput: when the file cannot be opened, or was written by a newer version of this package.
    """
    if not isinstance(path, str | PathLike):
        raise InvalidInput(f"path: expected a path, got {type(path).__name__} {shown(path)}; name a file of sessions")
    try:
        # Bytes that are no UTF-8 become lone surrogates, which are refused line by line.
        file = Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="\n")  # noqa: SIM115  # closed below
    except (OSError, ValueError) as error:  # the latter for a NUL or a lone surrogate
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"path: {str(path)!r:.200} cannot be opened ({reason}); name a file of sessions") from error
    buffer: Any = file.buffer  # what it reads from; its type does not tell that it can be asked for its place
    with file:
        try:
            for entry in read_chatgpt(file) if _is_chatgpt(file) else parse(_lines(file)):
                if progress is not None:
                    progress(buffer.tell())
                yield entry
        except OSError as error:
            raise InvalidInput(f"path: {str(path)!r:.200} cannot be read ({error.strerror}); name a file") from error


def _is_chatgpt(file: TextIO) -> bool:
    """Whether an array, or one object with nodes, is what ``file`` begins with."""
    head = file.read(_HEAD)
    file.seek(0, io.SEEK_SET)
    start = head.lstrip()
    line, _, _ = start.partition("\n")
    return start.startswith("[") or (start.startswith("{") and '"type"' not in line and '"mapping"' in start)


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of ``file``. Of one that is too long to be held, only as much as shows that."""
    while line := file.readline(MAX_LINE + 1):
        yield line
        while line and not line.endswith("\n") and len(line) > MAX_LINE:
            line = file.readline(MAX_LINE + 1)
