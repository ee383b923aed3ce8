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
from demo.__main__ import main
from demo.questions import quoted
from demo.transcripts import BUNDLED_FILE, Conversation, conversations

ROOT = Path(__file__).parents[2]


def _environment(home: Path) -> dict[str, str]:
    """An empty home folder, and no network."""
    unreachable = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONUTF8": "1",
        "HTTP_PROXY": unreachable,
        "HTTPS_PROXY": unreachable,
    }


def _run(*command: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=_environment(home), check=False, capture_output=True, text=True, timeout=120
    )


def _demo(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo as ``make demo`` does, in a process of its own."""
    return _run(sys.executable, "-m", "demo", *arguments, home=home)


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
    assert [line for line in done.stdout.splitlines() if line != line.rstrip()] == []


def test_the_question_it_proposes_is_answered(tmp_path: Path) -> None:
    """What the demo suggests to ask finds its answer in the first place, also where make hands it on."""
    done = _demo("--ask", "What is our booking reference?", home=tmp_path)
    assert 'ASK="What is our booking reference?"' in done.stdout
    assert "1  Lisbon: flights and a room  assistant  Done: reference QX7LMB" in done.stdout


def test_make_and_the_shell_leave_a_question_as_it_is(tmp_path: Path) -> None:
    """Quotes, dollars and commands in a question are words."""
    question = """What did "Tom" say about $5 $(shell id) `id` $HOME 'there'?"""
    bin_ = Path(sys.executable).parent
    done = _run("make", "-o", ".venv/.ready", f"BIN={bin_}", "demo", f"ASK={question}", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert question in done.stdout


def test_a_second_run_on_a_database_says_what_was_there(tmp_path: Path) -> None:
    """Nothing is written twice or claimed to be; whose sessions these are, and how they are opened, is told."""
    database = str(tmp_path / "memory.db")
    first, second = (" ".join(_demo("--db", database, home=tmp_path).stdout.split()) for _ in range(2))
    assert "has sessions in it already" not in first
    assert "84 messages in" in first
    assert "14 messages that LangChain wrote" in first
    assert "has sessions in it already" in second
    assert "All of them were in the database before" in second
    assert "18 messages that were there" in second
    assert ".for_user('nora')" in second


def test_whoever_has_seen_enough_may_close_the_pipe(tmp_path: Path) -> None:
    """``make demo | head`` ends without a complaint."""
    command = [sys.executable, "-m", "demo"]
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


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
    assert f"I looked it up. In {quoted('Moving house')}: On Saturday" in done.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be opened"),
        (b"", "holds no conversation"),
        (b"[]", "holds no conversation"),
        (b"# A page\n\nof words\n", "holds no conversation (line 1: not JSON"),
        (b"SQLite format 3\x00\xff\xfe\n" * 20, "and 19 more like it"),
    ],
)
def test_a_file_that_is_none_is_said_to_be_so(
    tmp_path: Path, content: bytes | None, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is no file of sessions is told in one line and nothing else; no database is made."""
    path, database = tmp_path / "mine.jsonl", tmp_path / "memory.db"
    if content is not None:
        path.write_bytes(content)
    assert main(["--transcript", str(path), "--db", str(database)]) == 1
    told = capfd.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert words in line
    assert not database.exists()
