"""How well past messages are found: the store's own search, asked the questions of a file whose answers are known.

    python benchmarks/recall.py path/to/locomo10.json
    python benchmarks/recall.py path/to/questions.jsonl --modes hybrid --json scores.jsonl
    python benchmarks/recall.py path/to/locomo10.json --index http://127.0.0.1:9200

All conversations are put into one store, each as a user of its own. Two forms of file are read:

- LoCoMo (Maharana et al. 2024): a JSON list of samples with ``conversation`` and ``qa``. Its licence is CC BY-NC, so it
  is not part of this project.
- JSON lines: ``{"conversation": c, "session": s, "id": i, "speaker": n, "text": t, "created_at": iso}`` for a message,
  ``{"conversation": c, "question": q, "gold": [i, …], "category": k}`` for a question; ``speaker``, ``created_at`` and
  ``category`` may be left out.

Printed are the means over questions of R@k (the share of the gold messages among the first k), hit@10 (any of them) and
nDCG@10, with 95 % bootstrap intervals, by category; the same for sessions; and what it took. With ``--index`` the same
store is searched through Elasticsearch too, and told is how many of the first ten both found.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from agent_session_core import Message, SessionStore

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
UNANSWERABLE = "adversarial"
"""Questions that the conversation does not answer: their sessions are sought, not their messages."""
METRICS = ("R@5", "R@10", "hit@10", "nDCG@10")
DEPTH = 10


@dataclass
class Question:
    """A question and where its answer stands."""

    text: str
    category: str
    gold: frozenset[str]


@dataclass
class Conversation:
    """A user's sessions, each with its messages in order, and the questions about them."""

    name: str
    sessions: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    questions: list[Question] = field(default_factory=list)

    def session_of(self, message_id: str) -> str:
        """The session in which a message stands."""
        return next(name for name, said in self.sessions.items() if any(m.id == message_id for m in said))


def read(path: Path) -> list[Conversation]:
    """The conversations of a file of either form."""
    text = path.read_text(encoding="utf-8")
    return list(_locomo(json.loads(text))) if text.lstrip().startswith("[") else list(_lines(text.splitlines()))


def _locomo(samples: Iterable[dict[str, Any]]) -> Iterator[Conversation]:
    for sample in samples:
        made = Conversation(sample["sample_id"])
        held = sample["conversation"]
        for name in sorted((key for key in held if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key[8:])):
            at = datetime.strptime(held[f"{name}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=timezone.utc)
            for turn in held[name]:
                photo = turn.get("blip_caption")
                text = f"{turn['text']} [shared a photo: {photo}]" if photo else turn["text"]
                said = Message.user(text, id=turn["dia_id"], author=turn["speaker"], created_at=at)
                made.sessions[name].append(said)
        known = {message.id for messages in made.sessions.values() for message in messages}
        for asked in sample["qa"]:
            named = re.findall(r"D:?(\d+):(\d+)", " ".join(asked.get("evidence") or []))
            gold = frozenset(f"D{int(session)}:{int(turn)}" for session, turn in named) & known
            if gold:
                made.questions.append(Question(asked["question"], CATEGORIES[asked["category"]], gold))
        yield made


def _lines(lines: Iterable[str]) -> Iterator[Conversation]:
    made: dict[str, Conversation] = {}
    for line in lines:
        if not line.strip():
            continue
        entry = json.loads(line)
        conversation = made.setdefault(entry["conversation"], Conversation(entry["conversation"]))
        if "question" in entry:
            gold = frozenset(entry["gold"])
            conversation.questions.append(Question(entry["question"], entry.get("category", "all"), gold))
        else:
            at = datetime.fromisoformat(entry["created_at"]) if "created_at" in entry else None
            said = Message.user(entry["text"], id=entry["id"], author=entry.get("speaker"), created_at=at)
            conversation.sessions[entry["session"]].append(said)
    return iter(made.values())


def fill(store: SessionStore, conversations: Sequence[Conversation]) -> int:
    """Put the conversations into the store; how many messages there are."""
    count = 0
    for conversation in conversations:
        for name, messages in conversation.sessions.items():
            session = store.session(f"{conversation.name}/{name}", user_id=conversation.name)
            count += len(session.append(messages))
    return count


def scores(ranked: Sequence[str], gold: frozenset[str]) -> dict[str, float]:
    """The metrics of one question."""
    gains = [1 / math.log2(place + 2) for place, item in enumerate(ranked[:DEPTH]) if item in gold]
    ideal = sum(1 / math.log2(place + 2) for place in range(min(DEPTH, len(gold))))
    return {
        "R@5": len(gold.intersection(ranked[:5])) / len(gold),
        "R@10": len(gold.intersection(ranked[:10])) / len(gold),
        "hit@10": float(bool(gains)),
        "nDCG@10": sum(gains) / ideal,
    }


def interval(values: Sequence[float], draws: int = 1_000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean."""
    chance = random.Random(0)
    means = sorted(statistics.fmean(chance.choices(values, k=len(values))) for _ in range(draws))
    return means[draws // 40], means[-draws // 40]


Ask = Callable[[Conversation, Question], Sequence[str]]


def ask_all(
    conversations: Sequence[Conversation], ask: Ask, gold_of: Callable[..., frozenset[str]]
) -> list[dict[str, Any]]:
    """Every question with its scores and the seconds it took."""
    rows = []
    for conversation in conversations:
        for question in conversation.questions:
            start = time.perf_counter()
            ranked = ask(conversation, question)
            taken = time.perf_counter() - start
            row = {"conversation": conversation.name, "question": question.text, "category": question.category}
            metrics = scores(ranked, gold_of(conversation, question))
            rows.append(row | metrics | {"seconds": taken, "found": list(ranked)})
    return rows


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of one way to search."""
    if not rows:
        return
    print(f"\n{title}: {len(rows)} questions")
    print(f"  {'':14}" + "".join(f"{metric:>10}" for metric in METRICS))
    for category in (None, *sorted({row["category"] for row in rows})):
        chosen = [row for row in rows if category in (None, row["category"])]
        means = "".join(f"{statistics.fmean(row[metric] for row in chosen):10.3f}" for metric in METRICS)
        print(f"  {category or 'all':14}{means}   n={len(chosen)}")
    bounds = [interval([row[metric] for row in rows]) for metric in METRICS]
    print(f"  {'95 %':14}" + "".join(f" {low:.2f}-{high:.2f}" for low, high in bounds))
    taken = sorted(row["seconds"] * 1_000 for row in rows)
    print(f"  a question: p50 {taken[len(taken) // 2]:.1f} ms, p95 {taken[len(taken) * 95 // 100]:.1f} ms")


def measure(
    store: SessionStore, conversations: Sequence[Conversation], modes: Sequence[str], title: str
) -> list[dict[str, Any]]:
    """Ask everything in each of the modes, and print the tables."""
    written = []
    for mode in modes:

        def messages(conversation: Conversation, question: Question, mode: Any = mode) -> Sequence[str]:
            hits = store.search(question.text, user_id=conversation.name, mode=mode, limit=DEPTH)
            return [hit.message.id or "" for hit in hits]

        def sessions(conversation: Conversation, question: Question, mode: Any = mode) -> Sequence[str]:
            hits = store.search(question.text, user_id=conversation.name, mode=mode, group_by="session", limit=DEPTH)
            return [hit.session_id.split("/", 1)[1] for hit in hits]

        rows = ask_all(conversations, messages, lambda _, question: question.gold)
        show(f"{title}{mode}, messages", [row for row in rows if row["category"] != UNANSWERABLE])
        by_session = ask_all(conversations, sessions, lambda held, asked: frozenset(map(held.session_of, asked.gold)))
        show(f"{title}{mode}, sessions", by_session)
        written += [{"mode": mode, "unit": "message"} | row for row in rows]
        written += [{"mode": mode, "unit": "session"} | row for row in by_session]
    return written


def overlap(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> float:
    """The share of the first ten that both found, over the questions for messages."""
    pairs = [(set(a["found"]), set(b["found"])) for a, b in zip(ours, theirs, strict=True) if a["unit"] == "message"]
    return statistics.fmean(len(a & b) / max(len(a), len(b)) for a, b in pairs if a or b)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--modes", nargs="+", default=["keyword", "semantic", "hybrid"])
    parser.add_argument("--analyzer", default="english", choices=["english", "none"])
    parser.add_argument("--half", type=int, choices=[0, 1], help="only every other conversation, from this one on")
    parser.add_argument(
        "--index", nargs="+", default=[], metavar="URL", help="also through these Elasticsearch servers"
    )
    parser.add_argument("--json", type=Path, help="write one line a question here")
    options = parser.parse_args()
    conversations = read(options.file)[options.half :: 2] if options.half is not None else read(options.file)
    written: list[dict[str, Any]] = []
    own: list[dict[str, Any]] = []
    for index in (None, *options.index):
        with (
            tempfile.TemporaryDirectory() as folder,
            SessionStore.open(f"sqlite:///{folder}/recall.db", analyzer=options.analyzer, index=index) as store,
        ):
            start = time.perf_counter()
            count = fill(store, conversations)
            filled = time.perf_counter()
            if index is not None:
                store.index_worker().catch_up()
            store.search("warm up", wait=True)
            indexed = time.perf_counter()
            print(
                f"{index or 'embedded'}: {count:,} messages of {len(conversations)} users stored in "
                f"{filled - start:.2f} s, indexed in {indexed - filled:.2f} s "
                f"({(indexed - filled) / count * 1e3:.2f} ms a message)"
            )
            rows = measure(store, conversations, options.modes, "" if index is None else f"{index} ")
            if index is None:
                own = rows
            else:
                for mode in options.modes:
                    both = ([row for row in some if row["mode"] == mode] for some in (own, rows))
                    print(f"{index} {mode}: {overlap(*both):.3f} of the first ten are those of the embedded index")
            written += [{"index": index} | row for row in rows]
    if options.json:
        options.json.write_text("".join(json.dumps(row) + "\n" for row in written), encoding="utf-8")


if __name__ == "__main__":
    main()
