"""``python -m demo``: see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import URL

from agent_session_core import SessionError, SessionStore
from agent_session_core.exchange import Problem
from demo.continuing import carry_on
from demo.questions import BUNDLED, continuing_question, questions_about
from demo.replaying import Arrival, let_in
from demo.screen import Screen
from demo.transcripts import BUNDLED_FILE, Conversation, conversations_in
from langchain_sessions import SessionRetriever


def main(arguments: Sequence[str] | None = None) -> int:
    """Show it all; 1 where the file or the database cannot be used."""
    options = _options(arguments)
    path = (options.transcript or BUNDLED_FILE).expanduser()
    try:
        items = conversations_in(path)  # before anything is shown or made
        with tempfile.TemporaryDirectory() if options.db is None else nullcontext(None) as folder:
            database = Path(folder, "demo.db") if folder is not None else options.db.expanduser()
            with SessionStore.open(URL.create("sqlite", database=str(database))) as store:
                done = _show(store, items, options, bundled=path == BUNDLED_FILE)
        sys.stdout.flush()
    except SessionError as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # somebody has seen enough, as in: make demo | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0 if done else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="One memory for LangChain and LlamaIndex.")
    parser.add_argument("--transcript", type=Path, help="a JSON-lines export, or conversations.json of ChatGPT")
    parser.add_argument("--db", type=Path, help="the SQLite file to use and keep; without it a temporary one")
    parser.add_argument("--ask", action="append", help="a question about the past; may be given several times")
    return parser.parse_args(arguments)


def _show(
    store: SessionStore, items: Iterator[Conversation | Problem], options: argparse.Namespace, *, bundled: bool
) -> bool:
    """Tell the story; False where nothing of the file could be kept."""
    screen = Screen(kept=options.db)
    screen.opening(None if bundled else options.transcript.name, added=bool(len(store.sessions(limit=1))))

    begun = time.perf_counter()
    arrivals: list[Arrival] = []
    problems: list[str] = []
    with screen.working():
        for item in items:
            if isinstance(item, Conversation):
                arrivals.append(let_in(store, item, arrivals, problems.append))
            else:
                problems.append(str(item))
    screen.arrived(arrivals, problems, seconds=time.perf_counter() - begun)
    usable = [arrival for arrival in arrivals if arrival.messages]
    if not usable:
        screen.nothing()
        return False

    latest = next((arrival for arrival in reversed(usable) if arrival.through_chain), usable[-1])
    mine = store.for_user(latest.user_id)
    session = mine.session(latest.session_id, create=False)
    before = session.count()
    alone = len(mine.sessions(limit=2)) == 1
    not_in = [] if alone else [session.id]  # what is asked is about other sessions, where there are any
    retriever = SessionRetriever(
        store=mine,
        k=3,
        roles=["user", "assistant"],
        exclude_session_ids=not_in,
        until=datetime.now(timezone.utc),  # not what the agent is about to say
    )
    asyncio.run(carry_on(mine, session.id, continuing_question(usable, latest, bundled=bundled), not_in))
    screen.continued(latest, before, session.messages(offset=before))

    questions = options.ask or (BUNDLED if bundled else questions_about(usable, latest))
    screen.questions(alone=alone, of_titles=not bundled and not options.ask)
    for each in questions:
        begun = time.perf_counter()
        found = retriever.invoke(each)
        screen.found(each, found, seconds=time.perf_counter() - begun)
    screen.closing(latest.user_id, strangers=len(store.for_user("somebody-else").search(questions[0])))
    return True


if __name__ == "__main__":
    sys.exit(main())
