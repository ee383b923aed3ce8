"""What other processes do to sessions in the tests of their life: ``life_workers.py TASK URL NUMBER``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from agent_session_core import Message, Retention, SessionError, SessionStore, StateConflict

LEASE = timedelta(seconds=1)
LATER = datetime.now(timezone.utc) + timedelta(hours=2)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write is one piece in a pipe, also beside other processes


def sweep(url: str, _: int) -> None:
    """Sweep until nothing is due, and say what was done: a line of JSON for each report."""
    with SessionStore.open(url, index="off", retention=Retention(archive_after=timedelta(0))) as store:
        report = store.sweep(LATER)
        _say(json.dumps({"expired": report.expired, "archived": report.archived, "deleted": report.deleted}))


def write_own(url: str, number: int) -> None:
    """Write a key of one's own 50 times."""
    with SessionStore.open(url, index="off") as store:
        state = store.session("shared", create=False).state
        for count in range(1, 51):
            state[f"writer {number}"] = count


def count_together(url: str, _: int) -> None:
    """Raise one counter with ``expected_revision``, 25 tries; say how many succeeded."""
    with SessionStore.open(url, index="off") as store:
        state = store.session("shared", create=False).state
        done = 0
        for _ in range(25):
            revision = state.revision
            try:
                state.update({"count": state["count"] + 1}, expected_revision=revision)
                done += 1
            except StateConflict:
                continue
        _say(str(done))


def hold_turn(url: str, _: int) -> None:
    """Take the turn and say so; once standing still is over, try to write, and say what came of it."""
    with SessionStore.open(url, index="off", lease=LEASE) as store:
        session = store.session("shared", create=False)
        with session.turn():
            _say("holding")
            began = time.monotonic()
            while time.monotonic() - began < 60:
                before = time.monotonic()
                time.sleep(0.02)
                if time.monotonic() - before > 0.5:  # it was stopped
                    break
            try:
                session.append(Message.assistant("late"))
                _say("written")
            except SessionError as error:
                _say(type(error).__name__)


def call_tool(url: str, number: int) -> None:
    """Begin a tool call and never end it."""
    with SessionStore.open(url, index="off", lease=LEASE) as store:
        session = store.session("shared", create=False)
        with session.tool_call("book", {"n": number}, idempotency_key="booking"):
            _say("acting")
            time.sleep(60)


def put_file(url: str, _: int) -> None:
    """Put a large file, and say when each piece has come."""
    with SessionStore.open(url, index="off") as store:

        def pieces() -> Iterator[bytes]:
            for _ in range(1_000):
                yield b"canary" * 100_000
                _say("a piece")

        store.session("shared", create=False).files.put("big.bin", pieces())


TASKS: dict[str, Callable[[str, int], None]] = {
    task.__name__: task for task in (sweep, write_own, count_together, hold_turn, call_tool, put_file)
}


def main(task: str, url: str, number: int) -> int:
    """Fork so many processes, which share what was imported; how many of them failed."""
    if number == 1:
        TASKS[task](url, 0)
        return 0
    children = []
    for place in range(number):
        child = os.fork()
        if child == 0:
            try:
                TASKS[task](url, place)
                os._exit(0)
            except BaseException as error:  # noqa: BLE001  # a forked process must not go on as its parent
                sys.stderr.write(f"{error!r}\n")
                os._exit(1)
        children.append(child)
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
