"""Many writers of one session's state: nothing is lost, and what was refused was not done."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_session_core import SessionStore, StateConflict
from tests.integration import life_workers


def test_threads_that_write_their_own_keys_lose_nothing() -> None:
    """20 threads, 100 writes each: every last value is there, every write in the history, every revision counted."""
    with SessionStore.open("sqlite://", index="off") as store:
        session = store.session("shared")

        def work(number: int) -> None:
            for count in range(1, 101):
                session.state[f"writer {number}"] = count

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(work, range(20)))
        assert session.state.all() == {f"writer {number}": 100 for number in range(20)}
        assert session.state.revision == 2_000
        for number in range(20):
            assert [write.value for write in session.state.history(f"writer {number}")] == list(range(1, 101))


@pytest.mark.parametrize("task", ["write_own", "count_together"])
def test_processes_lose_nothing(tmp_path: Path, task: str) -> None:
    """20 processes, each with keys of its own, or all at one key: what was acknowledged is there, exactly."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url, index="off") as store:
        state = store.session("shared").state
        state["count"] = 0
    done = subprocess.run(
        [sys.executable, life_workers.__file__, task, url, "20"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    with SessionStore.open(url, index="off") as store:
        state = store.session("shared").state
        if task == "write_own":
            assert state.all() == {"count": 0, **{f"writer {number}": 50 for number in range(20)}}
            assert state.revision == 1 + 20 * 50
        else:
            succeeded = sum(map(int, done.stdout.split()))
            assert state["count"] == succeeded == state.revision - 1
            assert succeeded >= 25  # somebody gets through at every round


def test_exactly_the_successful_are_counted() -> None:
    """20 threads raise one counter with ``expected_revision``: its value is the number of those not refused."""
    with SessionStore.open("sqlite://", index="off") as store:
        state = store.session("shared").state
        state["count"] = 0
        conflicts: list[tuple[int, int, int]] = []

        def work(_: int) -> int:
            done = 0
            for _ in range(50):
                revision = state.revision
                value = state["count"]
                try:
                    state.update({"count": value + 1}, expected_revision=revision)
                    done += 1
                except StateConflict as error:
                    conflicts.append((revision, error.expected, error.current))
            return done

        with ThreadPoolExecutor(20) as pool:
            succeeded = sum(pool.map(work, range(20)))
        assert state["count"] == succeeded == state.revision - 1
        assert all(expected == revision < current for revision, expected, current in conflicts)
        assert [write.value for write in state.history("count")] == list(range(succeeded + 1))
