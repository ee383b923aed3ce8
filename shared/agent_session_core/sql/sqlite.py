"""SQLite: one held connection that writes, a pool that reads, WAL with a sync at every commit."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, QueuePool, StaticPool, create_engine, event

from agent_session_core.errors import InvalidInput, StorageUnavailable
from agent_session_core.sql.combining import CombiningWriter
from agent_session_core.sql.faults import DRIVER_ERRORS, translating
from agent_session_core.sql.filelock import FileLock
from agent_session_core.sql.forking import wait_for
from agent_session_core.sql.migrate import is_current, migrate

T = TypeVar("T")

THREAD_NAME = "agent-session-store"
THREADS = 8
"""Threads that async callers share; SQLite on a local disk gains nothing from more."""
WRITER_CACHE_KIB = 65_536
"""The writer's page cache: the default of 2 MB doubles the time of scattered writes to the index."""

PRAGMAS = (
    "PRAGMA busy_timeout=10000",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
)


def is_in_memory(url: URL) -> bool:
    """True where ``url`` names no file."""
    return url.database in (None, "", ":memory:", "file::memory:") or url.query.get("mode") == "memory"


def prepare(dbapi_connection: Any, _record: object) -> None:
    """Set up a new connection of ours: durable commits, and deletes that leave nothing behind."""
    cursor = dbapi_connection.cursor()
    try:
        for pragma in PRAGMAS:
            cursor.execute(pragma)
    except BaseException:
        cursor.close()
        dbapi_connection.close()  # the pool does not know it yet
        raise
    cursor.close()


def make_engine(url: URL) -> Engine:
    """An engine of our own for ``url``."""
    pool: dict[str, Any] = (
        {"poolclass": StaticPool}
        if is_in_memory(url)
        else {"poolclass": QueuePool, "pool_size": THREADS, "max_overflow": -1}
    )
    arguments = {"isolation_level": None, "check_same_thread": False}
    try:
        engine = create_engine(url, connect_args=arguments, **pool)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"url: {url!r} has an option that cannot be used ({error}); leave it out") from None
    event.listen(engine, "connect", prepare)
    return engine


def lock_path(url: URL) -> str | None:
    """The file beside the database on which its writers queue."""
    return None if is_in_memory(url) else f"{file_of(url).resolve()}-lock"


def file_of(url: URL) -> Path:
    """The file that ``url`` names."""
    return Path(str(url.database).removeprefix("file:"))


def check_place(file: Path) -> None:
    """Tell what stands in the way of a new file, before anything is made beside it.

    Raises:
        StorageUnavailable: for a directory in its place, or a folder that is not there.
    """
    if file.is_dir():
        raise StorageUnavailable(f"{file}: it is a directory; give the path of a file")
    if not file.parent.is_dir():
        raise StorageUnavailable(f"{file}: its folder is not there; make it, or give another path")


class SqliteDatabase:
    """A SQLite file, or a database in memory, behind one engine.

    Args:
        engine: the engine; its pool gives the reading connections.
        owned: whether :meth:`close` disposes it, and its writing connection may be held meanwhile.

    Raises:
        StorageUnavailable: when the database cannot be opened.
    """

    def __init__(self, engine: Engine, *, owned: bool) -> None:
        self._engine = engine
        self._owned = owned
        self._shared = isinstance(engine.pool, StaticPool)  # one connection for everything: reads wait for writes
        self.file_lock = FileLock(lock_path(engine.url))
        self._closed = False
        self._start()
        try:
            with translating(self.url):
                self._open()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._process = os.getpid()
        self._writing_connection: Connection | None = None
        self._readers: deque[Connection] = deque()
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix=THREAD_NAME)
        self._writer = CombiningWriter(self._writing, self.threads, self.url)
        wait_for(self._writer)

    def _open(self) -> None:
        if sqlite3.sqlite_version_info < (3, 35):
            raise StorageUnavailable(
                f"SQLite {sqlite3.sqlite_version} is too old; use a Python with SQLite 3.35 or newer"
            )
        if not self._owned:
            with self._engine.connect() as conn:
                check_durability(conn)
        if not is_in_memory(self._engine.url) and _has_content(file_of(self._engine.url)):
            with self._engine.connect() as conn:
                if is_current(conn, self.url):
                    return
        if not is_in_memory(self._engine.url):
            check_place(file_of(self._engine.url))
        with self.file_lock(), self._engine.connect() as conn, alone_on(conn):
            migrate(conn, self.url)

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
        with translating(self.url):
            if self._shared:
                with self._writer.lock, self._engine.connect() as conn:
                    return work(conn)
            with self._reading() as conn:
                if not snapshot:
                    return work(conn)
                settle(conn)
                conn.exec_driver_sql("BEGIN")
                try:
                    return work(conn)
                finally:
                    conn.rollback()

    def write(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,  # noqa: ARG002
        one_statement: bool = False,  # noqa: ARG002
    ) -> T:
        """Run ``work`` in a write transaction, durable on return. What becomes of a commit is always known."""
        self._check_open()
        return self._writer.write(work)

    async def aread(self, work: Callable[[Connection], T], *, snapshot: bool = False) -> T:
        """As :meth:`read`, in one hop to a thread."""
        return await self.in_thread(lambda: self.read(work, snapshot=snapshot))

    async def awrite(
        self,
        work: Callable[[Connection], T],
        *,
        again: Callable[[Connection], T] | None = None,  # noqa: ARG002
        one_statement: bool = False,  # noqa: ARG002
    ) -> T:
        """As :meth:`write`, in the next commit of the writer's. Cancelled, it did all or nothing."""
        self._check_open()
        context = contextvars.copy_context()
        return await asyncio.wrap_future(self._writer.submit(lambda conn: context.run(work, conn)))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread of the database's own pool, in the caller's context variables."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """As :meth:`in_thread`, for who is not bound to an event loop."""
        self._check_open()
        return self.threads.submit(contextvars.copy_context().run, work)

    def purge(self) -> bool:
        """Write the log back and empty it, so that no deleted text stays in it; False where a reader holds that up."""
        if self._shared:
            return True
        self._check_open()
        with translating(self.url), self._writer.lock, self._writing() as conn:
            ((busy, _, _),) = conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            conn.rollback()
            return not busy

    def close(self) -> None:
        """Wait for what is under way, then close what was opened here. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._process == os.getpid():
            self.threads.shutdown(wait=not threading.current_thread().name.startswith(THREAD_NAME))
            with self._writer.lock:
                self._drop_writing_connection()
            while self._readers:
                self._readers.pop().close()
        if self._owned:
            self._engine.dispose(close=self._process == os.getpid())

    async def aclose(self) -> None:
        """As :meth:`close`, from an event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to read on. Ours are kept at hand: the pool's checkout costs as much as reading twenty rows."""
        if not self._owned:
            with self._engine.connect() as conn:
                yield conn
            return
        try:
            conn = self._readers.pop()
        except IndexError:
            conn = self._engine.connect()
        try:
            yield conn
            if conn.in_transaction():
                conn.rollback()
        except BaseException:
            conn.close()
            raise
        if len(self._readers) < THREADS and not self._closed:
            self._readers.append(conn)
        else:
            conn.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """This process's turn to write. A held connection saves the pool's checkout at every commit."""
        with self.file_lock():
            if not self._owned or self._shared:
                with self._engine.connect() as conn:
                    settle(conn)
                    conn.connection.cursor().execute("PRAGMA secure_delete=ON")  # not every SQLite has it by itself
                    yield conn
                return
            if self._writing_connection is None:
                self._writing_connection = self._engine.connect()
                self._writing_connection.exec_driver_sql(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
                self._writing_connection.rollback()
            try:
                yield self._writing_connection
            except DRIVER_ERRORS:
                self._drop_writing_connection()
                raise

    def _drop_writing_connection(self) -> None:
        conn, self._writing_connection = self._writing_connection, None
        if conn is not None:
            conn.invalidate()
            conn.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StorageUnavailable(f"{self.url}: the store is closed; open another with SessionStore.open()")
        if self._process != os.getpid():  # a fork must not use its parent's connections, threads or locks
            if self._shared:
                raise StorageUnavailable(
                    f"{self.url}: a database in memory stays with the process that made it; use a file"
                )
            self._engine.dispose(close=False)
            _left_to_the_parent.append((self._writing_connection, self._readers, self.threads))
            self._start()


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


_left_to_the_parent: list[Any] = []  # closing an inherited connection would release the parent's locks


def settle(conn: Connection) -> None:
    """Make sure that the next BEGIN is the first, also where a caller's engine begins transactions by a hook."""
    if not conn.in_transaction():
        conn.begin()
    driver: Any = conn.connection.driver_connection
    if driver.in_transaction:
        conn.connection.rollback()


@contextmanager
def alone_on(conn: Connection) -> Iterator[None]:
    """A write transaction on a connection that is in none."""
    settle(conn)
    conn.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
        conn.commit()
    except BaseException:
        conn.rollback()
        raise


def check_durability(conn: Connection) -> None:
    """Refuse a caller's connection that could lose an acknowledged message, or that no other thread can share.

    Raises:
        InvalidInput: naming the setting and how to change it.
    """
    if is_in_memory(conn.engine.url):
        if not isinstance(conn.engine.pool, StaticPool):
            raise InvalidInput(
                "url: the engine gives every thread a database in memory of its own; make it with "
                "poolclass=StaticPool and connect_args={'check_same_thread': False}"
            )
        return
    synchronous = conn.exec_driver_sql("PRAGMA synchronous").scalar()
    conn.rollback()
    if not isinstance(synchronous, int) or synchronous < 2:
        raise InvalidInput(
            f"url: the engine's connections have PRAGMA synchronous={synchronous}, with which a power cut loses "
            "acknowledged messages; set it to FULL when they connect"
        )
