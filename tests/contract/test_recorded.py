"""Functions that record themselves in a session's ledger."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import InvalidInput, Session, SessionStore, recorded
from agent_session_core.errors import ToolCallUnsettled


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    """A session in a file, its async form in threads or native."""
    with SessionStore.open(f"{request.param}:///{tmp_path / 'sessions.db'}", index="off") as store:
        yield store.session("trip")


def told(session: Session) -> list[tuple[str, Any, str, Any]]:
    """The ledger: each call's name, arguments, status, and result or error."""
    return [(call.name, call.arguments, call.status, call.result or call.error) for call in session.tool_calls()]


def test_a_call_is_in_the_ledger_while_it_runs_and_when_it_has_ended(session: Session) -> None:
    """With the function's name, its arguments by name, and its result; the function keeps its name and docstring."""
    seen: list[str] = []

    @recorded(session)
    def book(hotel: str, nights: int = 1) -> dict[str, str]:
        """Book a room."""
        seen.extend(call.status for call in session.tool_calls())
        return {"ref": f"{hotel}-{nights}"}

    booked: dict[str, str] = book("Jasmim", nights=3)
    assert booked == {"ref": "Jasmim-3"}
    assert seen == ["running"]
    assert told(session) == [("book", {"hotel": "Jasmim", "nights": 3}, "succeeded", {"ref": "Jasmim-3"})]
    assert (book.__name__, book.__doc__) == ("book", "Book a room.")


async def test_an_async_function_records_itself_too(session: Session) -> None:
    """Also one behind ``functools.partial`` or an object that is called, under the name that is given."""

    class Booking:
        async def __call__(self, hotel: str) -> str:
            return f"booked {hotel}"

    async def book(nights: int, hotel: str) -> str:
        return f"booked {hotel} for {nights}"

    assert await recorded(session, name="first")(Booking())("Jasmim") == "booked Jasmim"
    assert await recorded(session, name="second")(partial(book, 3))("Jasmim") == "booked Jasmim for 3"
    assert told(session) == [
        ("first", {"hotel": "Jasmim"}, "succeeded", "booked Jasmim"),
        ("second", {"hotel": "Jasmim"}, "succeeded", "booked Jasmim for 3"),
    ]


def test_the_same_key_acts_once(session: Session) -> None:
    """The second call gives the first one's result, in this process or another; another key acts."""
    acted: list[str] = []

    @recorded(session, idempotency_key=lambda order: f"pay-{order}")
    def pay(order: str) -> int:
        acted.append(order)
        return len(acted)

    assert [pay("a"), pay("a"), pay(order="a"), pay("b"), pay("b")] == [1, 1, 1, 2, 2]
    assert acted == ["a", "b"]
    assert [call.idempotency_key for call in session.tool_calls()] == ["pay-a", "pay-b"]


async def test_the_same_key_acts_once_in_async_functions(session: Session) -> None:
    """As in others; where the key is None every call acts."""
    acted: list[str] = []

    @recorded(session, idempotency_key=lambda order: order or None)
    async def pay(order: str) -> int:
        acted.append(order)
        return len(acted)

    assert [await pay("a"), await pay("a"), await pay(""), await pay("")] == [1, 1, 2, 3]


def test_many_at_once_act_once(session: Session) -> None:
    """Of twenty threads with one key one acts; the others get its result, or hear that it runs."""
    acted, everybody = [], threading.Barrier(20)

    @recorded(session, idempotency_key=lambda: "once")
    def act() -> str:
        acted.append(1)
        return "done"

    def attempt(_: int) -> str:
        everybody.wait()
        try:
            return act()
        except ToolCallUnsettled:
            return "runs"

    with ThreadPoolExecutor(20) as threads:
        answers = set(threads.map(attempt, range(20)))
    assert acted == [1]
    assert "done" in answers
    assert answers <= {"done", "runs"}


def test_an_exception_is_the_calls_failure_and_goes_on_its_way(session: Session) -> None:
    """What failed may be tried again with the same key."""
    weather: Iterator[str | Exception] = iter([ConnectionError("no line"), "sunny"])

    @recorded(session, idempotency_key=lambda: "today")
    def look() -> str:
        found = next(weather)
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(ConnectionError, match="no line"):
        look()
    assert [call.error for call in session.tool_calls("failed")] == ["ConnectionError: no line"]
    assert look() == look() == "sunny"


def test_what_was_broken_off_is_not_done_again_until_somebody_settles_it(session: Session) -> None:
    """An interrupt leaves ``unknown``; the key then refuses, and gives the result that was settled."""
    acted = []

    @recorded(session, idempotency_key=lambda order: order)
    def pay(order: str) -> str:
        acted.append(order)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pay("a")
    with pytest.raises(ToolCallUnsettled, match="may have acted"):
        pay("a")
    (unknown,) = session.tool_calls("unknown")
    session.settle_tool_call(unknown.id, result="paid")
    assert pay("a") == "paid"
    assert acted == ["a"]


async def test_a_cancelled_call_is_unknown(session: Session) -> None:
    """Nobody knows how far it came."""
    begun = asyncio.Event()

    @recorded(session)
    async def wait() -> None:
        begun.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [call.status for call in session.tool_calls()] == ["unknown"]


@dataclass(frozen=True)
class Room:
    """A result of a program's own type."""

    number: int


def test_what_is_not_json_is_recorded_as_a_text_that_shows_it(session: Session) -> None:
    """The function gets and gives its own objects; nothing that acted is called a failure for what it returned."""

    @recorded(session)
    def find(room: Room, wishes: Any, long: str) -> Room:
        return room

    class Unwilling:
        def __repr__(self) -> str:
            raise RuntimeError

    assert find(Room(7), {"view": Unwilling()}, "x" * 100_000) == Room(7)
    (call,) = session.tool_calls()
    assert isinstance(call.arguments, dict)
    assert call.arguments["room"] == "Room(number=7)"
    assert call.result == {"not JSON": "Room(number=7)"}
    assert "Unwilling instance" in call.arguments["wishes"]
    assert len(call.arguments["long"]) < 2_100


def test_dump_and_load_bring_back_other_types(session: Session) -> None:
    """An earlier result is made again by what the caller gave."""

    @recorded(session, idempotency_key=str, dump=asdict, load=lambda kept: Room(**kept))
    def find(number: int) -> Room:
        return Room(number)

    assert find(7) == find(7) == Room(7)
    assert [call.result for call in session.tool_calls()] == [{"number": 7}]


def test_what_an_earlier_call_gave_and_is_no_json_is_refused_not_changed(session: Session) -> None:
    """A repeated call never gives a text in place of an object; the error says what to give."""

    @recorded(session, idempotency_key=str)
    def find(number: int) -> Room:
        return Room(number)

    assert find(7) == Room(7)
    with pytest.raises(InvalidInput, match=r"find: .* gave Room\(number=7\), which is no JSON; give dump= and load="):
        find(7)


def test_a_result_that_cannot_be_dumped_does_not_undo_what_acted(session: Session) -> None:
    """The function gives its result; the ledger says that it succeeded, and shows it."""
    acted: list[int] = []

    @recorded(session, idempotency_key=str, dump=asdict)
    def act(number: int) -> int:
        acted.append(number)
        return number

    assert act(1) == 1
    assert [(call.status, call.result) for call in session.tool_calls()] == [("succeeded", {"not JSON": "1"})]
    with pytest.raises(InvalidInput, match="act: an earlier call"):
        act(1)
    assert acted == [1]


def test_a_result_within_the_limits_is_recorded(session: Session) -> None:
    """Also the largest; a larger one is recorded by its beginning, and the function gives all of it."""
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    whole, long = "x" * (4 * 1024 * 1024 - 2), "x" * (5 * 1024 * 1024)
    for result in (deep, whole, long):
        assert recorded(session, name="give")(lambda result=result: result)() == result
    first, second, third = (call.result for call in session.tool_calls("succeeded"))
    assert (first, second) == (deep, whole)
    assert len(third["not JSON"]) < 2_100


async def test_the_session_may_be_given_by_a_function(session: Session, tmp_path: Path) -> None:
    """Each call asks for its session; an async function may ask asynchronously. Methods are recorded without self."""
    with SessionStore.open(f"sqlite:///{tmp_path / 'other.db'}", index="off") as store:
        current = "first"

        async def theirs() -> Session:
            return await store.asession(current)

        class Agent:
            @recorded(lambda: store.session(current))
            def look(self, what: str) -> str:
                return what

            @recorded(theirs)
            async def alook(self, what: str) -> str:
                return what

        agent = Agent()
        agent.look("here")
        current = "second"
        agent.look("there")
        await agent.alook("everywhere")
        assert told(store.session("first")) == [("look", {"what": "here"}, "succeeded", "here")]
        assert [call[:2] for call in told(store.session("second"))] == [
            ("look", {"what": "there"}),
            ("alook", {"what": "everywhere"}),
        ]


def test_what_cannot_be_recorded_is_refused_before_it_acts(session: Session) -> None:
    """A session that is none, a generator, a bad name or key, or arguments that the function would refuse itself."""
    acted: list[int] = []

    def act(number: int = 0) -> None:
        acted.append(number)

    def numbers() -> Iterator[int]:
        yield 1

    async def anumbers() -> AsyncIterator[int]:
        yield 1

    for wrong in (None, 5, "trip"):
        with pytest.raises(InvalidInput, match="session: expected"):
            recorded(wrong)  # type: ignore[arg-type]  # that is the test
    for generator in (numbers, anumbers):
        with pytest.raises(InvalidInput, match="generator"):
            recorded(session)(generator)
    with pytest.raises(InvalidInput, match="name"):
        recorded(session, name="")(act)
    with pytest.raises(InvalidInput, match=r"session: .*; write @recorded\(session\)"):
        recorded(lambda number: number)  # type: ignore[arg-type, misc]  # that is the test
    with pytest.raises(InvalidInput, match=r"function: .* got 5; write @recorded\(session\)"):
        recorded(act)(5)  # type: ignore[arg-type]  # what a call of a function decorated by a bare @recorded does
    for option in ("idempotency_key", "dump", "load"):
        with pytest.raises(InvalidInput, match=f"{option}: expected a function"):
            recorded(session, **{option: "k"})  # type: ignore[arg-type]  # that is the test

    async def aact() -> None:
        act()

    nowhere: Any = recorded(lambda: "trip")  # type: ignore[arg-type, return-value]  # that is the test
    with pytest.raises(InvalidInput, match="gives a Session"):
        nowhere(act)()
    with pytest.raises(InvalidInput, match="gives a Session"):
        asyncio.run(nowhere(aact)())
    with pytest.raises(InvalidInput, match="idempotency_key"):
        recorded(session, idempotency_key=lambda number: number)(act)(1)
    with pytest.raises(TypeError, match="unexpected"):
        recorded(session)(act)(other=1)  # type: ignore[call-arg]  # that is the test
    assert acted == []
    assert not session.tool_calls()


def test_an_id_that_is_another_calls_is_told_apart(session: Session) -> None:
    """The same id, name and arguments give the earlier result. Otherwise it is refused, or (loose) made anew."""
    with session.tool_call("look", {"at": "sea"}, id="c1") as first:
        first.succeed("blue")
    with session.tool_call("look", {"at": "sea"}, id="c1") as again:
        assert again.earlier is not None
        assert again.result == "blue"
    with pytest.raises(InvalidInput, match="another call's"), session.tool_call("look", {"at": "sky"}, id="c1"):
        pass
    with session.tool_call("look", {"at": "sky"}, id="c1", ids="loose") as other:
        assert other.earlier is None
        other.succeed("grey")
    assert other.id != "c1"
    with pytest.raises(OSError, match="fog"), session.tool_call("look", {"at": "hill"}, id="c2"):
        raise OSError("fog")
    with session.tool_call("look", {"at": "field"}, id="c2", ids="loose") as field:
        field.succeed("green")
    assert [call.error for call in session.tool_calls("failed")] == ["OSError: fog"]
    assert [(call.id, call.result) for call in session.tool_calls()[:2]] == [("c1", "blue"), (other.id, "grey")]
    with pytest.raises(InvalidInput, match="ids"):
        session.tool_call("look", ids="lax")  # type: ignore[arg-type]  # that is the test


WORKER = """
import sys, time
from datetime import timedelta
from agent_session_core import SessionStore, recorded

session = SessionStore.open(sys.argv[1], index="off", lease=timedelta(seconds=1)).session("trip")

@recorded(session, idempotency_key=lambda order: order)
def pay(order):
    print("paying", flush=True)
    time.sleep(60)

pay("a")
"""


def test_a_killed_process_leaves_its_call_unknown(tmp_path: Path) -> None:
    """While the process lives the call runs, for longer than a lease; soon after its death nobody knows."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-c", WORKER, url]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as worker,
        SessionStore.open(url, index="off") as store,
    ):
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"paying\n"
            session = store.session("trip")
            time.sleep(1.5)
            assert [call.status for call in session.tool_calls()] == ["running"]
        finally:
            worker.kill()
        deadline = time.monotonic() + 10
        while not session.open_work().unknown:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with pytest.raises(ToolCallUnsettled, match="may have acted"):
            recorded(session, name="pay", idempotency_key=lambda order: order)(print)("a")


@pytest.mark.parametrize("wrong", [timedelta(0), timedelta(days=2), 5])
def test_a_lease_has_its_limits(wrong: Any) -> None:
    """A second at least, a day at most."""
    with pytest.raises(InvalidInput, match=r"^lease: (0:00:00|2 days, 0:00:00|expected a timedelta, got int 5)"):
        SessionStore.open("sqlite://", index="off", lease=wrong)
