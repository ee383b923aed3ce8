"""The JSON-lines form of a store's sessions: lossless, one record a line, ASCII only.

A header line comes first, then each session followed by its messages, oldest first. Every message names its session, so
that a damaged session line costs the session's title and metadata, and none of its messages. ``docs/export-format.md``
describes the fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agent_session_core._checks import shown
from agent_session_core._json import encode
from agent_session_core.errors import CorruptRecord, InvalidInput
from agent_session_core.exchange._from_json import bare_session, message_from_json, session_from_json
from agent_session_core.exchange._to_json import message_to_json, session_to_json
from agent_session_core.exchange.records import Entry, Problem, SessionEntry

__all__ = ["VERSION", "dump", "parse"]

VERSION = 1
"""The version of the format that this package writes; it reads this one and every earlier one."""
MAX_LINE = 256 * 1024 * 1024
"""Characters in one line: the largest message there can be, with every character escaped, stays below."""

_FORMAT = "agent-session-core"


def dump(entries: Iterable[Entry]) -> Iterator[str]:
    r"""The lines of ``entries``, the header first, each ending in ``"\n"``.

    Raises:
        InvalidInput: for a value that JSON cannot hold.
    """
    yield _line({"type": "header", "format": _FORMAT, "version": VERSION})
    for entry in entries:
        if isinstance(entry, SessionEntry):
            yield _line(session_to_json(entry))
        else:
            yield _line(message_to_json(entry))


def parse(lines: Iterable[str]) -> Iterator[Entry | Problem]:
    """The entries that ``lines`` hold, in their order, and a problem for each line that cannot be read.

    Lines may end in a line break or not; empty ones are passed over. One line is held in memory at a time.

    Raises:
        InvalidInput: when the file was written by a newer version of the format, or is no such file at all.
    """
    number, current = 0, ""
    for number, line in enumerate(lines, start=1):
        where = f"line {number}"
        try:
            record = _read(line)
            if record is None:
                continue
            kind = record.get("type")
            if kind == "header":
                _check_header(record)
            elif kind == "session":
                session = session_from_json(record, where)
                current = session.record.id
                yield session
            elif kind == "message":
                message = message_from_json(record, where)
                if message.session_id != current:
                    current = message.session_id
                    yield bare_session(message)
                yield message
            else:
                yield Problem(where, f"type: {shown(kind)} is not known; use header, session or message")
        except (CorruptRecord, _Unreadable) as error:
            yield Problem(where, str(error))
        except _Newer as error:
            raise InvalidInput(f"{where}: {error}") from None
        except InvalidInput as error:
            yield Problem(where, str(error))


class _Unreadable(ValueError):
    """A line that holds no record."""


class _Newer(ValueError):
    """A file of a format that is yet to come."""


def _line(record: Mapping[str, Any]) -> str:
    return encode(record, str(record["type"])).lstrip() + "\n"


def _read(line: str) -> dict[str, Any] | None:
    """The record of a line; None where it is empty."""
    if len(line) > MAX_LINE:
        raise _Unreadable(f"longer than {MAX_LINE:,} characters")
    line = line.strip(" \t\r\n\ufeff")
    if not line:
        return None
    if not line.isascii() and any("\ud800" <= character <= "\udfff" for character in line):
        raise _Unreadable("not UTF-8 text")
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise _Unreadable(f"not JSON: {error.msg} (character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; nested without end
        raise _Unreadable(f"not JSON that can be read: {error}") from None
    if not isinstance(record, dict):
        raise _Unreadable(f"expected an object, got {shown(record)}")
    return record


def _check_header(record: Mapping[str, Any]) -> None:
    version = record.get("version")
    if record.get("format") != _FORMAT or isinstance(version, bool) or not isinstance(version, int):
        raise _Unreadable(
            f"header: {shown(dict(record))} is not one of this format; the lines are read as version {VERSION}"
        )
    if version > VERSION:
        raise _Newer(f"format version {version} is newer than {VERSION}; upgrade agent-session-core to read it")
