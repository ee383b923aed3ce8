"""Eight writers and two searchers, while Elasticsearch is killed three times and PostgreSQL once: what is lost?

    python benchmarks/chaos.py
    python benchmarks/chaos.py --seconds 15 --elasticsearch-kills 1 --postgres-kills 1

Servers of its own are started on ports that must be free (see --help), PostgreSQL with its syncs of the disk, and
stopped in the end; their data go with the next start.

Each writer is a process that appends to sessions of several users of one of two tenants, whose users and sessions have
the same names. Before the next message it notes the acknowledged one in a file of its own. Where the store is not
available, it tries the same message again. Meanwhile the servers are killed (-9), stay away for a while, and are
started again with their data.

Then every acknowledged message must be in the database once, at the place it was acknowledged for, numbered without a
gap, each writer's in its order; the index must settle and be consistent; and no search may have shown a message of
another user or tenant. Otherwise the run ends with an error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import create_engine

from agent_session_core import (
    ElasticsearchIndex,
    IndexUnavailable,
    Message,
    SessionStore,
    StorageUnavailable,
)

SERVICES = Path(__file__).parent.parent / "tests" / "services"
TENANTS = ("north", "south")
USERS = ("ana", "bruno", "clara")
SESSIONS = 2
"""Sessions of a user."""
WORDS = "boat bridge calendar camera dinner flight garden hotel letter map market museum parcel room ticket train".split
PAUSE = 0.1
"""Seconds before a message is tried again."""
GIVEN_UP = 120.0
"""Seconds for which a message is tried after the time is over."""
HEALTHY = "all is well"


class Servers(NamedTuple):
    """Where the database and the index are."""

    database: str
    elasticsearch: str

    def open(self, tenant: str, *, follow: bool) -> SessionStore:
        """The store of a tenant."""
        index = ElasticsearchIndex(self.elasticsearch, follow=follow)
        return SessionStore.open(self.database, index=index, tenant=tenant)


class Signals(NamedTuple):
    """What the processes are told."""

    over: Any
    settled: Any


class Outage(NamedTuple):
    """When (seconds since the epoch) a server was killed, and when it answered again."""

    name: str
    since: float
    until: float


@dataclass
class Searched:
    """What a searcher has seen."""

    outcomes: Counter[str] = field(default_factory=Counter)
    foreign: list[str] = field(default_factory=list)
    hits: int = 0
    longest: float = 0.0


def session_of(user: str, number: int) -> str:
    """The id of a user's session, the same in each tenant."""
    return f"{user}/{number}"


def mark_of(tenant: str, user: str) -> str:
    """What the texts of a user begin with."""
    return f"{tenant} {user}:"


def write(servers: Servers, number: int, file: Path, signals: Signals) -> None:
    """Append until it is over, and note what was acknowledged: a writer's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chance, tenant = random.Random(number), TENANTS[number % len(TENANTS)]
    with servers.open(tenant, follow=True) as store, file.open("w", encoding="utf-8") as notes:
        sessions = [
            (user, store.session(session_of(user, session), user_id=user))
            for user in USERS
            for session in range(SESSIONS)
        ]
        count = 0
        while not signals.over.is_set():
            user, session = chance.choice(sessions)
            count += 1
            text = f"{mark_of(tenant, user)} {number}-{count} {' '.join(chance.choices(WORDS(), k=8))}"
            message = Message.user(text, id=str(uuid.uuid4()))
            note: dict[str, Any] = {"id": message.id, "session": session.id, "text": text, "since": time.time()}
            note |= {"errors": 0, "seq": None}
            while note["seq"] is None and not _is_given_up(signals, note["since"]):
                try:
                    (stored,) = session.append(message)
                    note["seq"] = stored.seq
                except StorageUnavailable:
                    note["errors"] += 1
                    time.sleep(PAUSE)
            print(json.dumps(note | {"until": time.time()}), file=notes, flush=True)
        signals.settled.wait()  # what it wrote comes into the index by its own thread, as in a service that goes on


def _is_given_up(signals: Signals, since: float) -> bool:
    return bool(signals.over.is_set()) and time.time() > since + GIVEN_UP


def search(servers: Servers, number: int, signals: Signals, answer: Any) -> None:
    """Search until it is over, in the name of one user after the other: a searcher's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chance, tenant, searched = random.Random(number), TENANTS[number % len(TENANTS)], Searched()
    with servers.open(tenant, follow=False) as store:
        stores = {user: store.for_user(user) for user in USERS}
        while not signals.over.is_set():
            user = chance.choice(USERS)
            started = time.perf_counter()
            try:
                hits = stores[user].search(
                    " ".join(chance.choices(WORDS(), k=3)), on_outage=chance.choice(("raise", "keyword"))
                )
                searched.outcomes["from the database" if hits.degraded else "answered"] += 1
            except (IndexUnavailable, StorageUnavailable) as error:
                searched.outcomes[type(error).__name__] += 1
                hits = None
            searched.longest = max(searched.longest, time.perf_counter() - started)
            for hit in hits or ():
                searched.hits += 1
                shown = [hit.message, *hit.neighbours]
                mine = hit.session_id.startswith(f"{user}/")
                if not mine or not all(message.text.startswith(mark_of(tenant, user)) for message in shown):
                    searched.foreign.append(f"{tenant} {user} was shown {hit.session_id}: {hit.message.text}")
    answer.put(searched)


class Server:
    """One of the servers that tests use, on a port of its own; it is stopped at the end of a ``with`` block.

    Args:
        name: for people.
        script: starts and stops it.
        before: what it takes before the port.
        port: must be free.
        settings: environment variables.
    """

    def __init__(self, name: str, script: Path, before: tuple[str, ...], port: int, settings: dict[str, str]) -> None:
        self.name = name
        self._script = script
        self._before = before
        self._port = port
        self._settings = settings
        self.address = ""

    def __enter__(self) -> Server:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", self._port)):
                sys.exit(f"{self.name}: port {self._port} is taken; name another")
        try:
            self.address = self._run("start", *self._before)
        except BaseException:
            self._run("stop")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run("stop")

    def outage(self, seconds: float) -> Outage:
        """Kill it, and start it so many seconds later with its data."""
        since = time.time()
        self._run("kill")
        time.sleep(seconds)
        self._run("restart")
        return Outage(self.name, since, time.time())

    def _run(self, action: str, *before: str) -> str:
        command = [str(self._script), action, *before, str(self._port)]
        done = subprocess.run(  # noqa: S603
            command, env=os.environ | self._settings, stdout=subprocess.PIPE, text=True, check=True
        )
        return str(done.stdout).strip()


def kill(server: Server, times: int, seconds: float, down: float, first: float, outages: list[Outage]) -> None:
    """Kill a server so often, at times spread over so many seconds; the first at a part of its interval."""
    started = time.monotonic()
    for number in range(times):
        time.sleep(max(0.0, started + (number + first) * seconds / times - time.monotonic()))
        outages.append(server.outage(down))
        told = outages[-1]
        print(f"  {told.name} was killed, and answered again {told.until - told.since:.1f} s later", flush=True)


@contextmanager
def processes(*jobs: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Run functions with their arguments in processes of their own, which are killed if they go on afterwards."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=target, args=arguments, daemon=True) for target, *arguments in jobs]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()


def check_running(started: Sequence[Any]) -> None:
    """End the run where a process has ended before its time."""
    ended = [process.exitcode for process in started if process.exitcode is not None]
    if ended:
        sys.exit(f"{len(ended)} of the writers and searchers have ended before their time: the error is above")


def settle(servers: Servers, limit: float, mistakes: list[str]) -> None:
    """Wait until nothing is pending, and compare the index with what is stored."""
    engine = create_engine(servers.database)

    def pending() -> int:
        with engine.connect() as conn:
            return int(conn.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())

    started = time.monotonic()
    first = left = pending()
    while left and time.monotonic() < started + limit:
        time.sleep(0.2)
        left = pending()
    engine.dispose()
    print(f"the index: {first:,} changes pending at the end, {left:,} of them {time.monotonic() - started:.1f} s later")
    if left:
        mistakes.append(f"{left} changes are pending {limit:.0f} s after the end")
    for tenant in TENANTS:
        with servers.open(tenant, follow=False) as store:
            report = store.verify()
        print(f"  {tenant}: {report}")
        if not report.consistent or report.pending:
            mistakes.append(f"the index of {tenant} is not as the database: {report}")


def compare(servers: Servers, notes: list[list[dict[str, Any]]], mistakes: list[str]) -> None:
    """Look for every acknowledged message in the database."""
    stored: dict[tuple[str, str, str], int] = {}
    total = 0
    for tenant in TENANTS:
        with servers.open(tenant, follow=False) as store:
            for session in (session_of(user, number) for user in USERS for number in range(SESSIONS)):
                found = store.session(session, create=False).messages()
                total += len(found)
                if [message.seq for message in found] != list(range(1, len(found) + 1)):
                    mistakes.append(f"{tenant}, {session}: its messages are not numbered without a gap")
                if len({message.id for message in found}) != len(found):
                    mistakes.append(f"{tenant}, {session}: a message is stored twice")
                stored |= {(tenant, session, message.text): message.seq or 0 for message in found}
    acknowledged, lost, moved, unordered, unknown = 0, 0, 0, 0, 0
    for writer, written in enumerate(notes):
        tenant, last = TENANTS[writer % len(TENANTS)], Counter[str]()
        for note in written:
            if note["seq"] is None:
                unknown += 1  # given up: it may be stored or not
                continue
            acknowledged += 1
            seq = stored.get((tenant, note["session"], note["text"]))
            lost += seq is None
            moved += seq is not None and seq != note["seq"]
            unordered += note["seq"] <= last[note["session"]]
            last[note["session"]] = note["seq"]
    print(f"{acknowledged:,} messages acknowledged, {total:,} stored, {lost} lost, {unknown} given up by their writer")
    for what, count in {"lost": lost, "elsewhere than acknowledged": moved, "out of order": unordered}.items():
        if count:
            mistakes.append(f"{count} acknowledged messages are {what}")
    if not acknowledged <= total <= acknowledged + unknown:
        mistakes.append(f"{total} messages are stored, {acknowledged} were acknowledged, {unknown} given up")


def show(notes: list[list[dict[str, Any]]], outages: list[Outage]) -> None:
    """Print how long appends took, while all was well and while a server was away."""
    waits: dict[str, list[float]] = {HEALTHY: []}
    for note in (note for written in notes for note in written if note["seq"] is not None):
        met = {one.name for one in outages if note["since"] < one.until and one.since < note["until"]}
        kind = f"{' and '.join(sorted(met))} away" if met else HEALTHY
        waits.setdefault(kind, []).append(note["until"] - note["since"])
    errors = sum(note["errors"] for written in notes for note in written)
    print(f"{errors} times the store was not available, and the same message was tried again")
    print(f"  {'append':34}{'count':>9}{'p50':>11}{'p99':>11}{'longest':>11}")
    for kind, taken in waits.items():
        if taken:
            taken.sort()
            three = (statistics.median(taken), taken[len(taken) * 99 // 100], taken[-1])
            print(f"  {kind:34}{len(taken):>9,}" + "".join(f"{seconds * 1e3:>8.1f} ms" for seconds in three))


def show_searches(searched: Iterable[Searched], mistakes: list[str]) -> None:
    """Print what the searchers have seen."""
    all_of_them = list(searched)
    outcomes = sum((one.outcomes for one in all_of_them), Counter[str]())
    told = ", ".join(f"{count:,} {name}" for name, count in outcomes.most_common())
    foreign = [shown for one in all_of_them for shown in one.foreign]
    hits, longest = sum(one.hits for one in all_of_them), max(one.longest for one in all_of_them)
    print(f"{outcomes.total():,} searches: {told}; the longest took {longest:.1f} s")
    print(f"  {hits:,} hits, {len(foreign)} of them another's")
    mistakes += foreign[:5]
    if not hits:
        mistakes.append("no search found anything")


def run(asked: argparse.Namespace, database: Server, elasticsearch: Server, folder: Path) -> list[str]:
    """Write, search and kill; what was wrong in the end."""
    servers = Servers(database.address, elasticsearch.address)
    for tenant in TENANTS:
        servers.open(tenant, follow=False).close()
    context = multiprocessing.get_context("spawn")
    signals, answers = Signals(context.Event(), context.Event()), context.Queue()
    files = [folder / f"writer-{number}.jsonl" for number in range(asked.writers)]
    writers = [(write, servers, number, file, signals) for number, file in enumerate(files)]
    searchers = [(search, servers, number, signals, answers) for number in range(asked.searchers)]
    outages: list[Outage] = []
    mistakes: list[str] = []
    with processes(*writers, *searchers) as started:
        while not all(file.exists() and file.stat().st_size for file in files):
            check_running(started)
            time.sleep(0.1)
        begun = time.monotonic()
        plan = [
            (elasticsearch, asked.elasticsearch_kills, asked.seconds, asked.down, 0.3, outages),
            (database, asked.postgres_kills, asked.seconds, asked.down, 0.55, outages),
        ]
        killers = [threading.Thread(target=kill, args=arguments, daemon=True) for arguments in plan]
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
        time.sleep(max(0.0, begun + asked.seconds - time.monotonic()))
        check_running(started)
        signals.over.set()
        searched = [answers.get(timeout=GIVEN_UP) for _ in searchers]
        print(f"{asked.writers} writers and {asked.searchers} searchers for {time.monotonic() - begun:.1f} s")
        settle(servers, asked.settle, mistakes)
        signals.settled.set()
        for process in started:
            process.join(GIVEN_UP)
            if process.exitcode:
                mistakes.append(f"a process ended with {process.exitcode}: its error is above")
        notes = [[json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in files]
        compare(servers, notes, mistakes)
        show(notes, outages)
        show_searches(searched, mistakes)
    if len(outages) != asked.elasticsearch_kills + asked.postgres_kills:
        mistakes.append(f"{len(outages)} servers were killed and came back")
    return mistakes


def main() -> None:
    """Start the servers, run, and stop them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for which the writers write, at least")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--searchers", type=int, default=2)
    parser.add_argument("--elasticsearch-kills", type=int, default=3)
    parser.add_argument("--postgres-kills", type=int, default=1)
    parser.add_argument("--down", type=float, default=3.0, help="seconds between a kill and the start")
    parser.add_argument("--settle", type=float, default=600.0, help="seconds within which the index must settle")
    parser.add_argument("--version", choices=("8", "9"), default="8", help="of Elasticsearch")
    parser.add_argument("--postgres-port", type=int, default=5485)
    parser.add_argument("--elasticsearch-port", type=int, default=9285)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = SERVICES / "postgres" / "node"
        database = Server("PostgreSQL", script, (), asked.postgres_port, {"DURABLE": "1"})
        script = SERVICES / "elasticsearch" / "node"
        index = Server("Elasticsearch", script, (asked.version,), asked.elasticsearch_port, {})
        mistakes = run(asked, stack.enter_context(database), stack.enter_context(index), folder)
    if mistakes:
        sys.exit("\n".join(mistakes))
    print("nothing was lost, doubled, out of order or shown to others")


if __name__ == "__main__":
    main()
