"""A million messages in 10,000 sessions of 500 users, beside ten thousand: what grows with the database, and how far.

    python benchmarks/scale.py sqlite:///scale.db
    python benchmarks/scale.py postgresql+psycopg://postgres@127.0.0.1/postgres --index http://127.0.0.1:9200
    python benchmarks/scale.py URL --index off --messages 100000 --sessions 1000 --users 50

Two databases are filled, and each thing is timed on both in turns, since machines drift: an append, the last 20
messages, page 1 and page 100 of the list of sessions (or the last page, where there are fewer), and searches of a
user's messages, again and again, and by a store just opened. What is asked has the same extent on both, so each p50 on
the large one is to be at most 1.5 times that on the small one.

With Elasticsearch a process of its own brings what is stored into the index: told are how much was pending during the
load, the size of the index, and the memory of that process (to stay under 300 MB); the whole tenant is searched too.

In the end every message is counted, and index and database are compared: where something is missing, the run ends with
an error. Files must not be there yet; on a server databases are made. They are removed at last, and the indexes too.
"""

# ruff: noqa: SLF001 - it looks into the outbox

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import URL, create_engine, func, make_url, select

from agent_session_core import ElasticsearchIndex, Message, Session, SessionStore
from agent_session_core.sql.tables import database, outbox

AT_MOST = 1.5
"""Times that a p50 may be of that in the small database."""
WORKER_AT_MOST = 300
"""Megabytes that a worker may take."""
PAGE = 20
HOT = 5
"""Users whose messages are searched again and again."""
WARMING = 50
"""Rounds that do not count."""
SETTLED_WITHIN = 3_600.0
"""Seconds after the load in which the index must have caught up."""

WORDS = {
    "who": "Ana Bruno Clara David Elena Farid Greta Hugo Ines Jonas Karim Lena Marta Nils Olga Paulo",
    "does": "books cancels changes compares finds forgets moves orders plans recommends reviews sends shares writes",
    "how": "blue cheap early final heavy late long lost new old quick quiet red second small spare warm wrong",
    "what": "answer bicycle boat bridge calendar camera concert contract dinner door engine flight garden guide guitar "
    "hotel invoice jacket kitchen lamp lesson letter library map market meeting museum office orchard parcel passport "
    "photo recipe report room school song station table tent ticket train umbrella visit wallet window",
    "where": "Athens Berlin Cairo Dakar Geneva Hanoi Kyoto Lima Lisbon Madrid Oslo Prague Quito Rome Seoul Turin",
    "when": "early late monthly often rarely soon sometimes today tomorrow tonight twice weekly yearly yesterday",
}


class Sentences:
    """English-like sentences."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._words = {kind: words.split() for kind, words in WORDS.items()}

    def text(self) -> str:
        """The text of a message: two sentences."""
        return f"{self._one()} {self._one()}"

    def question(self) -> str:
        """A question about one of them."""
        pick = self._pick
        return f"Which {pick('how')} {pick('what')} does {pick('who')} have in {pick('where')}?"

    def _one(self) -> str:
        pick, number = self._pick, self._chance.randrange(10_000)
        about = f"the {pick('how')} {pick('what')} for the {pick('what')} in {pick('where')}"
        return f"{pick('who')} {pick('does')} {about} {pick('when')}, number {number}."

    def _pick(self, kind: str) -> str:
        words = self._words[kind]
        return words[int(self._chance.random() * len(words))]


class Shape(NamedTuple):
    """Who has which of the sessions; each has a name, and so has its user."""

    messages: int
    sessions: int
    users: int

    @property
    def in_a_session(self) -> int:
        return self.messages // self.sessions

    @property
    def of_a_user(self) -> int:
        return self.sessions // self.users

    def user(self, session: int) -> str:
        return f"user-{session // self.of_a_user}"

    def name(self, session: int) -> str:
        return f"{self.user(session)}/{session}"


Task = Callable[[], object]


def check(name: str, found: object, wanted: object) -> None:
    """End the run where something was counted wrong."""
    if found != wanted:
        sys.exit(f"{name}: {found!r:.200}, not {wanted!r:.200}")


class Filled:
    """A database that is filled and asked. What is asked has the same extent however much is in it.

    Each of the methods that tell a task makes it ready, and gives what is to be timed.

    Args:
        url: an empty database.
        address: of an Elasticsearch server, ``embedded`` or ``off``.
        shape: of what is filled in.
    """

    def __init__(self, url: URL, address: str, shape: Shape) -> None:
        self.shape = shape
        self.sessions = 0
        self.appended = 0
        self._url = url
        self._address = address
        self._sentences = Sentences(1)
        self._chance = random.Random(2)
        self._cursor: str | None = None
        self.store = self._open()
        self._opened = self.store

    @property
    def searches(self) -> bool:
        return self._address != "off"

    @property
    def on_server(self) -> bool:
        return self._address.startswith("http")

    def close(self) -> None:
        self.store.close()

    def pending(self) -> int:
        """Messages of which the index has not been told yet."""
        waiting = select(func.coalesce(func.sum(outbox.c.last_seq - outbox.c.first_seq + 1), 0))
        return int(self.store._database.read(lambda conn: conn.execute(waiting).scalar_one()))

    def fill(self) -> None:
        """Store every session."""
        started = time.perf_counter()
        for number in range(self.shape.sessions):
            said = [Message.user(self._sentences.text()) for _ in range(self.shape.in_a_session)]
            self.store.session(self.shape.name(number), user_id=self.shape.user(number)).append(said)
            self.sessions += 1
        seconds = time.perf_counter() - started
        rate = self.shape.messages / seconds
        print(f"  {self.shape.messages:,} messages stored in {seconds:.1f} s: {rate:,.0f} a second", flush=True)

    def index(self) -> None:
        """See to it that everything stored can be found."""
        if not self.searches:
            return
        started, before = time.perf_counter(), self.pending()
        if self.on_server:
            while self.pending():
                if time.perf_counter() - started > SETTLED_WITHIN:
                    sys.exit(f"pending messages: {self.pending():,} after {SETTLED_WITHIN:,.0f} s, not 0")
                time.sleep(0.1)
            self.store.search(self._sentences.question(), wait=True)
        else:
            for number in range(self.shape.users):
                self.store.search(self._sentences.question(), user_id=f"user-{number}")
            check("pending messages", self.pending(), 0)
        print(f"  {before:,} pending messages indexed in {time.perf_counter() - started:.1f} s", flush=True)

    def size(self) -> int:
        """Bytes of the database."""
        if self._url.get_backend_name() == "sqlite":
            return sum(file.stat().st_size for file in files_of(self._url))
        wanted = select(func.pg_database_size(func.current_database()))
        return int(self.store._database.read(lambda conn: conn.execute(wanted).scalar_one()))

    def count(self) -> None:
        """Check that all is stored, and that the index holds just that."""
        found, messages = 0, 0
        page = self.store.sessions(limit=1_000)
        while True:
            found += len(page.items)
            messages += sum(session.count() for session in page.items)
            if page.next_cursor is None:
                break
            page = self.store.sessions(limit=1_000, before=page.next_cursor)
        check("sessions", found, self.shape.sessions)
        check("messages", messages, self.shape.messages + self.appended)
        if self.searches:
            self.index()
            started = time.perf_counter()
            report = self.store.verify()
            check("pending changes", report.pending, 0)
            check("the index is consistent", (report.consistent, report.sample), (True, ()))
            print(f"  {messages:,} messages compared with the index in {time.perf_counter() - started:.1f} s: equal")

    def tasks(self) -> dict[str, Callable[[], Task]]:
        """What is timed, by its name."""
        found: dict[str, Callable[[], Task]] = {}
        if self.searches:
            found |= {"search of a user": self.search, "a user's first search": self.search_first}
        if self.on_server:
            found |= {"search of the tenant": self.search_all}
        return found | {
            "list, page 1": self.list_first,
            "list, page 100": self.list_late,
            "last 20": self.last,
            "append": self.append,
        }

    def append(self) -> Task:
        session, message = self._session(), Message.user(self._sentences.text())
        self.appended += 1
        return lambda: session.append(message)

    def last(self) -> Task:
        session = self._session()
        return lambda: check("the last 20", len(session.messages(last=20)), 20)

    def list_first(self) -> Task:
        return lambda: self._list(None)

    def list_late(self) -> Task:
        if self._cursor is None:
            for _ in range(min(99, self.shape.sessions // PAGE - 1)):
                self._cursor = self.store.sessions(limit=PAGE, before=self._cursor).next_cursor
        return lambda: self._list(self._cursor)

    def search(self) -> Task:
        user = f"user-{self._chance.randrange(min(HOT, self.shape.users))}"
        return lambda: self._search(self.store, user)

    def search_first(self) -> Task:
        """Of a store that was just opened, and has been asked by one who has nothing."""
        if self._opened is not self.store:
            self._opened.close()
        self._opened = self._open()
        self._opened.search(self._sentences.question(), user_id="nobody")
        user = f"user-{self._chance.randrange(self.shape.users)}"
        return lambda: self._search(self._opened, user)

    def search_all(self) -> Task:
        return lambda: self._search(self.store, None)

    def _open(self) -> SessionStore:
        if self.on_server:
            return SessionStore.open(self._url, index=ElasticsearchIndex(self._address, follow=False, timeout=60.0))
        return SessionStore.open(self._url, index=None if self.searches else "off")

    def _session(self) -> Session:
        return self.store.session(self.shape.name(self._chance.randrange(self.shape.sessions)), create=False)

    def _search(self, store: SessionStore, user: str | None) -> None:
        hits = store.search(self._sentences.question(), user_id=user)
        check("hits", len(hits), 10)
        if user is not None:
            check("whose hits", {hit.session_id.partition("/")[0] for hit in hits}, {user})

    def _list(self, before: str | None) -> None:
        check("sessions of a page", len(self.store.sessions(limit=PAGE, before=before).items), PAGE)


def p50_p95(taken: list[float]) -> tuple[float, float]:
    """Two percentiles of seconds, in milliseconds."""
    taken = sorted(taken)
    return statistics.median(taken) * 1e3, taken[len(taken) * 95 // 100] * 1e3


def measure(small: Filled, large: Filled, rounds: int) -> None:
    """Time each task on both databases in turns, and print the times side by side."""
    print(f"\n{'milliseconds':24}" + "".join(f"{one.shape.messages:>15,}{'':>9}" for one in (small, large)), end="")
    print(f"{'times':>9}\n{'':24}" + f"{'p50':>15}{'p95':>9}" * 2 + f"{'p50':>9}   (at most {AT_MOST})")
    for name, task in large.tasks().items():
        taken: list[list[float]] = [[], []]
        for _ in range(rounds if name != "a user's first search" else max(5, rounds // 10)):
            for times, prepare in zip(taken, (small.tasks()[name], task), strict=True):
                work = prepare()
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
        (p50, p95), (p50_large, p95_large) = (p50_p95(times[WARMING:] or times) for times in taken)
        print(f"{name:24}{p50:>15.2f}{p95:>9.2f}{p50_large:>15.2f}{p95_large:>9.2f}{p50_large / p50:>9.2f}", flush=True)
    print()


class Worker:
    """A process that brings what is stored to Elasticsearch, and a thread that watches both, within a ``with`` block.

    Args:
        filled: what is filled.
        url: its database.
        address: of the server.
    """

    def __init__(self, filled: Filled, url: URL, address: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._filled = filled
        self._stop = context.Event()
        self._process = context.Process(
            target=follow, args=(url.render_as_string(hide_password=False), address, self._stop), daemon=True
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._seen: list[tuple[float, int, int, float]] = []

    def __enter__(self) -> Worker:
        self._process.start()
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watcher.join()
        self._process.join(60)
        self._process.kill()

    def show(self) -> None:
        """Print what was pending and how much memory the worker took, over time."""
        print(f"  {'seconds':>9}{'stored':>12}{'pending':>12}{'the worker':>14}")
        for seconds, stored, pending, memory in self._seen[:: max(1, len(self._seen) // 12)]:
            print(f"  {seconds:>9.0f}{stored:>12,}{pending:>12,}{memory:>11.0f} MB")
        print(f"  most pending: {max(pending for _, _, pending, _ in self._seen):,} messages")

    def memory(self) -> float:
        """The most memory that the worker, which has ended, has held, in megabytes."""
        check("the worker's exit code", self._process.exitcode, 0)
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest of all children
        return most / (1 << 20 if sys.platform == "darwin" else 1 << 10)

    def _watch(self) -> None:
        started = time.perf_counter()
        while not self._stop.wait(1.0):
            stored = self._filled.sessions * self._filled.shape.in_a_session
            told = subprocess.run(  # noqa: S603
                ["ps", "-o", "rss=", "-p", str(self._process.pid)],  # noqa: S607
                capture_output=True,
                check=False,
            ).stdout
            memory = int(told or 0) / 1024
            self._seen.append((time.perf_counter() - started, stored, self._filled.pending(), memory))


def follow(url: str, address: str, stop: Any) -> None:
    """What the process does: its store follows by itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with SessionStore.open(url, index=address):
        stop.wait()


@contextmanager
def index_size(filled: Filled, address: str) -> Iterator[Callable[[], tuple[int, int]]]:
    """What tells the documents and bytes of a database's index; the index is deleted in the end."""
    from elasticsearch import Elasticsearch

    wanted = select(database.c.value).where(database.c.key == "identity")
    name = f"sessions-{filled.store._database.read(lambda conn: conn.execute(wanted).scalar_one())}"

    def size() -> tuple[int, int]:
        while client.indices.stats(index=name, metric="merge")["_all"]["primaries"]["merges"]["current"]:
            time.sleep(1.0)  # what comes next is asked of an index at rest
        client.indices.flush(index=name)
        told = client.indices.stats(index=name)["_all"]["primaries"]
        return told["docs"]["count"], told["store"]["size_in_bytes"]

    with Elasticsearch(address, request_timeout=60) as client:
        try:
            yield size
        finally:
            for index in client.indices.get(index=f"{name}-*"):
                client.indices.delete(index=index)


def files_of(url: URL) -> list[Path]:
    """The files of a SQLite database."""
    path = Path(url.database or "")
    return sorted(path.parent.glob(f"{path.name}*"))


@contextmanager
def empty_database(url: URL, suffix: str) -> Iterator[URL]:
    """A file beside the one that a URL names, or a database of its own on the server; removed in the end."""
    if url.get_backend_name() == "sqlite":
        url = url.set(database=f"{url.database}-{suffix}")
        if files_of(url):
            sys.exit(f"{url.database!r} is there already: remove it, or name another, sqlite:///scale.db")
        try:
            yield url
        finally:
            for file in files_of(url):
                file.unlink()
        return
    name = f"scale_{suffix}_{uuid.uuid4().hex[:8]}"
    server = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with server.connect() as conn:
        conn.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name)
    finally:
        with server.connect() as conn:
            conn.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


def run(target: URL, address: str, shapes: tuple[Shape, Shape], rounds: int) -> None:
    """Fill two databases, measure them, and count what is in them."""
    with ExitStack() as stack:
        both: list[Filled] = []
        for suffix, shape in zip(("small", "large"), shapes, strict=True):
            url = stack.enter_context(empty_database(target, suffix))
            filled = Filled(url, address, shape)
            both.append(filled)
            stack.callback(filled.close)
            if filled.on_server:
                size = stack.enter_context(index_size(filled, address))
                worker = stack.enter_context(Worker(filled, url, address))
            filled.fill()
            filled.index()
        small, large = both
        print(f"  the database: {large.size() / large.shape.messages:,.0f} bytes a message")
        if large.on_server:
            worker.show()
            documents, taken = size()
            print(f"  the index: {documents:,} documents, {taken / documents:,.0f} bytes each, {taken / 1e9:.2f} GB")
        measure(small, large, rounds)
        for filled in both:
            filled.count()
        if large.on_server:
            worker.__exit__()
            print(f"  the worker's memory: {worker.memory():.0f} MB at most (to stay under {WORKER_AT_MOST})")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="sqlite:///scale.db, or a database of a PostgreSQL server")
    parser.add_argument("--index", default="embedded", help="embedded, off, or the address of an Elasticsearch server")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--small", type=int, default=10_000, help="messages beside which those are measured")
    parser.add_argument("--rounds", type=int, default=250, help=f"of each task; the first {WARMING} do not count")
    asked = parser.parse_args()
    large = Shape(asked.messages, asked.sessions, asked.users)
    if asked.messages % asked.sessions or asked.sessions % asked.users or large.in_a_session < PAGE:
        parser.error(f"give each user the same number of sessions, and each session as many messages, {PAGE} or more")
    users = asked.small // (large.of_a_user * large.in_a_session)
    small = Shape(users * large.of_a_user * large.in_a_session, users * large.of_a_user, users)
    if small.messages != asked.small or small.sessions < PAGE:
        parser.error("--small: give as many messages as some users have, and a page of sessions")
    if asked.index not in ("embedded", "off") and not asked.index.startswith("http"):
        parser.error("--index: give embedded, off, or http://host:9200")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"{asked.messages:,} messages in {asked.sessions:,} sessions of {asked.users:,} users, index: {asked.index}")
    run(make_url(asked.url), asked.index, (small, large), asked.rounds)


if __name__ == "__main__":
    main()
