"""The command as a process: pipes, signals, terminals, and machines without the extra."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from agent_session_core import Message, SessionStore

COMMAND = (sys.executable, "-m", "agent_session_core.cli")
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with one session of some length."""
    path = tmp_path / "kept.db"
    with SessionStore.open(f"sqlite:///{path}", index="off") as store:
        session = store.session("long", title="Über die Brücke")
        session.append([Message.user(f"message {number} " + "x" * 200) for number in range(2_000)])
        task = session.tasks.add("Cross", status="in_progress")
        session.tasks.add("Half", parent=task, status="completed")
        session.tasks.add("Rest", parent=task)
    return path


def _environment(database: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return kept | {"SESSION_CORE_DB": f"sqlite:///{database}", "PYTHONUTF8": "1", "TERM": "xterm-256color", **more}


def _run(database: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *arguments]
    environment = _environment(database, **more)
    return subprocess.run(command, env=environment, cwd=database.parent, check=False, capture_output=True, timeout=60)


def test_the_database_is_named_by_the_environment(database: Path) -> None:
    """SESSION_CORE_DB names the database where --db does not; what is piped is plain text."""
    done = _run(database, "list")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Über die Brücke" in done.stdout.decode()
    assert b"\x1b" not in done.stdout
    refused = _run(database, "list", "--db", "other.db")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"there is no database other.db" in refused.stderr


def test_a_reader_that_has_seen_enough_is_no_error(database: Path) -> None:
    """A pipe that is closed early, as by head, ends the command without a word."""
    for arguments in (["export"], ["show", "long", "--full", "-n", "2000"]):
        with subprocess.Popen(
            [*COMMAND, *arguments], env=_environment(database), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(100)
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 1


def _redirected(database: Path, output: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["sh", "-c", f'exec "$@" {output}', "sh", *COMMAND, *arguments]
    return subprocess.run(command, env=_environment(database), check=False, capture_output=True, timeout=60)


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["export"], ["--help"], ["list", "--help"]])
def test_an_output_that_is_closed_is_no_error(database: Path, arguments: list[str]) -> None:
    """Who closed it wants to read nothing; the database's file does not take its place."""
    done = _redirected(database, ">&-", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    with SessionStore.open(f"sqlite:///{database}", index="off") as store:
        assert store.session("long", create=False).count() == 2_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--help"], ["list", "--help"], ["--version"]])
def test_an_output_that_is_full_is_told_in_a_line(database: Path, arguments: list[str]) -> None:
    """By the help and the version too."""
    done = _redirected(database, ">/dev/full", *arguments)
    assert (done.returncode, done.stderr) == (1, b"Error: standard output: No space left on device\n")


def test_a_terminal_without_unicode_is_served(database: Path) -> None:
    """Where only ASCII can be shown, trees and marks are drawn with it, and nothing breaks."""
    done = _run(database, "tasks", "long", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode("ascii").splitlines()
    assert lines[0].strip() == "?ber die Br?cke"
    assert "[~] Cross  #####..... 50%" in lines[1]
    assert "[x] Half" in lines[2]


def test_following_shows_what_is_added(database: Path) -> None:
    """Tail --follow prints each message as it comes, and ends quietly at Ctrl-C."""
    command = [*COMMAND, "tail", "long", "--follow", "--json", "-n", "1", "--interval", "0.05"]
    with subprocess.Popen(
        command,
        env=_environment(database),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # also where the tests themselves ignore it
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["seq"] == 2_000
        with SessionStore.open(f"sqlite:///{database}", index="off") as store:
            for text in ("one more", "and another"):
                store.session("long").append(Message.assistant(text))
                assert json.loads(process.stdout.readline())["text"] == text
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b""


@pytest.mark.parametrize("columns", [80, 120])
def test_a_persons_terminal(database: Path, columns: int) -> None:
    """In a terminal there are colours and a bar of progress, and no line is wider than it."""
    controller, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, "export", "-o", "out.jsonl"],
            env=_environment(database, COLUMNS=str(columns)),
            cwd=database.parent,
            stdout=terminal,
            stderr=terminal,
        )
        assert process.wait(60) == 0
        time.sleep(0.1)
        shown = os.read(controller, 65_536).decode()
    finally:
        os.close(terminal)
        os.close(controller)
    assert "Exporting sessions" in shown
    assert "1/1" in shown
    assert "out.jsonl: 1 session, " in shown
    plain = _STYLES.sub("", shown)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= columns


def test_without_the_extra_it_says_how_to_install_it(database: Path) -> None:
    """Where typer or rich is not installed, the command says so; the package itself needs neither."""
    for missing in ("typer", "rich"):
        code = f"import sys; sys.modules[{missing!r}] = None; from agent_session_core.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "session-core needs typer and rich: pip install 'agent-session-core[cli]'\n"
    code = "import sys, agent_session_core; print([name for name in ('typer', 'rich') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
