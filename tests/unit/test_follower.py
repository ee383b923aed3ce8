"""The thread that brings changes to an index on a server."""

from __future__ import annotations

import threading
import time

from agent_session_core.search.elastic.follower import Follower


def test_upkeep_comes_also_where_work_never_ends() -> None:
    """Work without end is interrupted for the upkeep, again and again, and goes on after it."""
    tended, worked = [0], [0]
    enough = threading.Event()

    def work(follower: Follower) -> int:
        while not follower.interrupted:
            time.sleep(0.001)
        worked[0] += 1
        return 1

    def upkeep() -> None:
        tended[0] += 1
        if tended[0] == 3:
            enough.set()

    follower = Follower(work, upkeep, 0.01)
    follower.wake()
    assert enough.wait(30)
    follower.close(30)
    assert worked[0] >= 3


def test_an_upkeep_that_fails_waits_for_its_next_time() -> None:
    """A failure is told, and the work goes on."""
    worked = threading.Event()
    failed = [0]

    def work(follower: Follower) -> int:
        if failed[0]:
            worked.set()
            follower.stop()
        return 1

    def upkeep() -> None:
        failed[0] += 1
        raise ValueError("no upkeep")

    follower = Follower(work, upkeep, 0.001)
    follower.run()
    assert worked.is_set()
    assert failed[0] == 1
