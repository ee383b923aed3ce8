"""A thread that brings changes to the index, soon after they were written."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable

__all__ = ["THREAD_NAME", "Follower"]

THREAD_NAME = "agent-session-index"
GATHER = 0.05
"""Seconds between a write and the delivery, so that writes which come together go together."""
POLL = (0.5, 5.0)
"""Seconds between two looks at the outbox while nobody here writes: at first, and at most."""
REST = (0.5, 30.0)
"""Seconds after a failure: at first, and at most; each drawn by chance from half of that up."""


class Follower:
    """Calls ``work`` after writes of this process, and now and then for what others wrote; rests when it fails.

    A forked process has a thread of its own, from its first write on.

    Args:
        work: does what is due; how much that was. It looks at ``interrupted``, and ends early then.
        look_after: seconds between two calls of ``upkeep``.
        upkeep: done now and then, however much is due.
    """

    def __init__(self, work: Callable[[Follower], int], upkeep: Callable[[], None], look_after: float) -> None:
        self._work = work
        self._upkeep = upkeep
        self._look_after = look_after
        self._closed = False
        self._upkeep_at = math.inf
        self._chance = random.Random()  # noqa: S311  # its own: it spreads workers out, and guards nothing
        self.last_error: Exception | None = None
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._woken = threading.Event()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def stopping(self) -> bool:
        """Whether it is to end."""
        return self._stop.is_set()

    @property
    def interrupted(self) -> bool:
        """Whether work is to end for now: to stop, or for the upkeep, which work without end must not keep waiting."""
        return self.stopping or time.monotonic() >= self._upkeep_at

    def wake(self) -> None:
        """Something was written."""
        if self._process != os.getpid():
            self._start()
        self._woken.set()
        if self._thread is None and not self._closed:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self.run, name=THREAD_NAME, daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._closed = True
        self._stop.set()
        self._woken.set()

    def close(self, seconds: float) -> None:
        """End, after what is under way; wait so long for it."""
        self.stop()
        if self._thread is not None and self._process == os.getpid():
            self._thread.join(seconds)

    def run(self, now_and_then: Callable[[], None] = lambda: None) -> None:
        """Do it, here, until :meth:`stop`; ``now_and_then`` is called every few seconds at least."""
        poll, rest = POLL[0], REST[0]
        self._upkeep_at = time.monotonic() + self._chance.uniform(0, self._look_after)
        while not self.stopping:
            self._woken.clear()
            try:
                done = self._work(self)
                if time.monotonic() >= self._upkeep_at and not self.stopping:
                    self._upkeep_at = time.monotonic() + self._look_after
                    self._upkeep()
                self.last_error, rest = None, REST[0]
            except Exception as error:  # noqa: BLE001  # whatever it is, the changes wait, and it may pass
                self.last_error = error
                now_and_then()
                self._stop.wait(self._chance.uniform(rest / 2, rest))
                rest = min(rest * 2, REST[1])
                continue
            now_and_then()
            poll = POLL[0] if done else min(poll * 2, POLL[1])
            if self._woken.wait(poll):
                self._stop.wait(GATHER)
                poll = POLL[0]
