"""The demo tells its story, with the bundled transcript and with anybody's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_session_core import ToolCallPart
from agent_session_core.exchange import Problem
from demo.transcripts import BUNDLED_FILE, Conversation, conversations

ROOT = Path(__file__).parents[2]


def _demo(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo as ``make demo`` does, in a process of its own, with an empty home folder and no network."""
    unreachable = "http://127.0.0.1:9"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONUTF8": "1",
        "HTTP_PROXY": unreachable,
        "HTTPS_PROXY": unreachable,
    }
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=120)


def test_the_bundled_transcript_is_as_promised() -> None:
    """Several sessions, at least sixty messages, tools called and answered, and not one line that is broken."""
    found = list(conversations(BUNDLED_FILE))
    assert not [item for item in found if isinstance(item, Problem)]
    messages = [message for item in found if isinstance(item, Conversation) for message in item.messages]
    calls = [part.id for message in messages for part in message.parts if isinstance(part, ToolCallPart)]
    assert len(found) >= 5
    assert len(messages) >= 60
    assert len(calls) >= 10
    assert [message.tool_call_id for message in messages if message.role == "tool"] == calls


def test_the_demo_answers_its_questions(tmp_path: Path) -> None:
    """Messages come in through LangChain, LlamaIndex goes on, and each answer stands among those found."""
    done = _demo(home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "84 messages",
        "calls search_past_sessions",
        "reference QX7LMB",
        "allergic to walnuts",
        "2.8 bar",
        "28 April",
    ):
        assert words in done.stdout
    assert "finds 0 messages" in done.stdout


def test_a_broken_file_of_ones_own_comes_in_as_far_as_it_can(tmp_path: Path) -> None:
    """The broken line is named with its reason; the rest is stored and kept where asked."""
    lines = BUNDLED_FILE.read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3][:-20]
    path, database = tmp_path / "mine.jsonl", tmp_path / "mine.db"
    path.write_text("\n".join(lines))
    done = _demo("--transcript", str(path), "--db", str(database), "--ask", "Who is Boris?", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "83 messages" in done.stdout
    assert "line 4: not JSON" in done.stdout
    assert "Boris" in done.stdout.split("Who is Boris?", 1)[1]
    assert database.exists()


def test_a_chatgpt_export_is_taken_too(tmp_path: Path) -> None:
    """Conversations with pictures, tools and a broken one among them become sessions."""

    def node(id_: str, parent: str | None, role: str, text: str) -> dict[str, object]:
        content = {"content_type": "text", "parts": [text]}
        return {"parent": parent, "message": {"id": id_, "author": {"role": role}, "content": content}}

    conversations = [
        {
            "id": f"conversation-{number}",
            "title": title,
            "create_time": 1_770_000_000 + number,
            "current_node": "b",
            "mapping": {"a": node("a", None, "user", asked), "b": node("b", "a", "assistant", answered)},
        }
        for number, (title, asked, answered) in enumerate(
            [
                ("Moving house", "When is the van coming?", "On Saturday at eight."),
                ("Cello strings", "Which strings are warm?", "Gut, or synthetic ones that imitate it."),
                ("Broken", "", ""),
            ]
        )
    ]
    conversations[2]["mapping"] = None
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    done = _demo("--transcript", str(path), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 messages" in done.stdout
    assert "conversation 3 ('Broken'): has no mapping of nodes" in done.stdout
    assert "Moving house" in done.stdout


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be opened"), ("", "no message in this file")])
def test_a_file_that_is_none_is_said_to_be_so(tmp_path: Path, content: str | None, words: str) -> None:
    """A missing file and an empty one are told in a sentence, not in a traceback."""
    path = tmp_path / "mine.jsonl"
    if content is not None:
        path.write_text(content)
    done = _demo("--transcript", str(path), home=tmp_path)
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
