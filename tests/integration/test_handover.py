"""Work that goes from one process to another: a worker that stands still or dies, and files that are large."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_session_core import Message, SessionStore, ToolCallUnsettled, TurnTaken
from tests.integration import life_workers

MEGABYTE = 1024 * 1024


def _worker(task: str, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, life_workers.__file__, task, url, "1"], stdout=subprocess.PIPE)


def _says(worker: subprocess.Popen[bytes]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().decode().strip()


def test_a_worker_that_stood_still_writes_nothing_late(tmp_path: Path) -> None:
    """Stopped for longer than its lease, it is replaced; woken up, its write is refused."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url, index="off") as store:
        session = store.session("shared")
        worker = _worker("hold_turn", url)
        assert _says(worker) == "holding"
        with pytest.raises(TurnTaken):
            session.turn(timeout=1.5).__enter__()  # longer than its lease: it is renewed
        worker.send_signal(signal.SIGSTOP)
        try:
            with session.turn(timeout=30):
                session.append(Message.user("taken over"))
        finally:
            worker.send_signal(signal.SIGCONT)
        assert _says(worker) == "TurnTaken"
        assert worker.wait() == 0
        assert worker.stdout is not None
        worker.stdout.close()
        assert [message.text for message in session.messages()] == ["taken over"]


def test_a_killed_tool_call_is_unknown(tmp_path: Path) -> None:
    """Running as long as its process lives, unknown when its lease has ended; its key is taken until it is settled."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url, index="off") as store:
        session = store.session("shared")
        worker = _worker("call_tool", url)
        assert _says(worker) == "acting"
        time.sleep(1.5)
        assert [call.status for call in session.tool_calls()] == ["running"]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert worker.stdout is not None
        worker.stdout.close()
        deadline = time.monotonic() + 30
        while not session.tool_calls(status="unknown"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (call,) = session.open_work().unknown
        with pytest.raises(ToolCallUnsettled):
            session.tool_call("book", idempotency_key="booking").__enter__()
        session.settle_tool_call(call.id, result={"booked": True})
        with session.tool_call("book", idempotency_key="booking") as again:
            assert again.result == {"booked": True}


def test_large_files_are_streamed(tmp_path: Path) -> None:
    """20 MB come in and go out within 12 MB of memory, and are the same."""
    size = 20

    def pieces() -> Iterator[bytes]:
        for number in range(size):
            yield bytes([number]) * MEGABYTE

    expected = hashlib.sha256(b"".join(pieces())).hexdigest()
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db", index="off") as store:
        session = store.session("trip")
        session.files.put("warm.bin", b"x")
        tracemalloc.start()
        try:
            put = session.files.put("big.bin", pieces())
            got = hashlib.sha256()
            for piece in session.files.stream("big.bin"):
                got.update(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (put.size, put.sha256, got.hexdigest()) == (size * MEGABYTE, expected, expected)
        assert peak < 12 * MEGABYTE
