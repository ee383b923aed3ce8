"""A fork waits for the commit that is under way.

In the middle of one, the child would inherit SQLite's record of the write lock, and nobody there would ever release it.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from agent_session_core.sql.combining import CombiningWriter

_gate = threading.RLock()  # forks go one by one, and writers come and go between them
_writers: WeakSet[CombiningWriter] = WeakSet()
_waiting: list[CombiningWriter] = []


def wait_for(writer: CombiningWriter) -> None:
    """From now on, as long as it is used, a fork waits for its commits."""
    with _gate:
        _writers.add(writer)


def _before() -> None:
    _gate.acquire()
    _waiting[:] = _writers
    for writer in _waiting:
        writer.lock.acquire()


def _after() -> None:
    for writer in _waiting:
        writer.lock.release()
    _waiting.clear()
    _gate.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)
