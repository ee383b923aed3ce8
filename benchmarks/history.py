"""Histories side by side: this store, the raw sqlite3 floor, LangChain community's and LlamaIndex's SQL stores.

    python benchmarks/history.py                  # 1,000 and 10,000 messages
    python benchmarks/history.py --sizes 1000

Every figure is a ratio to the floor of the same run and size: two columns, WAL, synchronous=FULL, one commit a message,
JSON decoded on read. Rounds of all the contenders are interleaved and the medians compared, since machines drift. Each
database's WAL is grown before anything is timed. Ratios above 1 are slower than the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sqlite3
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent_session_core import Message, Session, SessionStore

TEXT = "We leave Lisbon on the fourth of May and come back on the eleventh, with the night train by way of Madrid. "
AT_MOST = {
    "append": 2.0,
    "append, async": 3.0,
    "batch of 100": 1.75,
    "batch of 100, async": 2.0,
    "last 20": 1.75,
    "last 20, async": 3.5,
    "load all": 1.5,
}
"""The ratios that the store is held to."""


class Floor:
    """What sqlite3 itself costs: a table of two columns."""

    def __init__(self, folder: Path) -> None:
        self.db = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("CREATE TABLE history (id INTEGER PRIMARY KEY, payload TEXT)")
        self.payload = json.dumps({"role": "user", "text": TEXT})

    def append(self) -> None:
        self.db.execute("INSERT INTO history (payload) VALUES (?)", (self.payload,))

    def batch(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany("INSERT INTO history (payload) VALUES (?)", [(self.payload,)] * 100)
        self.db.execute("COMMIT")

    def last(self) -> None:
        rows = self.db.execute("SELECT payload FROM history ORDER BY id DESC LIMIT 20").fetchall()
        assert len([json.loads(row[0]) for row in reversed(rows)]) == 20

    def load(self) -> None:
        assert [json.loads(row[0]) for row in self.db.execute("SELECT payload FROM history ORDER BY id")]


class Ours:
    """A session of the store."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/ours.db"
        self.store = SessionStore.open(self.url, index="off")
        self.session: Session = self.store.session("benchmark")
        self.hundred = [Message.user(TEXT) for _ in range(100)]  # the floor's payload is ready too

    def append(self) -> None:
        self.session.append(Message.user(TEXT))

    def batch(self) -> None:
        self.session.append(self.hundred)

    def last(self) -> None:
        assert len(self.session.messages(last=20)) == 20

    def load(self) -> None:
        assert self.session.messages()

    async def aappend(self) -> None:
        await self.session.aappend(Message.user(TEXT))

    async def abatch(self) -> None:
        await self.session.aappend(self.hundred)

    async def alast(self) -> None:
        assert len(await self.session.amessages(last=20)) == 20


class LangChainCommunity:
    """langchain_community's SQLChatMessageHistory; it has no reading of the last few."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package announces its own end
            from langchain_community.chat_message_histories import SQLChatMessageHistory
        from langchain_core.messages import HumanMessage

        self.human = HumanMessage
        self.history = SQLChatMessageHistory("benchmark", connection=f"sqlite:///{folder}/langchain.db")

    def append(self) -> None:
        self.history.add_messages([self.human(TEXT)])

    def batch(self) -> None:
        self.history.add_messages([self.human(TEXT) for _ in range(100)])

    def load(self) -> None:
        assert self.history.messages


class LlamaIndexSql:
    """llama_index's SQLAlchemyChatStore, async only."""

    def __init__(self, folder: Path) -> None:
        from llama_index.core.llms import ChatMessage
        from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

        self.message = ChatMessage
        self.store = SQLAlchemyChatStore("benchmark", async_database_uri=f"sqlite+aiosqlite:///{folder}/llama.db")

    async def aappend(self) -> None:
        await self.store.add_message("benchmark", self.message(content=TEXT))

    async def abatch(self) -> None:
        await self.store.add_messages("benchmark", [self.message(content=TEXT) for _ in range(100)])

    async def alast(self) -> None:
        assert await self.store.get_messages("benchmark", limit=20)

    async def aload(self) -> None:
        assert await self.store.get_messages("benchmark")


Task = Callable[[], object]
AsyncTask = Callable[[], Awaitable[object]]


async def median_seconds(tasks: dict[str, Task | AsyncTask], *, rounds: int, repeat: int) -> dict[str, float]:
    """The median seconds of one call of each task, the tasks taking turns in every round."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.perf_counter()
            for _ in range(repeat):
                answer = task()
                if asyncio.iscoroutine(answer):
                    await answer
            times[name].append((time.perf_counter() - start) / repeat)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def grow(contenders: list[Any], size: int) -> None:
    """Give every history ``size`` messages, which grows every WAL too."""
    for contender in contenders:
        for _ in range(size // 100):
            if hasattr(contender, "batch"):
                contender.batch()
            else:
                asyncio.run(contender.abatch())


async def measure(floor: Floor, ours: Ours, langchain: Any, llama: Any) -> dict[str, dict[str, float]]:
    """Seconds of each contender, by task."""
    table: dict[str, dict[str, float]] = {}
    plans: list[tuple[str, int, int, dict[str, Any]]] = [
        ("load all", 9, 1, {"ours": ours.load, "langchain": langchain.load, "llamaindex": llama.aload}),
        ("last 20", 15, 40, {"ours": ours.last}),
        ("last 20, async", 15, 40, {"ours": ours.alast, "llamaindex": llama.alast}),
        ("append", 15, 20, {"ours": ours.append, "langchain": langchain.append}),
        ("append, async", 15, 20, {"ours": ours.aappend, "llamaindex": llama.aappend}),
        ("batch of 100", 7, 2, {"ours": ours.batch, "langchain": langchain.batch}),
        ("batch of 100, async", 7, 2, {"ours": ours.abatch, "llamaindex": llama.abatch}),
    ]
    for name, rounds, repeat, tasks in plans:
        raw = {"load": floor.load, "last": floor.last, "appe": floor.append, "batc": floor.batch}[name[:4]]
        table[name] = await median_seconds({"floor": raw, **tasks}, rounds=rounds, repeat=repeat)
    return table


def crowd(floor: Floor, ours: Ours) -> None:
    """32 async appenders beside one raw thread, and 4 processes of 8 appenders each."""
    appenders, each, waits = 32, 50, list[float]()

    async def append() -> None:
        for _ in range(each):
            start = time.perf_counter()
            await ours.aappend()
            waits.append(time.perf_counter() - start)

    async def together() -> float:
        start = time.perf_counter()
        await asyncio.gather(*(append() for _ in range(appenders)))
        return appenders * each / (time.perf_counter() - start)

    raw_waits: list[float] = []
    for _ in range(appenders * each):
        start = time.perf_counter()
        floor.append()
        raw_waits.append(time.perf_counter() - start)
    rate, raw = asyncio.run(together()), len(raw_waits) / sum(raw_waits)
    queued = appenders * p99(raw_waits)  # what the last of as many callers of the raw thread would wait
    print(f"  32 async appenders: {rate / raw:.1f} times the rate of one raw thread (at least 2.5), ", end="")
    print(f"p99 {p99(waits) / queued:.2f} times its queue's (at most 0.6)")

    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        results = pool.map(writers, [ours.url] * 4)
    spans = [max(moments) - min(moments) for moments, _ in results]
    waits = [wait for _, process in results for wait in process]
    print(f"  4 processes of 8 appenders: p99 {p99(waits) * 1e3:.0f} ms (at most 100), worst ", end="")
    print(f"{max(waits) * 1e3:.0f} ms, slowest / fastest {min(spans) / max(spans):.2f} (at least 0.7)")


def writers(url: str) -> tuple[list[float], list[float]]:
    """Append from 8 threads for a while: the moments, and how long each call took."""
    moments, waits = list[float](), list[float]()
    with SessionStore.open(url, index="off") as store:
        session = store.session("benchmark")
        session.append(Message.user(TEXT))

        def append() -> None:
            for _ in range(50):
                start = time.perf_counter()
                session.append(Message.user(TEXT))
                waits.append(time.perf_counter() - start)
                moments.append(time.time())

        threads = [threading.Thread(target=append) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return moments, waits


def p99(waits: list[float]) -> float:
    """The wait that one in a hundred exceeds."""
    return sorted(waits)[int(len(waits) * 0.99)]


def main() -> None:
    """Measure and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000])
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            floor, ours, langchain, llama = (
                Floor(folder),
                Ours(folder),
                LangChainCommunity(folder),
                LlamaIndexSql(folder),
            )
            grow([floor, ours, langchain, llama], size)
            table = asyncio.run(measure(floor, ours, langchain, llama))
            print(f"{size:,} messages: times of the floor, its time, and what the store is held to")
            print(f"  {'':22}{'store':>7}{'langchain':>11}{'llamaindex':>12}{'floor':>12}{'at most':>9}")
            for task, seconds in table.items():
                row = [
                    f"{seconds[name] / seconds['floor']:.2f}" if name in seconds else "-"
                    for name in ("ours", "langchain", "llamaindex")
                ]
                raw = f"{seconds['floor'] * 1e6:.0f} us"
                print(f"  {task:22}{row[0]:>7}{row[1]:>11}{row[2]:>12}{raw:>12}{AT_MOST[task]:>9.2f}")
            crowd(floor, ours)
            ours.store.close()


if __name__ == "__main__":
    main()
