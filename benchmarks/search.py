"""What a search costs: scopes of 1,000, 10,000 and 100,000 messages, and one of 1,000 in a database of a million.

    python benchmarks/search.py                          # the three scopes, each in a database of its own
    python benchmarks/search.py --sizes 1000 --others 1000000

Per scope: what indexing takes a message (embedding included), bytes a message on disk, memory, and the p50 and p95 of a
whole search without embedding its question: hot (all in memory), after an append that another process has indexed,
after an append that the search indexes itself (a commit, with its sync of the disk), and cold (nothing of it in
memory). In brackets stand the figures to be held to.
"""

# ruff: noqa: SLF001 - it times the index from inside

from __future__ import annotations

import argparse
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_session_core import Message, SessionStore
from agent_session_core.embedding import WordLlamaEmbedder
from agent_session_core.search.embedded import EmbeddedIndex
from agent_session_core.search.request import SearchRequest

HELD_TO: dict[int, dict[str, tuple[float, float]]] = {
    1_000: {"hot": (0.6, 1.3), "after an append elsewhere": (1.1, 1.8), "cold": (4, 9)},
    10_000: {"hot": (3.5, 9), "after an append elsewhere": (6, 17), "cold": (53, 97)},
    100_000: {"hot": (36, 63), "after an append elsewhere": (51, 82), "cold": (800, 1_030)},
}
"""p50 and p95 in milliseconds; twice as much is acceptable in a first version."""
IN_A_SESSION = 100
BATCH = 5_000


def vocabulary(chance: random.Random, size: int = 20_000) -> tuple[list[str], list[float]]:
    """Made-up words, as often as words are: the second half as often as the first, and so on."""
    letters = "abcdefghijklmnoprstuvw"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(size)]
    total, cumulated = 0.0, []
    for rank in range(size):
        total += 1 / (rank + 5)
        cumulated.append(total)
    return words, cumulated


class Corpus:
    """Texts of about 20 words, and questions of 6 that somebody could have had in mind about them."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._words, self._cumulated = vocabulary(self._chance)

    def text(self) -> str:
        """The text of a message."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._cumulated, k=self._chance.randint(5, 35)))

    def question(self) -> str:
        """A question."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._cumulated, k=6))


class Remembering(WordLlamaEmbedder):
    """The default embedding, which costs nothing for a question that it was asked before."""

    def __init__(self) -> None:
        self._asked: dict[str, Any] = {}

    def embed_query(self, text: str) -> Any:
        """The vector of a question."""
        if text not in self._asked:
            self._asked[text] = super().embed_query(text)
        return self._asked[text]


def fill(store: SessionStore, corpus: Corpus, user: str, count: int, start: int) -> None:
    """Give a user so many messages, a hundred in a session, after ``start`` others."""
    for number in range(start // IN_A_SESSION, (start + count) // IN_A_SESSION):
        session = store.session(f"{user}/{number}", user_id=user)
        session.append([Message.user(corpus.text(), author=user) for _ in range(IN_A_SESSION)])


def timed(work: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """p50 and p95 of ``work`` in milliseconds; ``before`` runs before each round, untimed."""
    taken = []
    for _ in range(rounds):
        before()
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1_000)
    taken.sort()
    return statistics.median(taken), taken[min(rounds - 1, rounds * 95 // 100)]


def memory() -> int:
    """The most memory this process has held so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(folder: Path, size: int, others: int, rounds: int) -> None:
    """Fill a database, index it, search it, and print what each cost."""
    corpus, path = Corpus(), folder / f"search{size}.db"
    embedder = Remembering()
    embedder.embed_query("the table is read once")
    with SessionStore.open(f"sqlite:///{path}", index="off") as store:
        index, elsewhere = (EmbeddedIndex(store._database, embedder) for _ in range(2))
        print(f"\n{size:,} messages" + (f" in a database of {others:,}" if others else ""))
        spent, used = 0.0, 0
        users = [("asked", size)] + [(f"other{number}", 1_000) for number in range(others // 1_000)]
        random.Random(2).shuffle(users)
        for user, count in users:
            for start in range(0, count, BATCH):
                fill(store, corpus, user, min(BATCH, count - start), start)
                used -= _size(path, store)
                begun = time.perf_counter()
                index.drain("default")
                spent += time.perf_counter() - begun
                used += _size(path, store)
        total = sum(count for _, count in users)
        print(f"  indexing     {spent / total * 1e3:8.3f} ms a message, {used / total:,.0f} bytes a message")
        questions = [corpus.question() for _ in range(rounds)]
        for question in questions:
            embedder.embed_query(question)
        asked = iter(questions * 10)

        def ask() -> object:
            return index.search(SearchRequest(query=next(asked), tenant="default", user_id="asked"))

        def append() -> None:
            store.session("asked/0", user_id="asked").append(Message.user(corpus.text(), author="asked"))

        def append_elsewhere() -> None:
            append()
            elsewhere.drain("default")

        ask()
        wanted = HELD_TO.get(size, {})
        _show("hot", timed(ask, rounds), wanted)
        _show("after an append elsewhere", timed(ask, rounds, append_elsewhere), wanted)
        _show("indexing an append", timed(ask, rounds, append), wanted)
        _show("cold", timed(ask, max(3, min(rounds, 200_000 // size)), index._cache.clear), wanted)
        scope = index._cache.get(("default", "asked", 1))
        if scope is not None:
            print(f"  in memory    {scope.arrays.bytes / size:8,.0f} bytes a message; peak {memory() >> 20:,} MB")


def _size(path: Path, store: SessionStore) -> int:
    """Bytes of the database file, with what is still in its log."""
    store._database.read(lambda conn: conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all())
    return path.stat().st_size


def _show(name: str, taken: tuple[float, float], wanted: dict[str, tuple[float, float]]) -> None:
    held = f"   ({wanted[name][0]} / {wanted[name][1]})" if name in wanted else ""
    print(f"  {name:26} p50 {taken[0]:8.2f} ms   p95 {taken[1]:8.2f} ms{held}")


def main() -> None:
    """Measure each scope."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--others", type=int, default=0, help="messages of other users in the same database")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), size, options.others, options.rounds)


if __name__ == "__main__":
    main()
