"""What a session's turn promises: one worker at a time, and no late writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import (
    InvalidInput,
    Message,
    Session,
    SessionNotActive,
    SessionNotFound,
    SessionStore,
    StorageUnavailable,
    TurnTaken,
)
from agent_session_core.sql import leases as sql
from agent_session_core.sql.tables import leases

TAKEN = r"^session 'trip': another worker has its turn; wait longer \(timeout=\) or try later"
TAKEN_OVER = "^session 'trip': another worker took over its turn; read the session anew before you go on"


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database, driven in threads or natively."""
    return f"{request.param}:///{tmp_path}/s.db"


@pytest.fixture
def session(url: str) -> Iterator[Session]:
    """A session, and the worker that has it."""
    with SessionStore.open(url, index="off") as store:
        yield store.session("trip", user_id="ana")


@pytest.fixture
def other(session: Session, url: str) -> Iterator[Session]:
    """The same session, in the hands of another worker."""
    with SessionStore.open(url, index="off") as store:
        yield store.session("trip")


def _stand_still(session: Session) -> None:
    """Let the session's lease end, as if its holder had stood still for longer than that."""
    session._services.keeper._holds.clear()
    statement = leases.update().where(leases.c.session == session._plain_key.session).values(expires_at=0)
    session._database.write(lambda conn: int(conn.execute(statement).rowcount))


def _elsewhere(work: Callable[[], object]) -> None:
    """Run in a context of its own, as another worker's code does."""
    failures: list[BaseException] = []

    def running() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            failures.append(error)

    thread = threading.Thread(target=running)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _take(session: Session, timeout: float = 0.0) -> None:
    with session.turn(timeout=timeout):
        session.append(Message.assistant("mine"))


def test_a_turn_is_one_workers(session: Session, other: Session) -> None:
    """While one has it, another waits its timeout and is told so; afterwards it is free. Readers are not kept."""
    with session.turn():
        session.append(Message.user("one"))
        with pytest.raises(TurnTaken, match=TAKEN):
            _elsewhere(lambda: _take(other))
        assert len(other.messages()) == 1
    _elsewhere(lambda: _take(other))
    assert [message.text for message in session.messages()] == ["one", "mine"]


def test_who_waits_gets_the_turn(session: Session, other: Session) -> None:
    """As soon as it is given back."""
    waiting = threading.Thread(target=_take, args=(other, 30))
    with session.turn():
        waiting.start()
        time.sleep(0.1)
        assert session.messages() == []
    waiting.join()
    assert len(session.messages()) == 1


def test_many_workers_take_turns(session: Session) -> None:
    """Of workers that read, think and write, each sees the work of all before it."""

    def work() -> None:
        for _ in range(5):
            with session.turn(timeout=60):
                seen = session.state.get("count", 0)
                time.sleep(0.001)
                session.state["count"] = seen + 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.state["count"] == 20


async def test_the_async_form(session: Session) -> None:
    """Tasks of an event loop take turns too, and nobody blocks the loop."""
    order: list[str] = []

    async def work(name: str) -> None:
        for _ in range(3):
            async with session.turn(timeout=60):
                order.append(name)
                await session.aappend(Message.user(name))
                await asyncio.sleep(0.01)
                order.append(name)

    await asyncio.gather(*(work(name) for name in "abcd"))
    assert order[::2] == order[1::2]
    assert [message.text for message in await session.amessages()] == order[::2]
    with pytest.raises(TurnTaken, match=TAKEN):
        async with session.turn():
            await asyncio.create_task(_outside(session))


async def _outside(session: Session) -> None:
    def work() -> None:
        _elsewhere(lambda: _take(session))

    await asyncio.to_thread(work)


WRITES: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(Message.user("late")),
    "replace": lambda session: session.replace([Message.user("late")]),
    "pop_turn": lambda session: session.pop_turn(),
    "remove": lambda session: session.remove(),
    "update": lambda session: session.update(title="late"),
    "touch": lambda session: session.touch(),
    "state": lambda session: session.state.update(late=1),
    "user state": lambda session: session.state.user.update(late=1),
    "delete state": lambda session: session.state.clear(),
    "file": lambda session: session.files.put("late.txt", b"late"),
    "delete file": lambda session: session.files.delete("a.txt"),
    "task": lambda session: session.tasks.add("late"),
    "tool call": lambda session: session.tool_call("late").__enter__(),
    "rewind": lambda session: session.rewind(to=0),
    "undo_rewind": lambda session: session.undo_rewind(),
    "close": lambda session: session.close(),
    "archive": lambda session: session.archive(),
    "restart": lambda session: session.restart(),
    "delete": lambda session: session.delete(),
}


def test_late_writes_are_refused(session: Session, other: Session) -> None:
    """A holder that stood still past its lease is replaced; whatever it still writes is refused, all of it."""
    session.append(Message.user("one"))
    session.state["x"] = 1
    session.files.put("a.txt", b"x")
    with session.turn():
        _stand_still(session)
        session.append(Message.assistant("nobody has taken over yet"))
        _elsewhere(lambda: _take(other))
        before = other.record()
        for write in WRITES.values():
            with pytest.raises(TurnTaken, match=TAKEN_OVER):
                write(session)
        assert other.record() == before
        assert session.messages()[-1].text == "mine"
    session.append(Message.user("outside of the turn, and with eyes open"))


async def test_late_writes_are_refused_async(session: Session, other: Session) -> None:
    """The async form carries the turn as well, into the tasks that are begun in it."""
    async with session.turn():
        _stand_still(session)
        await asyncio.to_thread(_elsewhere, lambda: _take(other))
        for late in (
            session.aappend(Message.user("x")),
            session.state.aupdate(x=1),
            session.aclose(),
            session.adelete(),
        ):
            with pytest.raises(TurnTaken, match=TAKEN_OVER):
                await late
        with pytest.raises(TurnTaken, match=TAKEN_OVER):
            await asyncio.create_task(session.atouch())
    assert len(await session.amessages()) == 1


def test_what_a_late_holder_gives_back_is_not_the_other_holders(session: Session, other: Session) -> None:
    """Leaving the block does not end the turn of whoever took it over."""
    with session.turn():
        _stand_still(session)
        token = other._database.write(lambda conn: sql.take(conn, 1, "turn", at=1, until=2**62))
        assert token == 2
    with pytest.raises(TurnTaken, match=TAKEN):
        _take(session)


def test_a_turn_in_a_turn_belongs_to_it(session: Session, other: Session) -> None:
    """Code that takes the turn works inside of code that has it, and does not end it."""
    with session.turn():
        with session.turn(timeout=0):
            session.append(Message.user("inner"))
        with pytest.raises(TurnTaken, match=TAKEN):
            _elsewhere(lambda: _take(other))
        session.append(Message.user("outer"))
    _elsewhere(lambda: _take(other))


async def test_a_task_that_outlives_its_turn_takes_its_own(session: Session, other: Session) -> None:
    """What was begun in a turn that has ended is not in it any more."""
    ended = asyncio.Event()

    async def outliving() -> None:
        await ended.wait()
        async with session.turn(timeout=0):
            with pytest.raises(TurnTaken, match=TAKEN):
                await asyncio.to_thread(_elsewhere, lambda: _take(other))

    async with session.turn():
        task = asyncio.create_task(outliving())
    ended.set()
    await task


def test_turns_of_two_sessions_do_not_meet(session: Session, tmp_path: Path) -> None:
    """Neither of one database nor of two: a session's number in one means nothing in the other."""
    with SessionStore.open(f"sqlite:///{tmp_path}/second.db", index="off") as second:
        twin = second.session("trip", user_id="ana")
        for _ in range(3):
            with twin.turn():
                twin.touch()
        assert twin._plain_key.session == session._plain_key.session
        with session.turn(), twin.turn():
            session.append(Message.user("one"))
            twin.append(Message.user("two"))
        with session.turn():
            twin.append(Message.user("three"))


def test_a_turn_is_renewed_however_long_it_takes(session: Session, other: Session) -> None:
    """Also when it is taken right after another one has ended, over and over."""
    session._services.keeper.lease = other._services.keeper.lease = 0.4
    for _ in range(20):
        with session.turn():
            pass
    with session.turn():
        time.sleep(1.0)
        with pytest.raises(TurnTaken, match=TAKEN):
            _elsewhere(lambda: _take(other))
        session.append(Message.user("still mine"))


def test_a_late_renewal_does_not_bring_back_what_was_given_back(session: Session, other: Session) -> None:
    """One that was under way when the block ended finds nothing to renew: the turn is free."""
    with session.turn():
        ((number, name, token),) = session._services.keeper._holds
    session._database.write(lambda conn: sql.prolong(conn, [(number, name, token)], until=2**62))
    _elsewhere(lambda: _take(other))


def test_nothing_renews_what_nobody_holds(session: Session) -> None:
    """The thread that renews ends with the last turn, and a closed store renews nothing."""
    keeper = session._services.keeper
    with session.turn():
        thread = keeper._thread
        assert thread is not None
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive()
    assert keeper._thread is None


def test_an_error_in_the_block_gives_the_turn_back(session: Session, other: Session) -> None:
    """And comes through."""
    with pytest.raises(ZeroDivisionError), session.turn():
        raise ZeroDivisionError
    _elsewhere(lambda: _take(other))


def test_one_turn_object_within_itself(session: Session, other: Session) -> None:
    """It is given back where its outermost block ends, and may be entered again after that."""
    turn = session.turn(timeout=0)
    for _ in range(2):
        with turn:
            with turn:
                session.append(Message.user("inner"))
            with pytest.raises(TurnTaken, match=TAKEN):
                _elsewhere(lambda: _take(other))
        _elsewhere(lambda: _take(other))


async def test_who_is_cancelled_on_entering_has_not_taken_the_turn(session: Session) -> None:
    """Wherever the cancellation comes: the turn is free at once."""
    entered = 0

    async def work() -> None:
        nonlocal entered
        async with session.turn():
            entered += 1

    for moment in range(200):
        task = asyncio.create_task(work())
        await asyncio.sleep(moment % 40 / 10_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with session.turn(timeout=0):
            pass
    assert entered < 200


async def test_waiting_for_a_turn_can_be_cancelled_again_and_again(session: Session) -> None:
    """However often, what was taken meanwhile is given back, and the cancellation is told."""

    async def work() -> None:
        async with session.turn():
            raise AssertionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with session.turn(timeout=0):
        pass


def test_only_an_active_session_has_turns(session: Session) -> None:
    """A closed or deleted one says so; so does a closed store."""
    session.close()
    with pytest.raises(SessionNotActive):
        _take(session)
    session.delete()
    with pytest.raises(SessionNotFound):
        _take(session)


def test_a_timeout_must_be_a_time(session: Session) -> None:
    """Anything else is named, before the turn is asked for."""
    for bad in (-1, "5", True, None, float("nan"), float("inf"), 10**6):
        with pytest.raises(InvalidInput, match=r"^timeout: .* is out of range; give 0 to 86,400 seconds"):
            session.turn(timeout=bad)  # type: ignore[arg-type]  # wrong on purpose


def test_a_closed_store_gives_no_turns(url: str) -> None:
    """The error names what to do."""
    store = SessionStore.open(url, index="off")
    session = store.session("trip")
    store.close()
    with pytest.raises(StorageUnavailable):
        _take(session)
