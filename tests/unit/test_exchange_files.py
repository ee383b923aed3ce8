"""Files of sessions: the form is told by the content, and a file that cannot be read is said to be so."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import Entry, MessageEntry, Problem, SessionEntry, dump, files, lines, read_file
from agent_session_core.models import Message, SessionRecord

RECORD = SessionRecord(
    id="s",
    user_id=None,
    agent_id=None,
    title=None,
    metadata={},
    status="active",
    revision=0,
    run=1,
    created_at=datetime(2026, 5, 4, tzinfo=timezone.utc),
    updated_at=datetime(2026, 5, 4, tzinfo=timezone.utc),
)
ENTRIES: list[Entry] = [SessionEntry(record=RECORD), MessageEntry(session_id="s", message=Message.user("Olá"))]
CONVERSATION = {
    "title": "T",
    "mapping": {
        "a": {
            "message": {
                "id": "a",
                "author": {"role": "user"},
                "content": {"content_type": "text", "parts": ["Olá"]},
            }
        }
    },
    "current_node": "a",
}


@pytest.mark.parametrize("path", [None, 5, b"x", "x\0", "\ud800", "", ["x"]])
def test_what_names_no_file_is_refused(path: Any) -> None:
    """Whatever is given for a path, the error is ours, and says what to give."""
    with pytest.raises(InvalidInput, match=r"^path: .*; name a file"):
        list(read_file(path))


@pytest.mark.parametrize(
    "content",
    [
        "".join(dump(ENTRIES)),
        "\ufeff" + "".join(dump(ENTRIES)),
        "".join(dump(ENTRIES)).replace("\n", "\r\n"),
        json.dumps([CONVERSATION]),
        "\ufeff\n " + json.dumps([CONVERSATION], indent=2, ensure_ascii=False),
        json.dumps(CONVERSATION),
    ],
)
def test_the_form_is_told_by_the_content(tmp_path: Path, content: str) -> None:
    """A store's export and a ChatGPT export both come in, whatever the file is called."""
    path = tmp_path / "sessions.txt"
    path.write_text(content, encoding="utf-8", newline="")
    session, message = read_file(path)
    assert isinstance(session, SessionEntry)
    assert isinstance(message, MessageEntry)
    assert message.message.text == "Olá"


def test_bytes_that_are_no_text_cost_their_line(tmp_path: Path) -> None:
    """A line in another encoding is reported; the others are read."""
    path = tmp_path / "sessions.jsonl"
    whole = "".join(dump(ENTRIES)).encode()
    path.write_bytes(whole + b'{"type":"message","session":"s","role":"user","text":"caf\xe9"}\n')
    _, _, problem = read_file(path)
    assert problem == Problem("line 4", "not UTF-8 text")


def test_a_line_without_end_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is too long is reported and passed over."""
    monkeypatch.setattr(lines, "MAX_LINE", 1_000)
    monkeypatch.setattr(files, "MAX_LINE", 1_000)
    path = tmp_path / "sessions.jsonl"
    header, session, message = dump(ENTRIES)
    path.write_text(header + session + "x" * 10_000 + "\n" + message)
    _, problem, found = read_file(path)
    assert problem == Problem("line 3", "longer than 1,000 characters")
    assert isinstance(found, MessageEntry)


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_what_is_no_file_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    """A missing file and a folder are named, with the remedy."""
    with pytest.raises(InvalidInput, match=r"^path: .* cannot be opened .*; name a file"):
        list(read_file(tmp_path / name))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    """No bytes, no sessions, no complaint."""
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert list(read_file(path)) == []


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="only Linux has a file that opens and cannot be read")
def test_a_file_that_fails_to_be_read_is_said_to_fail() -> None:
    """An error of the disk in the middle of a file is ours, and names the file."""
    with pytest.raises(InvalidInput, match=r"^path: .* cannot be read"):
        list(read_file("/proc/self/mem"))
