"""A process that is forked in the middle goes on with the store it inherited, beside its parent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FORK = """
import asyncio, os, sys, threading
from agent_session_core import Message, SessionStore, StorageUnavailable

store = SessionStore.open(sys.argv[1], index="off")
session = store.session("shared")
use = sys.argv[2]

def append(text):
    if use == "sync":
        return session.append(Message.user(text))
    return asyncio.run(session.aappend(Message.user(text)))

stop = threading.Event()
quiet = threading.Lock()  # SQLite's own mutexes are beyond us: nobody may be inside of it when a process forks
def busy():
    while not stop.is_set():
        with quiet:
            session.append(Message.user("busy"))
            session.messages(last=1)

append("before")
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(4):
    with quiet:
        child = os.fork()
    if child == 0:
        try:
            assert session.messages(last=1)
            for place in range(5):
                append(f"child {number}-{place}")
            threads = [threading.Thread(target=append, args=(f"child {number}-t{n}",)) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            store.close()
        except BaseException as error:
            sys.stderr.write(f"child: {error!r}\\n")
            os._exit(1)
        os._exit(0)
    children.append(child)
    append(f"parent {number}")
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
for thread in threads:
    thread.join()
append("after")
texts = [message.text for message in session.messages()]
seqs = [message.seq for message in session.messages()]
assert seqs == list(range(1, len(seqs) + 1))
assert sum(text.startswith("child") for text in texts) == 32, texts
assert sum(text.startswith("parent") for text in texts) == 4
assert (texts[0], texts[-1]) == ("before", "after")
store.close()
sys.exit(max(codes))
"""

COMMIT = """
import os, sys, threading, time
from agent_session_core import Message, SessionStore

store = SessionStore.open(sys.argv[1], index="off")
session = store.session("shared")
begun = threading.Event()

def slow(conn):
    begun.set()
    time.sleep(0.2)

thread = threading.Thread(target=store._database.write, args=(slow,))
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    session.append(Message.user("child"))
    os._exit(0)
thread.join()
session.append(Message.user("parent"))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert {message.text for message in session.messages()} == {"child", "parent"}
"""

IN_MEMORY = """
import os, sys
from agent_session_core import Message, SessionStore, StorageUnavailable

store = SessionStore.open("sqlite://", index="off")
session = store.session("shared")
child = os.fork()
if child == 0:
    for use in (session.messages, lambda: session.append(Message.user("x")), store.sessions):
        try:
            use()
        except StorageUnavailable as error:
            assert "a database in memory stays with the process that made it; use a file" in str(error)
        else:
            os._exit(1)
    store.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert len(session.append(Message.user("still mine"))) == 1
"""


def _run(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("scheme", "use"), [("sqlite", "sync"), ("sqlite", "async"), ("sqlite+aiosqlite", "async")])
def test_a_store_survives_a_fork(tmp_path: Path, scheme: str, use: str) -> None:
    """Forked four times while three threads write: parent and children go on, nothing is lost, numbers are gapless."""
    _run(FORK, f"{scheme}:///{tmp_path / 'sessions.db'}", use)


def test_a_fork_waits_for_a_commit(tmp_path: Path) -> None:
    """Forked while another thread commits: the child inherits no lock that nobody would release."""
    _run(COMMIT, f"sqlite:///{tmp_path / 'sessions.db'}")


def test_a_database_in_memory_stays_with_its_process() -> None:
    """A forked process is told so, rather than writing to a copy that nobody will see."""
    _run(IN_MEMORY)


def test_nothing_is_left_running(tmp_path: Path) -> None:
    """A program that never closes its store ends all the same, natively too."""
    script = (
        "import asyncio, sys; from agent_session_core import Message, SessionStore\n"
        "store = SessionStore.open(sys.argv[1], index='off')\n"
        "asyncio.run(store.session('s').aappend(Message.user('x')))\n"
    )
    for scheme in ("sqlite", "sqlite+aiosqlite"):
        _run(script, f"{scheme}:///{tmp_path / 'sessions.db'}")
