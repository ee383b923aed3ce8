"""Many writers at once: nothing lost, numbers without a gap, and a cancelled write is all or nothing."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_session_core import Message, Session, SessionStore
from tests.integration import workers

SCHEMES = ("sqlite", "sqlite+aiosqlite")


def run(task: str, url: str, processes: int) -> str:
    """Run the workers to their end; what they said."""
    done = subprocess.run(
        [sys.executable, workers.__file__, task, url, str(processes)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file on which the database's writers queue, as another process that writes does."""
    held = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


def _whole(path: Path, messages: int) -> None:
    """The session's numbers are 1 to ``messages`` and the file is sound."""
    connection = sqlite3.connect(path)
    seqs = [seq for (seq,) in connection.execute("SELECT seq FROM messages ORDER BY seq")]
    assert seqs == list(range(1, messages + 1))
    assert connection.execute("SELECT last_seq FROM sessions").fetchall() == [(messages,)]
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_threads_and_processes_write_to_one_session(tmp_path: Path) -> None:
    """8 threads here, and 4 processes, append to one session at once: every message is there, numbered gapless."""
    path = tmp_path / "sessions.db"
    url = f"sqlite:///{path}"
    with SessionStore.open(url, index="off") as store, ThreadPoolExecutor(9) as pool:
        session = store.session("shared")
        others = pool.submit(run, "append_some", url, 4)
        own = [pool.submit(_append, session, f"thread-{number}") for number in range(8)]
        stored = [message for writer in own for message in writer.result()]
        others.result()
        read = session.messages()
        assert {message.id for message in stored} <= {message.id for message in read}
        assert len({message.text for message in read}) == 12 * workers.APPENDS
    _whole(path, 12 * workers.APPENDS)


def _append(session: Session, name: str) -> list[Message]:
    return [session.append(Message.user(f"{name}-{place}"))[0] for place in range(workers.APPENDS)]


def test_sixteen_processes_append_without_an_error(tmp_path: Path) -> None:
    """16 processes append 200 messages each to one session: 1 to 3,200."""
    path = tmp_path / "sessions.db"
    SessionStore.open(f"sqlite:///{path}", index="off").close()
    run("append_many", f"sqlite:///{path}", 16)
    _whole(path, 3_200)


def test_eight_processes_open_a_fresh_file(tmp_path: Path) -> None:
    """Opened by 8 processes at once, a file that is not there yet is made once, and all of them can use it."""
    for attempt in range(2):
        path = tmp_path / f"{attempt}.db"
        run("open_only", f"sqlite:///{path}", 8)
        _whole(path, 8)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_many_tasks_of_two_loops(tmp_path: Path, scheme: str) -> None:
    """Tasks of this loop and of another thread's append at once."""
    path = tmp_path / "sessions.db"
    store = SessionStore.open(f"{scheme}:///{path}", index="off")
    session = await store.asession("shared")

    async def appending() -> None:
        await asyncio.gather(*(session.aappend(Message.user(str(n))) for n in range(50)))

    await asyncio.gather(appending(), asyncio.to_thread(asyncio.run, appending()))
    await store.aclose()
    _whole(path, 100)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_cancelled_appends_are_all_or_nothing(tmp_path: Path, scheme: str) -> None:
    """Cancelled 1,000 times, after ever so many steps of the loop, and twice at that: three messages or none."""
    path = tmp_path / "sessions.db"
    store = SessionStore.open(f"{scheme}:///{path}", index="off")
    session, chance = await store.asession("shared"), random.Random(3)
    cancelled = 0
    for attempt in range(100):
        tasks = [
            asyncio.create_task(session.aappend([Message.user(f"{attempt}-{n}")] * 3), name=f"{attempt}-{n}")
            for n in range(10)
        ]
        for task in chance.sample(tasks, len(tasks)):
            for _ in range(chance.choice((0, 1, 2, 3, 5, 8, 13, 21))):
                await asyncio.sleep(0)
            task.cancel()
            if chance.random() < 0.2:
                await asyncio.sleep(0)
                task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        cancelled += sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert all(isinstance(outcome, asyncio.CancelledError | list) for outcome in outcomes)
    answers = await asyncio.gather(*(session.aappend(Message.user("after")) for _ in range(30)))  # nothing is stuck
    assert [len(answer) for answer in answers] == [1] * 30
    stored = await session.amessages()
    said = Counter(message.text for message in stored)
    assert cancelled > 300
    assert said.pop("after") == 30
    assert set(said.values()) <= {3}
    await store.aclose()
    _whole(path, len(stored))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wait_that_is_given_up_leaves_no_lock(tmp_path: Path, scheme: str) -> None:
    """A write that waits for another process and is given up, its loop with it, leaves the way free for others."""
    path = tmp_path / "sessions.db"
    with SessionStore.open(f"{scheme}:///{path}", index="off") as store:
        session = store.session("shared")

        async def impatient() -> None:
            await asyncio.wait_for(session.aappend(Message.user("late")), 0.1)

        with locked(path), pytest.raises(asyncio.TimeoutError):
            asyncio.run(impatient())
        asyncio.run(session.aappend(Message.user("next")))
        with SessionStore.open(f"sqlite:///{path}", index="off") as other:
            other.session("shared").append(Message.user("other"))
        assert [message.text for message in session.messages()][-2:] == ["next", "other"]


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_writers_that_wait_block_neither_loop_nor_readers(tmp_path: Path, scheme: str) -> None:
    """While another process writes, 40 appends wait; the loop turns and reads are answered."""
    path = tmp_path / "sessions.db"
    store = SessionStore.open(f"{scheme}:///{path}", index="off")
    session = await store.asession("shared")
    with locked(path):
        waiting = [asyncio.create_task(session.aappend(Message.user(str(n)))) for n in range(40)]
        started, longest = time.perf_counter(), 0.0
        while time.perf_counter() - started < 0.3:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)
        assert await asyncio.wait_for(session.acount(), 5) == 0
    await asyncio.gather(*waiting)
    assert longest < 2  # blocked, it could not even let go of the lock
    assert await session.acount() == 40
    await store.aclose()


def test_loops_leave_nothing_behind(tmp_path: Path) -> None:
    """A hundred event loops, one after another: none of them, nor its threads, is kept."""
    with SessionStore.open(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}", index="off") as store:
        session = store.session("shared")
        asyncio.run(session.aappend(Message.user("x")))
        before = threading.active_count()
        for _ in range(30):
            asyncio.run(session.acount())
        deadline = time.monotonic() + 10  # a thread of aiosqlite says that it has closed just before it ends
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before
        assert len(store._database._lives) == 0  # type: ignore[attr-defined]  # it is the native one


def test_a_failing_write_takes_no_other_with_it(tmp_path: Path) -> None:
    """Writes that are committed together fail alone: a conflict costs the one who made it, nobody else."""
    path = tmp_path / "sessions.db"
    with SessionStore.open(f"sqlite:///{path}", index="off") as store, ThreadPoolExecutor(8) as pool:
        session = store.session("shared")
        session.append(Message.user("first", id="taken"))
        calls: list[Callable[[], list[Message]]] = [
            lambda: session.append(Message.user("new"), Message.user("other", id="taken")),
            lambda: session.append(Message.user("fine")),
        ]
        with locked(path):  # so that they queue up
            answers = [pool.submit(calls[n % 2]) for n in range(8)]
            time.sleep(0.1)
        outcomes = [type(answer.exception()).__name__ for answer in answers]
        assert outcomes == ["MessageConflict", "NoneType"] * 4
        assert [message.text for message in session.messages()] == ["first", *["fine"] * 4]


def test_closing_waits_for_what_is_under_way(tmp_path: Path) -> None:
    """Closed while threads write: each append either returned and is stored, or raised our error."""
    path = tmp_path / "sessions.db"
    store = SessionStore.open(f"sqlite:///{path}", index="off")
    session = store.session("shared")
    done: list[int] = []

    def append() -> None:
        while True:
            session.append(Message.user("x"))
            done.append(1)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(append) for _ in range(4)]
        time.sleep(0.1)
        store.close()
        assert {type(writer.exception()).__name__ for writer in writers} == {"StorageUnavailable"}
    assert len(done) > 0
    _whole(path, len(done))
