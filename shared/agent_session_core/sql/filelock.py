"""A lock between processes: an exclusive ``flock`` on a file beside the database.

SQLite's own waiting is a sleep without a queue, and starves writers of other processes for up to seconds; a ``flock``
wakes the next one at once. Every holder opens the file anew, so it also excludes threads, and survives a fork.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import fcntl
except ImportError:  # Windows: SQLite's busy timeout has to do
    fcntl = None  # type: ignore[assignment]  # the module is there or not, by platform


class FileLock:
    """The lock at ``path``; without a path (a database in memory) it locks nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = path if fcntl is not None else None

    def acquire(self) -> int | None:
        """Wait for the lock; what :meth:`release` takes.

        Raises:
            OSError: when the file cannot be made, for one in a folder without write permission.
        """
        if self._path is None:
            return None
        held = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        except BaseException:
            os.close(held)
            raise
        _held.add(held)
        return held

    def release(self, held: int | None) -> None:
        """Let the next one in."""
        if held is not None:
            _held.discard(held)
            fcntl.flock(held, fcntl.LOCK_UN)  # closing does not do it where a fork has inherited the file
            os.close(held)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the lock for a ``with`` block."""
        held = self.acquire()
        try:
            yield
        finally:
            self.release(held)


_held: set[int] = set()


def _leave_to_the_parent() -> None:
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):  # not on Windows, which knows no fork
    os.register_at_fork(after_in_child=_leave_to_the_parent)
