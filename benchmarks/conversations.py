"""A file of long conversations, loaded through the LangChain history of their sessions, and asked about.

    LOCOMO=path/to/locomo10.json python benchmarks/conversations.py "What does Caroline want to study?"

The file has the form of LoCoMo (Maharana et al. 2024; its licence is CC BY-NC, so it is no part of this project). Each
of its conversations becomes a user, each session of a conversation a session, each turn a message by its speaker.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from agent_session_core import SessionStore
from langchain_sessions import SessionChatMessageHistory, SessionRetriever

QUESTION = "What does Caroline want to study?"


def sessions(sample: dict[str, dict[str, object]]) -> Iterator[tuple[str, list[BaseMessage]]]:
    """The name of each session of a conversation, and its turns as LangChain's messages."""
    conversation = sample["conversation"]
    first = conversation["speaker_a"]
    for name, turns in conversation.items():
        if re.fullmatch(r"session_\d+", name) and isinstance(turns, list):
            kinds = [HumanMessage if turn["speaker"] == first else AIMessage for turn in turns]
            yield name, [kind(turn["text"], name=turn["speaker"]) for kind, turn in zip(kinds, turns, strict=True)]


def main() -> None:
    """Load the file, ask a question of its first conversation, and say how long both took."""
    path = os.environ.get("LOCOMO")
    if not path:
        sys.exit("LOCOMO is unset: name the file of conversations in it")
    samples = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory() as folder, SessionStore.open(f"sqlite:///{folder}/sessions.db") as store:
        start, count, number = time.perf_counter(), 0, 0
        for sample in samples:
            for name, messages in sessions(sample):
                history = SessionChatMessageHistory(
                    f"{sample['sample_id']}/{name}", store=store, user_id=sample["sample_id"]
                )
                history.add_messages(messages)
                count, number = count + len(messages), number + 1
        loaded = time.perf_counter()
        question = " ".join(sys.argv[1:]) or QUESTION
        user = samples[0]["sample_id"]
        retriever = SessionRetriever(store=store, user_id=user, k=3)
        found = retriever.invoke(question)
        first = time.perf_counter()
        retriever.invoke(question)
        again = time.perf_counter()
        print(f"{count:,} messages in {number} sessions of {len(samples)} users: loaded in {loaded - start:.2f} s")
        print(
            f"{question}  (asked of {user}: first {first - loaded:.2f} s with its indexing, then {again - first:.4f} s)"
        )
        for document in found:
            print(f"  {document.metadata['score']:.2f}  {document.metadata['session_id']}  {document.page_content}")


if __name__ == "__main__":
    main()
