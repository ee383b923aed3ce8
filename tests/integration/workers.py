"""What the processes of the tests do. Run as a script: ``workers.py TASK URL NUMBER``.

Importing the package takes longer than the work, so one process imports it, uses it once, and forks the rest when no
thread or connection is left, as a forking server would.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from agent_session_core import Message, Session, SessionStore

APPENDS = 25
"""What :func:`append_some` stores."""


def _session(url: str) -> Session:
    return SessionStore.open(url, index="off").session("shared")


def append_some(url: str, number: int) -> None:
    """Append messages one by one, and say how many."""
    session = _session(url)
    for place in range(APPENDS):
        session.append(Message.user(f"{number}-{place}"))
    _say(f"{APPENDS}")


def append_many(url: str, number: int) -> None:
    """Append 200 messages one by one."""
    session = _session(url)
    for place in range(200):
        session.append(Message.user(f"{number}-{place}"))


def _saying(name: str, more: int) -> list[Message]:
    """A message that says how many follow it, and those."""
    return [Message.user(f"{name}+{more}"), *[Message.assistant("x" * 500)] * more]


def append_for_ever(url: str, number: int) -> None:
    """Append from two threads until killed, and say each id once the append has returned."""
    session = _session(url)

    def append(thread: int) -> None:
        place = 0
        while True:
            place += 1
            stored = session.append(_saying(f"{number}-{thread}-{place}", place % 4))
            _say(" ".join(str(message.id) for message in stored))

    for thread in range(2):
        threading.Thread(target=append, args=(thread,), daemon=True).start()
    threading.Event().wait()


def append_for_ever_async(url: str, number: int) -> None:
    """As :func:`append_for_ever`, by two tasks of an event loop; natively where the URL says so."""

    async def append(session: Session, task: int) -> None:
        place = 0
        while True:
            place += 1
            stored = await session.aappend(_saying(f"{number}-{task}-{place}", place % 4))
            _say(" ".join(str(message.id) for message in stored))

    async def both() -> None:
        session = await SessionStore.open(url, index="off").asession("shared")
        await asyncio.gather(append(session, 0), append(session, 1))

    asyncio.run(both())


def open_only(url: str, number: int) -> None:
    """Open the store, which makes its tables, use it once, and close it."""
    with SessionStore.open(url, index="off") as store:
        store.session("shared").append(Message.user(str(number)))


def crash(url: str, rounds: int) -> None:
    """Kill two writers in the middle of their work, again and again; what they acknowledged is said on the way."""
    chance = random.Random(11)
    for number in range(rounds):
        task = (append_for_ever, append_for_ever_async)[number % 2]
        reader, writer = os.pipe()
        writers = [_forked(task, url, 2 * number + n, out=writer) for n in range(2)]
        os.close(writer)
        said = os.read(reader, 65_536)  # at least one of them is at work now
        time.sleep(chance.uniform(0, 0.04))
        for child in writers:
            os.kill(child, signal.SIGKILL)
            time.sleep(chance.choice((0, 0.01)))  # sometimes the other goes on for a while
        for child in writers:
            os.waitpid(child, 0)
        while more := os.read(reader, 65_536):
            said += more
        os.close(reader)
        os.write(1, said[: said.rfind(b"\n") + 1])


def crash_opening(url: str, rounds: int) -> None:
    """Kill processes that open, and make, a database: five for each file."""
    chance = random.Random(12)
    for number in range(rounds):
        child = _forked(open_only, f"{url}{number // 5}", number, out=2)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


TASKS: dict[str, Callable[[str, int], None]] = {
    task.__name__: task for task in (append_some, append_many, append_for_ever, append_for_ever_async, open_only)
}


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write is one piece in a pipe, also beside other processes


def main(task: str, url: str, number: int) -> int:
    """Run a crash, or fork so many processes and tell how many of them failed."""
    _warm_up()
    if task in ("crash", "crash_opening"):
        {"crash": crash, "crash_opening": crash_opening}[task](url, number)
        return 0
    children = [_forked(TASKS[task], url, place, out=1) for place in range(number)]
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


def _warm_up() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for scheme in ("sqlite", "sqlite+aiosqlite"):
            with SessionStore.open(f"{scheme}:///{folder}/sessions.db", index="off") as store:
                asyncio.run(store.session("warm").aappend(Message.user("x", id="x")))


def _forked(task: Callable[[str, int], None], url: str, number: int, *, out: int) -> int:
    child = os.fork()
    if child == 0:
        os.dup2(out, 1)
        os._exit(_outcome(task, url, number))
    return child


def _outcome(task: Callable[[str, int], None], url: str, number: int) -> int:
    try:
        task(url, number)
    except BaseException as error:  # noqa: BLE001  # a forked process must not go on as its parent
        sys.stderr.write(f"{error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
