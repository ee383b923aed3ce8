"""What a killed process leaves behind, and what makes an acknowledged message survive a power cut."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from agent_session_core import Message, SessionStore
from agent_session_core.sql import sqlite
from tests.integration import workers


def _run(task: str, url: str, rounds: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, workers.__file__, task, url, str(rounds)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, scheme: str) -> None:
    """``kill -9`` 50 times (25 a form) under two processes with two writers each: every acknowledged message is there.

    Numbers are without a gap, no append is there in part, the file is sound and goes on to be written.
    """
    path = tmp_path / "sessions.db"
    url = f"{scheme}:///{path}"
    SessionStore.open(url, index="off").close()
    acknowledged = _run("crash", url, 25)
    assert len(acknowledged) > 100
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT seq, id, text FROM messages ORDER BY seq").fetchall()
    assert set(acknowledged) <= {id_ for _, id_, _ in rows}
    assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
    assert connection.execute("SELECT last_seq FROM sessions").fetchall() == [(len(rows),)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    texts = [text for _, _, text in rows]
    begins = [place for place, text in enumerate(texts) if "+" in text]
    sizes = [end - begin - 1 for begin, end in zip(begins, [*begins[1:], len(texts)], strict=True)]
    assert sizes == [int(texts[begin].split("+")[1]) for begin in begins]
    connection.close()
    with SessionStore.open(url, index="off") as store:
        assert store.session("shared").append(Message.user("after"))[0].seq == len(rows) + 1


def test_opening_survives_a_kill(tmp_path: Path) -> None:
    """Killed while it makes the tables, a process leaves a file that the next one can open."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    _run("crash_opening", url, 20)
    for place in range(4):
        with SessionStore.open(f"{url}{place}", index="off") as store:
            store.session("shared").append(Message.user("x"))


def _pragmas(conn: Connection) -> dict[str, Any]:
    names = ("synchronous", "journal_mode", "foreign_keys", "secure_delete", "busy_timeout")
    return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


IN_FORCE = {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1, "busy_timeout": 10_000}


def _of_every_connection(store: SessionStore) -> list[dict[str, Any]]:
    """The pragmas of each kind of connection a store opens: to read and write, in its threads and natively."""
    database = store._database

    async def natively() -> list[dict[str, Any]]:
        return [
            await database.aread(_pragmas),
            await database.aread(_pragmas, snapshot=True),
            await database.awrite(_pragmas),
        ]

    return [
        database.read(_pragmas),
        database.read(_pragmas, snapshot=True),
        database.write(_pragmas),
        *asyncio.run(natively()),
    ]


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_every_commit_is_synced(tmp_path: Path, scheme: str) -> None:
    """Every connection of ours has WAL with synchronous=FULL, and deletes that overwrite."""
    with SessionStore.open(f"{scheme}:///{tmp_path / 'sessions.db'}", index="off") as store:
        assert _of_every_connection(store) == [IN_FORCE] * 6


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_the_check_of_synchronous_bites(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were our connections opened with NORMAL, the test above would fail for each of them."""
    weaker = tuple(pragma.replace("FULL", "NORMAL") for pragma in sqlite.PRAGMAS)
    monkeypatch.setattr(sqlite, "PRAGMAS", weaker)
    with SessionStore.open(f"{scheme}:///{tmp_path / 'sessions.db'}", index="off") as store:
        assert [pragmas["synchronous"] for pragmas in _of_every_connection(store)] == [1] * 6


SYNC = """
from agent_session_core import Message, SessionStore
import asyncio, os, sys
store = SessionStore.open(sys.argv[1], index="off")
session = store.session("s")
session.append(Message.user("grow"))
async def natively():
    for number in range(5):
        await session.aappend(Message.user("x"))
os.path.exists("/begin")
asyncio.run(natively()) if "aio" in sys.argv[1] else [session.append(Message.user("x")) for _ in range(5)]
os.path.exists("/end")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: it counts the syncs")
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_an_append_returns_after_a_sync(tmp_path: Path, scheme: str) -> None:
    """The system calls of five appends hold at least five syncs of the log; with NORMAL there is none."""
    path = tmp_path / "sessions.db"
    SessionStore.open(f"sqlite:///{path}", index="off").close()
    log = tmp_path / "calls"
    command = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,stat,newfstatat", sys.executable]
    traced = subprocess.run([*command, "-c", SYNC, f"{scheme}:///{path}"], capture_output=True, text=True, check=False)
    if "ptrace" in traced.stderr:
        pytest.skip("strace may not trace here")
    assert traced.returncode == 0, traced.stderr
    calls = log.read_text().splitlines()
    begin, end = (next(n for n, call in enumerate(calls) if mark in call) for mark in ('"/begin"', '"/end"'))
    syncs = [call for call in calls[begin:end] if "sync(" in call and f"{path}-wal>" in call]
    assert len(syncs) >= 5
