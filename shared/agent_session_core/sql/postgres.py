"""PostgreSQL: a pool of connections, threads as many as those, transactions that are tried again where that is safe."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, create_engine, event

from agent_session_core.errors import InvalidInput, StorageUnavailable
from agent_session_core.sql.migrate import is_current, migrate
from agent_session_core.sql.outages import PATIENCE, CommitLost, Freshness, Outages

T = TypeVar("T")

__all__ = [
    "CONNECTIONS",
    "READING",
    "SNAPSHOT",
    "WRITING",
    "PostgresDatabase",
    "check_settings",
    "make_engine",
    "needing_driver",
    "prepare",
]

THREAD_NAME = "agent-session-store"
CONNECTIONS = 32
"""Connections of a process at most, and threads that async callers share."""

READING = {"isolation_level": "AUTOCOMMIT"}
SNAPSHOT = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
WRITING = {"isolation_level": "READ COMMITTED"}  # works lock what they change first, and then read how it stands

_SETTINGS = "SELECT current_setting('server_encoding'), current_setting('synchronous_commit'), current_schema()"
_IDLE = (
    "SELECT set_config('idle_in_transaction_session_timeout', '60s', false) "
    "WHERE current_setting('idle_in_transaction_session_timeout') = '0'"
)
"""A process that stands still in the middle of a transaction holds up others no longer than that."""
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


def make_engine(url: URL) -> Engine:
    """An engine of our own for ``url``.

    Raises:
        InvalidInput: when the driver is not installed, or an option of the URL cannot be used.
    """
    with needing_driver(url):
        engine = create_engine(url, poolclass=QueuePool, pool_size=CONNECTIONS, max_overflow=0)
    event.listen(engine, "connect", prepare)
    return engine


@contextmanager
def needing_driver(url: URL) -> Iterator[None]:
    """Tell what is missing where an engine cannot be made."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"url: PostgreSQL needs the package {error.name!r}; pip install 'agent-session-core[postgres]'"
        ) from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"url: {url!r} has an option that cannot be used ({error}); leave it out") from None


def prepare(connection: Any, _record: object) -> None:
    """Set up a new connection of ours, whatever the server's defaults: what is acknowledged is on the disk."""
    cursor = connection.cursor()
    cursor.execute(_DURABLE)
    cursor.execute(_IDLE)
    cursor.close()
    connection.commit()


def check_settings(conn: Connection, url: str) -> None:
    """Refuse a database that could lose an acknowledged message, or holds no Unicode.

    Raises:
        InvalidInput: naming the setting and how to change it.
        StorageUnavailable: where the database or its schema cannot be used.
    """
    encoding, synchronous, schema = conn.exec_driver_sql(_SETTINGS).one()
    if encoding != "UTF8":
        raise StorageUnavailable(f"{url}: the database is encoded in {encoding}; make one with ENCODING 'UTF8'")
    if schema is None:
        raise StorageUnavailable(f"{url}: search_path names no schema that is there; make it, or name another")
    if synchronous == "off":
        raise InvalidInput(
            "url: the engine's connections have synchronous_commit=off, with which a crash of the server loses "
            "acknowledged messages; set it to on"
        )


class PostgresDatabase:
    """A PostgreSQL database behind one engine.

    Args:
        engine: the engine; its pool gives the connections.
        owned: whether :meth:`close` disposes it.

    Raises:
        StorageUnavailable: when the database cannot be opened.
    """

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READING)
        self._snapshot = engine.execution_options(**SNAPSHOT)
        self._writing = engine.execution_options(**WRITING)
        self._owned = owned
        self._outages = Outages(engine.dialect, self.url, patience=0)  # who opens wants to know at once
        self._fresh = Freshness()
        if owned:
            self._fresh.watch(engine)
        self._closed = False
        self._start()
        try:
            self._open()
            self._outages.patience = PATIENCE
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._process = os.getpid()
        self.threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix=THREAD_NAME)

    def _open(self) -> None:
        self.read(lambda conn: check_settings(conn, self.url))
        if not self.read(lambda conn: is_current(conn, self.url)):
            self.write(lambda conn: migrate(conn, self.url))

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that statements are compiled for."""
        return self._engine.dialect

    @property
    def url(self) -> str:
        """The address, without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    def read(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """Run ``work``; with ``snapshot`` everything it reads is of one moment."""
        self._check_open()
        engine = self._snapshot if snapshot else self._reading

        def once() -> T:
            with engine.connect() as conn:
                return self._run(conn, work)

        with self._outages.translated():
            return self._outages.run(once)

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """Run ``work`` in a write transaction of its own, durable on return.

        It is run again where another transaction was in its way or the connection was lost before the commit.

        Raises:
            StorageUnavailable: also when the connection was lost in the commit, which may have come to pass, and there
                is nothing to run ``again``.
        """
        self._check_open()

        def once(work: Callable[[Connection], T]) -> T:
            with self._writing.connect() as conn:
                transaction = conn.begin()
                result = self._run(conn, work)
                with self._outages.committing(conn):
                    transaction.commit()
                return result

        def at_once(work: Callable[[Connection], T]) -> T:
            with self._reading.connect() as conn, self._outages.committing(conn):
                return self._run(conn, work)

        with self._outages.translated():
            try:
                return self._outages.run(partial(at_once if one_statement else once, work))
            except CommitLost:
                if again is None:
                    raise
                self._fresh.lost()
                return self._outages.run(partial(once, again), lost_commits=True)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`, in one hop to a thread."""
        return await self.in_thread(lambda: self.read(work, snapshot=snapshot))

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,
        one_statement: bool = False,
    ) -> T:
        """As :meth:`write`, in one hop to a thread. Cancelled, it did all or nothing."""
        return await self.in_thread(lambda: self.write(work, again=again, one_statement=one_statement))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool, in the caller's context variables."""
        self._check_open()
        return await asyncio.wrap_future(self.threads.submit(contextvars.copy_context().run, work))

    def purge(self) -> bool:
        """PostgreSQL overwrites what was deleted in its own time (VACUUM); nothing of it can be read meanwhile."""
        return True

    def close(self) -> None:
        """Wait for what is under way, then close what was opened here. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._process == os.getpid():
            self.threads.shutdown(wait=not threading.current_thread().name.startswith(THREAD_NAME))
        if self._owned:
            self._engine.dispose(close=self._process == os.getpid())

    async def aclose(self) -> None:
        """As :meth:`close`, from an event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def _run(self, conn: Connection, work: Callable[[Connection], T]) -> T:
        try:
            return work(conn)
        except BaseException as error:
            if self._outages.is_lost(error):
                conn.invalidate()
                self._fresh.lost()
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise StorageUnavailable(f"{self.url}: the store is closed; open another with SessionStore.open()")
        if self._process != os.getpid():  # a fork must not use its parent's connections and threads
            self._engine.dispose(close=False)
            self._start()
