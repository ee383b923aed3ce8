"""The JSON-lines form of a store's sessions: lossless, one record a line, ASCII only.

A header line comes first, then each session followed by its messages, oldest first, and by the versions of all else it
holds; the bytes of a file come before the first version that has them. Every line names its session, so that a damaged
session line costs the session's title and metadata, and nothing of what is in it. ``docs/export-format.md`` describes
the fields.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agent_session_core._checks import shown
from agent_session_core._json import AROUND, encode
from agent_session_core.errors import CorruptRecord, InvalidInput
from agent_session_core.exchange._from_json import bare_session, message_from_json, session_from_json
from agent_session_core.exchange._records_from_json import blob_from_json, record_from_json, scope_from_json
from agent_session_core.exchange._to_json import entry_to_json
from agent_session_core.exchange.records import BlobEntry, Entry, MessageEntry, Problem, RecordEntry, SessionEntry

__all__ = ["VERSION", "dump", "parse"]

VERSION = 2
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
        yield _blob_line(entry) if isinstance(entry, BlobEntry) else _line(entry_to_json(entry))


def parse(lines: Iterable[str | bytes]) -> Iterator[Entry | Problem]:
    """The entries that ``lines`` hold, in their order, and a problem for each line that cannot be read.

    Lines may end in a line break or not; empty ones are passed over. One line is held in memory at a time.

    Raises:
        InvalidInput: when the file was written by a newer version of the format, or is no such file at all.
    """
    current = ""
    for number, line in enumerate(lines, start=1):
        where = f"line {number}"
        try:
            record = _read(line)
            if record is None:
                continue
            if record.get("type") == "header":
                _check_header(record)
                continue
            entry = _entry(record, where)
            if isinstance(entry, SessionEntry):
                current = entry.record.id
            elif isinstance(entry, MessageEntry | RecordEntry) and _session_of(entry) not in (None, current):
                current = _session_of(entry) or ""
                yield bare_session(entry)
            yield entry
        except (CorruptRecord, _Unreadable) as error:
            yield Problem(where, str(error))
        except _Newer as error:
            raise InvalidInput(f"{where}: {error}") from None
        except InvalidInput as error:
            yield Problem(where, str(error))


_KINDS: dict[str, Callable[[Mapping[str, Any], str], Entry]] = {
    "session": session_from_json,
    "message": message_from_json,
    "record": record_from_json,
    "scope": scope_from_json,
    "blob": blob_from_json,
}


def _entry(record: Mapping[str, Any], where: str) -> Entry:
    kind = record.get("type")
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        raise InvalidInput(f"type: {shown(kind)} is not known; use header, {', '.join(_KINDS)}")
    return make(record, where)


def _session_of(entry: MessageEntry | RecordEntry) -> str | None:
    """The session that the entry is a part of; None for the variables of a user or the application."""
    if isinstance(entry, MessageEntry):
        return entry.session_id
    return entry.subject if entry.scope == "session" else None


class _Unreadable(ValueError):
    """A line that holds no record."""


class _Newer(ValueError):
    """A file of a format that is yet to come."""


def _line(record: Mapping[str, Any]) -> str:
    return encode(record, str(record["type"]), around=AROUND).lstrip() + "\n"


def _blob_line(entry: BlobEntry) -> str:
    """A line of bytes, in which nothing needs escaping: a quarter of the time of :func:`_line`."""
    data = b64encode(entry.data).decode("ascii")
    return f'{{"type":"blob","sha256":"{entry.sha256}","size":{entry.size},"offset":{entry.offset},"data":"{data}"}}\n'


def _read(line: str | bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is empty. A file may be open for bytes."""
    if isinstance(line, bytes):
        line = line.decode(errors="surrogateescape")
    if not isinstance(line, str):
        raise _Unreadable(f"expected a line of text, got {type(line).__name__} {shown(line)}")
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
