"""Every way to drive a store, each behind the face of the sync form, so that one suite runs over all of them.

A driver is what is opened (a file, memory, an engine of the caller's) and the way its methods are called: the sync form
with or without an event loop around it, or the async form in one loop, in a fresh loop for each call, or in two loops
of two threads by turns. A test sees a ``SessionStore`` whose methods are called in the driver's way.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import URL, Engine, StaticPool, create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agent_session_core import Page, Retention, RunningToolCall, Session, SessionStore, Task
from agent_session_core.files import Files
from agent_session_core.sql.sessions import Scope
from agent_session_core.state import ScopedState
from agent_session_core.tasks import Tasks

T = TypeVar("T")


class Way(Protocol):
    """How a method is called."""

    def call(self, target: object, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The answer of the method ``name``, or what it raised."""
        ...


class Plain:
    """The sync form."""

    def call(self, target: object, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call it."""
        return getattr(target, name)(*arguments, **options)


class InsideALoop(Plain):
    """The sync form, called by code that an event loop runs."""

    def call(self, target: object, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call it within a coroutine."""

        async def calling() -> Any:
            return Plain.call(self, target, name, arguments, options)

        return asyncio.run(calling())


def twin_of(name: str) -> str:
    """The name of the async form."""
    return name.replace("__", "__a", 1) if name.startswith("__") else f"a{name}"


class Async:
    """The async form, run by ``run``; what it gives piece by piece is handed on as a list."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.run = run

    def call(self, target: object, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call the method with the prefix ``a``."""

        async def calling() -> Any:  # also makes what is called before the first await run inside the loop
            answer = getattr(target, twin_of(name))(*arguments, **options)
            return [piece async for piece in answer] if hasattr(answer, "__aiter__") else await answer

        return self.run(calling())


@contextmanager
def one_loop() -> Iterator[Async]:
    """One loop for all calls."""
    loop = asyncio.new_event_loop()
    try:
        yield Async(loop.run_until_complete)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@contextmanager
def two_loops() -> Iterator[Async]:
    """Two loops, each in a thread of its own, by turns."""
    with loop_in_a_thread() as first, loop_in_a_thread() as second:
        turns = itertools.cycle((first, second))
        yield Async(lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, next(turns)).result())


@contextmanager
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _engine(url: str, *, begins: bool = False, **options: Any) -> Iterator[Engine]:
    """A caller's engine; with ``begins`` set up as SQLAlchemy's manual has it for savepoints on SQLite."""
    engine = create_engine(url, **options)
    _set_up(engine, begins=begins)
    yield engine
    engine.dispose()


@contextmanager
def _async_engine(path: Path, way: Async, *, begins: bool = False) -> Iterator[AsyncEngine]:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    _set_up(engine.sync_engine, begins=begins)
    yield engine
    way.run(engine.dispose())


def _set_up(engine: Engine, *, begins: bool) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        if begins:
            connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    if begins:

        @event.listens_for(engine, "begin")
        def _(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")


@dataclass(frozen=True)
class Driver:
    """A named way to drive a store.

    Attributes:
        name: for the test's id.
        way: how methods are called.
        target: what to open, given the place of a database and the way.
        place: the fixture that gives that place: the path of a file, or a server's URL.
    """

    name: str
    way: Callable[[], AbstractContextManager[Any]]
    target: Callable[[Any, Any], AbstractContextManager[Any]]
    place: str = "database_file"

    @contextmanager
    def opening(self, place: Any) -> Iterator[Opened]:
        """What the driver opens, until the block ends."""
        with self.way() as way, self.target(place, way) as target:
            opened = Opened(target, way)
            yield opened
            opened.close()


class Opened:
    """Stores on one database."""

    def __init__(self, target: Any, way: Any) -> None:
        self._target = target
        self._way = way
        self._store = SessionStore.open(target, index="off")

    def store(self, retention: Retention | None = None) -> SessionStore:
        """A store of a tenant of its own, on the database that is open."""
        store = self._store
        another = SessionStore(
            store._database,
            store._index,
            Scope(str(uuid.uuid4())),
            analyzer=store._analyzer,
            retention=retention or Retention(),
            keeper=store._keeper,
            owner=False,
        )
        return self._driven(another)

    def another(self) -> SessionStore:
        """The database opened once more; where it is in memory, that is another one."""
        return self._driven(SessionStore.open(self._target, index="off", tenant=str(uuid.uuid4())))

    def close(self) -> None:
        """Close what was opened first."""
        self._way.call(self._store, "close", (), {})

    def _driven(self, store: SessionStore) -> SessionStore:
        return cast("SessionStore", Driven(store, self._way))


class Driven:
    """A store or session whose methods with input or output are called in a driver's way."""

    def __init__(self, target: Any, way: Way) -> None:
        self.target = target
        self._way = way

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.target, name)
        if not callable(value):
            return self._driven(value)
        twin = hasattr(self.target, twin_of(name))

        def called(*arguments: Any, **options: Any) -> Any:
            arguments = tuple(map(bare, arguments))
            options = {option: bare(value) for option, value in options.items()}
            answer = self._way.call(self.target, name, arguments, options) if twin else value(*arguments, **options)
            return self._driven(answer)

        return called

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Driven) and self.target == other.target

    def __hash__(self) -> int:
        return hash(self.target)

    def __repr__(self) -> str:
        return repr(self.target)

    def _driven(self, answer: Any) -> Any:
        if isinstance(answer, ScopedState):
            return DrivenState(answer, self._way)
        if isinstance(answer, RunningToolCall):
            return DrivenContext(answer, self._way)
        if isinstance(answer, SessionStore | Session | Files | Tasks | Task):
            return Driven(answer, self._way)
        if isinstance(answer, Page):
            return replace(answer, items=tuple(map(self._driven, answer.items)))
        if isinstance(answer, list) and answer and isinstance(answer[0], Task):
            return [Driven(task, self._way) for task in answer]
        return answer


class DrivenContext(Driven):
    """A context that is entered and left in a driver's way."""

    def __enter__(self) -> DrivenContext:
        self._way.call(self.target, "__enter__", (), {})
        return self

    def __exit__(self, *left: Any) -> None:
        self._way.call(self.target, "__exit__", left, {})


class DrivenState(Driven):
    """Variables. A mapping's own operations have no async form: they are called as they are, in any way."""

    def __getitem__(self, key: str) -> Any:
        return self.target[key]

    def __setitem__(self, key: str, value: object) -> None:
        self.target[key] = value

    def __delitem__(self, key: str) -> None:
        del self.target[key]

    def __contains__(self, key: object) -> bool:
        return key in self.target

    def __iter__(self) -> Iterator[str]:
        return iter(self.target)

    def __len__(self) -> int:
        return len(self.target)


def bare(value: Any) -> Any:
    """What a driver drives, itself."""
    return value.target if isinstance(value, Driven) else value


@contextmanager
def _given(value: T) -> Iterator[T]:
    yield value


def _file(path: Path, _: object) -> AbstractContextManager[str]:
    return _given(f"sqlite:///{path}")


def _native(path: Path, _: object) -> AbstractContextManager[str]:
    return _given(f"sqlite+aiosqlite:///{path}")


def _memory(_: Path, __: object) -> AbstractContextManager[str]:
    return _given("sqlite://")


def _own(path: Path, _: object) -> AbstractContextManager[Engine]:
    return _engine(f"sqlite:///{path}")


def _own_that_begins(path: Path, _: object) -> AbstractContextManager[Engine]:
    return _engine(f"sqlite:///{path}", begins=True)


def _own_in_memory(_: Path, __: object) -> AbstractContextManager[Engine]:
    return _engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})


def _own_async(path: Path, way: Async) -> AbstractContextManager[AsyncEngine]:
    return _async_engine(path, way)


def _own_async_that_begins(path: Path, way: Async) -> AbstractContextManager[AsyncEngine]:
    return _async_engine(path, way, begins=True)


def _server(url: URL, _: object) -> AbstractContextManager[URL]:
    return _given(url)


def _server_by_psycopg(url: URL, _: object) -> AbstractContextManager[URL]:
    return _given(url.set(drivername="postgresql+psycopg_async"))


def _server_by_asyncpg(url: URL, _: object) -> AbstractContextManager[URL]:
    return _given(url.set(drivername="postgresql+asyncpg"))


@contextmanager
def _own_of_server(url: URL, _: object) -> Iterator[Engine]:
    """A caller's engine whose transactions see one moment each, unless told otherwise."""
    engine = create_engine(url, isolation_level="REPEATABLE READ")
    yield engine
    engine.dispose()


@contextmanager
def _own_async_of_server(url: URL, way: Async) -> Iterator[AsyncEngine]:
    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"))
    yield engine
    way.run(engine.dispose())


def _plain() -> AbstractContextManager[Way]:
    return _given(Plain())


def _inside_a_loop() -> AbstractContextManager[Way]:
    return _given(InsideALoop())


def _fresh_loops() -> AbstractContextManager[Way]:
    return _given(Async(asyncio.run))


# Each target and each way is there, and each way for threads and natively; not each target in each way.
DRIVERS = (
    Driver("sync", _plain, _file),
    Driver("sync-in-a-loop-native-url", _inside_a_loop, _native),
    Driver("async", one_loop, _file),
    Driver("async-two-loops", two_loops, _file),
    Driver("async-fresh-loops-memory", _fresh_loops, _memory),
    Driver("native", one_loop, _native),
    Driver("native-two-loops", two_loops, _native),
    Driver("native-fresh-loops", _fresh_loops, _native),
    Driver("engine-that-begins", _plain, _own_that_begins),
    Driver("engine-memory", _plain, _own_in_memory),
    Driver("engine-async", one_loop, _own),
    Driver("async-engine", one_loop, _own_async),
    Driver("async-engine-that-begins", one_loop, _own_async_that_begins),
    Driver("postgres", _plain, _server, "postgres_database"),
    Driver("postgres-async-two-loops", two_loops, _server, "postgres_database"),
    Driver("postgres-psycopg", one_loop, _server_by_psycopg, "postgres_database"),
    Driver("postgres-asyncpg-fresh-loops", _fresh_loops, _server_by_asyncpg, "postgres_database"),
    Driver("postgres-engine", _plain, _own_of_server, "postgres_database"),
    Driver("postgres-async-engine", one_loop, _own_async_of_server, "postgres_database"),
)
