"""The types as a user of the core meets them: what mypy infers, and which slips it finds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

USE = """
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Literal

from typing_extensions import assert_type

from agent_session_core import (
    ErasureReceipt, Message, Page, SearchHit, SearchResults, Session, SessionRecord, SessionStore, ToolCallPart,
)


def sync(store: SessionStore) -> None:
    with SessionStore.open("sqlite://") as opened:
        assert_type(opened, SessionStore)
    assert_type(store.for_user("ana"), SessionStore)
    assert_type(store.user_id, str | None)
    session = store.session("trip", user_id="ana", metadata={"a": 1})
    assert_type(session, Session)
    assert_type(session.append(Message.user("hi"), [Message.assistant("yes")], ids="loose"), list[Message])
    assert_type(session.messages(20), list[Message])
    assert_type(session.messages(since=datetime.now(timezone.utc), roles=["user"]), list[Message])
    assert_type(session.count(archived=None), int)
    assert_type(session.pop_turn(), list[Message])
    assert_type(session.remove(seqs=range(1, 3)), list[Message])
    assert_type(session.set_aside(first=1), list[Message])
    assert_type(session.replace(message for message in session.messages()), list[Message])
    assert_type(session.record(), SessionRecord)
    assert_type(session.status, Literal["active", "closed", "expired", "archived"])
    assert_type(session.metadata, Mapping[str, Any])
    session.update(title=None)
    session.update(metadata={"a": 1})
    assert_type(session.delete(), ErasureReceipt)
    page = store.sessions(status=["active"])
    assert_type(page, Page[Session])
    assert_type([found.id for found in page], list[str])
    assert_type(page.next_cursor, str | None)
    hits = store.search("where?")
    assert_type(hits, SearchResults)
    assert_type(hits[0], SearchHit)
    assert_type(hits[:2], tuple[SearchHit, ...])
    assert_type(hits[0].message.text, str)


async def waiting(store: SessionStore) -> None:
    async with SessionStore.open("sqlite://") as opened:
        assert_type(opened, SessionStore)
    session = await store.asession()
    assert_type(session, Session)
    assert_type(await session.aappend(Message.user("hi")), list[Message])
    assert_type(await session.amessages(last=2), list[Message])
    assert_type(await store.asessions(), Page[Session])
    assert_type(await store.asearch("where?"), SearchResults)


def records(message: Message) -> None:
    assert_type(message.role, Literal["system", "user", "assistant", "tool"])
    assert_type(message.seq, int | None)
    assert_type(message.created_at, datetime | None)
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            assert_type(part.arguments, Mapping[str, Any] | str)
"""

SLIPS = """
from agent_session_core import Message, Session, SessionStore, TextPart


def slips(store: SessionStore, session: Session, message: Message) -> None:
    Message(role="robot", text="x")  # arg-type
    Message("user")  # call-arg
    Message(role="user", parts=("text",))  # arg-type
    message.text = "other"  # misc
    TextPart("x").text = "y"  # misc
    session.append("text")  # arg-type
    session.append(Message.user("x"), ids="lax")  # arg-type
    session.messages(roles="user")  # arg-type
    session.messages(since="2026-01-01")  # arg-type
    session.set_aside()  # call-arg
    session.remove(1)  # call-arg
    session.update(title=5)  # arg-type
    session.title = "other"  # misc
    store.session("a", "ana")  # call-arg
    store.sessions(status="gone")  # arg-type
    store.search("x", mode="magic")  # arg-type
    SessionStore.open(5)  # arg-type
    for hit in store.search("x"):
        hit.text  # attr-defined
"""


def _told(path: Path) -> list[tuple[int, str]]:
    """The lines and codes of mypy's errors."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", "--follow-imports", "silent", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found = re.findall(rf"{path.name}:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    assert len(found) == done.stdout.count(": error: "), done.stdout
    return [(int(line), code) for line, code in found]


def test_types_are_as_a_user_expects(tmp_path: Path) -> None:
    """Each call has the type that is written beside it, and each slip is found where it is made."""
    path = tmp_path / "snippet.py"
    path.write_text(USE + SLIPS)
    expected = [
        (number, found[1])
        for number, line in enumerate((USE + SLIPS).splitlines(), 1)
        if (found := re.search(r"  # ([\w-]+)$", line))
    ]
    assert _told(path) == expected
