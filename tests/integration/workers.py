"""What the processes of the tests do. Run as a script: ``workers.py TASK URL NUMBER``.

Importing the package takes longer than the work, so one process imports it and forks the rest before any thread or
connection is there, as a forking server would.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
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


def append_for_ever(url: str, number: int) -> None:
    """Append from two threads until killed, and say each id once the append has returned."""
    session = _session(url)

    def append(thread: int) -> None:
        place = 0
        while True:
            place += 1
            stored = session.append(
                Message.user(f"{number}-{thread}-{place}"), *[Message.assistant("x" * 500)] * (place % 4)
            )
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
            stored = await session.aappend(Message.user(f"{number}-{task}-{place}"), Message.assistant("x" * 500))
            _say(" ".join(str(message.id) for message in stored))

    async def both() -> None:
        session = await SessionStore.open(url, index="off").asession("shared")
        await asyncio.gather(append(session, 0), append(session, 1))

    asyncio.run(both())


def open_only(url: str, number: int) -> None:
    """Open the store, which makes its tables, use it once, and close it."""
    with SessionStore.open(url, index="off") as store:
        store.session("shared").append(Message.user(str(number)))


TASKS: dict[str, Callable[[str, int], None]] = {
    task.__name__: task for task in (append_some, append_many, append_for_ever, append_for_ever_async, open_only)
}


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write is one piece in a pipe, also beside other processes


def main(task: str, url: str, processes: int) -> int:
    """Fork the processes, wait for them, and tell how many failed."""
    if "for_ever" not in task:
        import agent_session_core.sql.migrate  # noqa: F401  # shared by all of them
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os._exit(_outcome(TASKS[task], url, number))
        children.append(child)
    return sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children)


def _outcome(task: Callable[[str, int], None], url: str, number: int) -> int:
    try:
        task(url, number)
    except BaseException as error:  # noqa: BLE001  # a forked process must not go on as its parent
        sys.stderr.write(f"{error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
