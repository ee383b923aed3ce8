"""What a session's life costs: fork and rewind, writes of its state, the sweep by several processes, and a crowd.

    python benchmarks/lifecycle.py                    # all four
    python benchmarks/lifecycle.py branches state     # some of them
    python benchmarks/lifecycle.py --messages 100000 branches

Machines drift, so what is timed takes turns, medians are compared, and each figure stands beside what another thing
cost in the same run. Every part counts what it has done; where the count is wrong, the run ends with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Engine, event

from agent_session_core import Message, Session, SessionStore, StateConflict

TEXT = "We leave Lisbon on the fourth of May and come back on the eleventh, with the night train by way of Madrid. "
STATE_AT_MOST = 1.5
"""How many times an append a write of the state may cost."""
MARKS = 20
"""How often, in a session that is forked, a variable, a task, a tool call and a version of a file are written."""
SWEEPERS = 4
WRITERS = 20
SHARED = "shared"

T = TypeVar("T")
Work: TypeAlias = Callable[[SessionStore, int, int], T]
Job: TypeAlias = tuple[Work[T], SessionStore | str, int, int]


def check(name: str, found: object, wanted: object) -> None:
    """End the run where something was counted wrong."""
    if found != wanted:
        sys.exit(f"{name}: {found!r:.200}, not {wanted!r:.200}")


class Statements:
    """The number of SQL statements run, counted by the driver, on the connections made inside its block."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Statements:
        event.listen(Engine, "connect", self._watch)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        event.remove(Engine, "connect", self._watch)

    def _watch(self, connection: Any, _record: object) -> None:
        connection.set_trace_callback(self._ran)

    def _ran(self, _statement: str) -> None:
        self.count += 1


class Branching:
    """A session of so many messages, which is forked, rewound by half of them, and restored, again and again."""

    def __init__(self, folder: Path, messages: int, statements: Statements) -> None:
        self.store = SessionStore.open(f"sqlite:///{folder}/branches{messages}.db", index="off")
        self.session = self.store.session("whole")
        self.messages = turns(messages)
        self.statements = statements
        for mark in range(MARKS):
            self.session.append(self.messages[mark * messages // MARKS : (mark + 1) * messages // MARKS])
            self._mark(mark)
        self.half = self.session.messages()[messages // 2 - 1].seq or 0
        self.whole = contents(self.session)
        self.cut = contents(self.session.fork("cut", at=self.half))
        check("messages of half a session", len(self.cut[0]), messages // 2)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.counts: dict[str, int] = {}

    def _mark(self, mark: int) -> None:
        self.session.state["step"] = mark
        self.session.state[f"step {mark}"] = TEXT
        self.session.tasks.add(f"Step {mark}")
        self.session.files.put("plan.txt", f"Step {mark}. {TEXT}".encode())
        with self.session.tool_call("book", {"step": mark}, idempotency_key=f"step {mark}") as call:
            call.succeed({"booked": mark})

    def round(self, number: int) -> None:
        """Append as many messages at once to a session of their own; fork; rewind; undo that; and look at each."""
        fresh = self.store.session(f"appended {number}")
        self._timed("append of all", lambda: fresh.append(self.messages))
        self._timed("fork", lambda: self.session.fork(f"fork {number}"))
        check("the fork", contents(self.store.session(f"fork {number}", create=False)), self.whole)
        self._timed("rewind", lambda: self.session.rewind(to=self.half))
        check("the rewound session", contents(self.session), self.cut)
        self._timed("undo", self.session.undo_rewind)
        check("the session after the undo", contents(self.session), self.whole)

    def _timed(self, name: str, task: Callable[[], object]) -> None:
        before, start = self.statements.count, time.perf_counter()
        task()
        self.seconds[name].append(time.perf_counter() - start)
        self.counts.setdefault(name, self.statements.count - before)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])


def turns(messages: int) -> list[Message]:
    """So many messages: questions, and their answers."""
    return [Message.assistant(TEXT) if number % 2 else Message.user(TEXT) for number in range(messages)]


def contents(session: Session) -> tuple[Sequence[object], ...]:
    """Everything of a session that a fork copies and a rewind takes back."""
    return (
        [(message.seq, message.id, message.text) for message in session.messages()],
        sorted(session.state.all().items()),
        [(task.id, task.title, task.status) for task in session.tasks.records()],
        [(call.id, call.status, call.result) for call in session.tool_calls()],
        [(file.name, file.version, file.sha256) for file in session.files.list()],
    )


def branches(folder: Path, messages: int, rounds: int) -> None:
    """Fork, rewind and undo of a long session, and of one a tenth as long with the same records."""
    with Statements() as statements:
        long, short = (Branching(folder, size, statements) for size in (messages, messages // 10))
        for number in range(rounds):
            long.round(number)
            short.round(number)
    print(f"{messages:,} messages, {MARKS} writes each of variables, tasks, tool calls and a file; rewound by half")
    print(f"  {'':16}{'time':>9}{'of appending all':>19}{'statements':>13}{f'of {messages // 10:,}':>11}")
    for name in ("fork", "rewind", "undo"):
        ratio = long.median(name) / long.median("append of all")
        counts = f"{long.counts[name]:>13}{short.counts[name]:>11}"
        print(f"  {name:16}{long.median(name) * 1e3:>6.1f} ms{ratio:>19.2f}{counts}")
        check(f"statements of a {name}, by the number of messages", long.counts[name], short.counts[name])
    long.store.close()
    short.store.close()


def state(folder: Path, messages: int, rounds: int) -> None:
    """A write of the state beside an append, in turns, once the log has grown."""
    with SessionStore.open(f"sqlite:///{folder}/state.db", index="off") as store:
        session, repeat = store.session("benchmark"), 40
        for _ in range(messages // 100):
            session.append(turns(100))
        seconds: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            start = time.perf_counter()
            for _ in range(repeat):
                session.append(Message.user(TEXT))
            middle = time.perf_counter()
            for number in range(repeat):
                session.state[f"step {number % MARKS}"] = TEXT
            seconds["append"].append((middle - start) / repeat)
            seconds["state"].append((time.perf_counter() - middle) / repeat)
        check("messages", session.count(), messages // 100 * 100 + rounds * repeat)
        check("writes of the state", session.state.revision, rounds * repeat)
        check("versions of it", len(session.state.history()), rounds * repeat)
    append, write = (statistics.median(seconds[name]) for name in ("append", "state"))
    print("A write of the state beside an append")
    print(f"  append {append * 1e6:,.0f} us, write {write * 1e6:,.0f} us: {write / append:.2f} times ", end="")
    print(f"(at most {STATE_AT_MOST})")


def sweep(folder: Path, sessions: int) -> None:
    """The same number of sessions expired by one process, and by several at once."""
    took: dict[int, float] = {}
    for processes in (1, SWEEPERS):
        url = f"sqlite:///{folder}/sweep{processes}.db"
        with SessionStore.open(url, index="off") as store:
            asyncio.run(make_due(store, sessions))
            reports, took[processes] = together(sweep_once, url, processes)
            expired = [name for report in reports for name in report]
            check("sessions in the reports", len(expired), sessions)
            check("different ones", len(set(expired)), sessions)
            check("sessions by how often they have changed", changes(store), {1: sessions})
            check("sessions still due", store.sweep(dry_run=True).expired, ())
    seconds = took[SWEEPERS]
    print(f"{sessions:,} sessions due, {SWEEPERS} processes sweeping at once: each expired once")
    print(f"  {seconds:.2f} s, {sessions / seconds:,.0f} sessions a second, ", end="")
    print(f"{seconds / took[1]:.2f} times as long as one process alone")


async def make_due(store: SessionStore, sessions: int) -> None:
    """Make sessions that are past their deadline as soon as they are made."""
    at_once = 200
    for start in range(0, sessions, at_once):
        names = [f"session {number}" for number in range(start, min(start + at_once, sessions))]
        await asyncio.gather(*(store.asession(name, idle_timeout=timedelta(microseconds=1)) for name in names))


def changes(store: SessionStore) -> dict[int, int]:
    """How many sessions have changed how often."""
    found: dict[int, int] = defaultdict(int)
    page = store.sessions(limit=1_000)
    while True:
        for session in page.items:
            found[session.revision] += 1
        if page.next_cursor is None:
            return dict(found)
        page = store.sessions(limit=1_000, before=page.next_cursor)


def sweep_once(store: SessionStore, _number: int, _times: int) -> tuple[str, ...]:
    """The sessions that one sweep of one process has expired."""
    return store.sweep().expired


def crowd(folder: Path, writes: int) -> None:
    """Writers of one session's state at once: one alone, then in threads, then in processes."""
    print(f"{WRITERS} writers of one session's state, {writes:,} writes each")
    alone = 0.0
    for name, count in (("one alone", 1), ("threads", WRITERS), ("processes", WRITERS)):
        url = f"sqlite:///{folder}/{name.replace(' ', '-')}.db"
        with SessionStore.open(url, index="off") as store:
            where = url if name == "processes" else store
            _, seconds = together(write_own, where, count, writes)
            check_own(store.session(SHARED), count, writes)
            rate = count * writes / seconds
            alone = alone or rate
            print(f"  {name:12}own keys: {rate:>6,.0f} writes a second, {rate / alone:.1f} times one alone")
            if count > 1:
                state = store.session(SHARED).state
                before = state.revision
                succeeded, seconds = together(count_up, where, count, writes)
                check("the count", state["count"], sum(succeeded))
                check("the revision", state.revision - before, sum(succeeded))
                print(
                    f"  {'':12}one key, expected_revision: {sum(succeeded):,} of {count * writes:,} succeeded, ", end=""
                )
                print(f"the count is {state['count']:,}; {count * writes / seconds:,.0f} tries a second")


def check_own(session: Session, writers: int, writes: int) -> None:
    """Every write of every writer is there, in its order."""
    for number in range(writers):
        history = [write.value for write in session.state.history(f"writer {number}")]
        check(f"writes of writer {number}", history, list(range(writes)))
    wanted = {f"writer {number}": writes - 1 for number in range(writers)}
    check("the state", dict(sorted(session.state.all().items())), dict(sorted(wanted.items())))
    check("the revision", session.state.revision, writers * writes)


def write_own(store: SessionStore, number: int, times: int) -> None:
    """Write a key that nobody else writes."""
    state = store.session(SHARED).state
    for value in range(times):
        state[f"writer {number}"] = value


def count_up(store: SessionStore, _number: int, times: int) -> int:
    """Try to add one to a number that all count; how often nobody else was faster."""
    state, succeeded = store.session(SHARED).state, 0
    for _ in range(times):
        revision = state.revision
        try:
            state.update({"count": state.get("count", 0) + 1}, expected_revision=revision)
        except StateConflict:
            continue
        succeeded += 1
    return succeeded


def together(work: Work[T], where: SessionStore | str, count: int, times: int = 0) -> tuple[list[T], float]:
    """Run ``work`` so often at the same moment: what each answered, and seconds from the first start to the last end.

    In threads that share the store ``where``, or in processes that each open the URL ``where``.
    """
    jobs = [(work, where, number, times) for number in range(count)]
    if isinstance(where, str):
        context = multiprocessing.get_context("spawn")
        with context.Pool(count, _meet, (context.Barrier(count),)) as pool:
            ran = pool.map(_run, jobs, chunksize=1)
    else:
        with ThreadPool(count, _meet, (threading.Barrier(count),)) as pool:
            ran = pool.map(_run, jobs, chunksize=1)
    return [answer for _, _, answer in ran], max(end for _, end, _ in ran) - min(start for start, _, _ in ran)


_meeting: list[Any] = []
"""Where those who run at the same moment wait for each other."""


def _meet(barrier: Any) -> None:
    _meeting[:] = [barrier]


def _run(job: Job[T]) -> tuple[float, float, T]:
    work, where, number, times = job
    store = SessionStore.open(where, index="off") if isinstance(where, str) else where
    _meeting[0].wait()
    start = time.time()
    answer = work(store, number, times)
    end = time.time()
    if store is not where:
        store.close()
    return start, end, answer


PARTS = ("branches", "state", "sweep", "crowd")


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all where none is named")
    parser.add_argument("--messages", type=int, default=10_000, help="in the session that is forked, and written to")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--sessions", type=int, default=10_000, help="that are due")
    parser.add_argument("--writes", type=int, default=1_000, help="of each writer")
    options = parser.parse_args()
    unknown = set(options.parts).difference(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as name:
        folder, parts = Path(name), options.parts or PARTS
        if "branches" in parts:
            branches(folder, options.messages, max(3, options.rounds // 3))
        if "state" in parts:
            state(folder, options.messages, options.rounds)
        if "sweep" in parts:
            sweep(folder, options.sessions)
        if "crowd" in parts:
            crowd(folder, options.writes)


if __name__ == "__main__":
    main()
