"""Combining commit: whoever holds the writer commits everything that is queued, and answers every caller after it.

A commit costs a sync of the disk, whatever it holds; thirty callers who wait for each other's commits can share one.
Each request stands under a savepoint of its own, so that one that fails takes nothing of the others with it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import Connection

from agent_session_core.errors import StorageUnavailable
from agent_session_core.sql.faults import translated

T = TypeVar("T")
Work = Callable[[Connection], Any]

MOST_IN_A_COMMIT = 128
LOOK_AGAIN = 0.005
"""Seconds after which a thread that waits to write looks whether another one has answered it."""


class CombiningWriter:
    """The one writer of a SQLite database in this process.

    Args:
        writing: enters a block in which this process alone writes, and gives the connection to write on.
        executor: runs the commits that async callers ask for.
        url: the database's name in errors.
    """

    def __init__(self, writing: Callable[[], AbstractContextManager[Connection]], executor: Executor, url: str) -> None:
        self.lock = threading.RLock()
        self._writing = writing
        self._executor = executor
        self._url = url
        self._queue: deque[tuple[Work, Future[Any]]] = deque()
        self._drain_is_due = False

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in a commit, together with whatever else is queued; return its result once durable."""
        answer: Future[T] = Future()
        self._queue.append((work, answer))
        while not answer.done():  # it may be another thread that answers, so nobody waits for the lock alone
            if self.lock.acquire(timeout=LOOK_AGAIN):
                try:
                    if not answer.done():
                        self._commit_some()
                finally:
                    self.lock.release()
        return answer.result()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """As :meth:`write`, in a thread of the executor; a future that is cancelled in time does nothing."""
        answer: Future[T] = Future()
        self._queue.append((work, answer))
        if not self._drain_is_due:
            self._drain_is_due = True
            self._executor.submit(self._drain)
        return answer

    def _drain(self) -> None:
        while True:
            with self.lock:  # anew for each commit: who has been answered meanwhile need not wait for the others
                self._drain_is_due = False  # before the look at the queue: what comes later asks for its own drain
                if not self._queue:
                    return
                self._drain_is_due = True
                self._commit_some()

    def _commit_some(self) -> None:
        batch: list[tuple[Work, Future[Any]]] = []
        while self._queue and len(batch) < MOST_IN_A_COMMIT:
            work, answer = self._queue.popleft()
            if answer.set_running_or_notify_cancel():
                batch.append((work, answer))
        if not batch:
            return
        try:
            with self._writing() as conn:
                outcomes = _commit(conn, [work for work, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                answer.set_exception(_told(error, self._url))
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), (result, failure) in zip(batch, outcomes, strict=True):
            if failure is None:
                answer.set_result(result)
            else:
                answer.set_exception(_told(failure, self._url))


def _told(error: BaseException, url: str) -> BaseException:
    if not isinstance(error, Exception):  # an interrupt of one caller's thread is not the others' own
        return StorageUnavailable(f"{url}: the writing thread was interrupted; nothing was stored, try again")
    told = translated(error, url)
    if told is not error:
        told.__cause__ = error
    return told


def _commit(conn: Connection, works: list[Work]) -> list[tuple[Any, Exception | None]]:
    """Run ``works`` in one transaction; each one's result, or what it raised."""
    driver: Any = conn.connection.dbapi_connection
    execute: Callable[[str], Any] = driver.execute
    outcomes: list[tuple[Any, Exception | None]] = []
    execute("BEGIN IMMEDIATE")
    try:
        if len(works) == 1:
            outcomes.append((works[0](conn), None))
        else:
            outcomes += [_under_savepoint(conn, execute, work) for work in works]
        execute("COMMIT")
    except BaseException:
        if driver.in_transaction:  # SQLite ends it itself when the disk is full
            execute("ROLLBACK")
        raise
    finally:
        if conn.in_transaction():  # Core's own bookkeeping of what it ran inside
            conn.rollback()
    return outcomes


def _under_savepoint(conn: Connection, execute: Callable[[str], Any], work: Work) -> tuple[Any, Exception | None]:
    execute("SAVEPOINT request")
    try:
        result = work(conn)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the caller's, and raised there
        execute("ROLLBACK TO request")  # fails, and with it the whole commit, where SQLite has ended the transaction
        execute("RELEASE request")
        return None, error
    execute("RELEASE request")
    return result, None
