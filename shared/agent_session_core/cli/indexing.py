"""``index``: a worker that brings changes to the search index on Elasticsearch."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from agent_session_core.cli.mistakes import Mistake
from agent_session_core.cli.opening import DEFAULT_URL, Db, Index, Json, opened
from agent_session_core.cli.progress import counted
from agent_session_core.cli.screen import console, count, errors, line, print_json

if TYPE_CHECKING:
    from agent_session_core.ports import IndexWorker

__all__ = ["index"]


def index(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written, until stopped.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.1, max=3_600, metavar="SECONDS", help="How often to tell how it stands.")
    ] = 10.0,
    telemetry: Annotated[
        bool, typer.Option("--telemetry", help="Send spans and metrics, as opentelemetry-instrument was told to.")
    ] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    index: Index = None,
) -> None:
    """Bring changes of all tenants to the index on Elasticsearch; several may run at once. SIGTERM ends it cleanly."""
    if index is None:
        raise Mistake("--index: name the Elasticsearch server, here or in SESSION_CORE_INDEX")
    with opened(db, index=True, server=index, telemetry=telemetry) as store, store.index_worker() as worker:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        telling = _Telling(worker, every, json=json)
        worker.told = telling.delivered
        with counted("Indexing", worker.backlog().messages, things=True) as advance:
            telling.advance = advance
            worker.catch_up(telling.now_and_then)
        telling.tell()
        if follow:
            worker.follow(telling.now_and_then)
            telling.tell()


class _Telling:
    """Tells how a worker stands: what it has delivered, how fast, and what waits."""

    def __init__(self, worker: IndexWorker, every: float, *, json: bool) -> None:
        self.advance: Callable[[int], None] = lambda _: None
        self._worker = worker
        self._every = every
        self._json = json
        self._screen: Console = console()
        self._count = 0
        self._last = (time.monotonic(), 0)
        self._told: dict[str, Any] = {}

    def delivered(self, messages: int) -> None:
        """So many messages more are in the index."""
        self._count += messages
        self.advance(messages)
        self.now_and_then()

    def now_and_then(self) -> None:
        """Tell, if it is time to, and something has changed."""
        if time.monotonic() - self._last[0] >= self._every:
            self.tell()

    def tell(self) -> None:
        """Tell how it stands, where that is not what was told last."""
        at, before = self._last
        now = time.monotonic()
        self._last = now, self._count
        error = self._worker.last_error
        pending = self._worker.backlog()
        standing = {
            "delivered": self._count,
            "pending": pending.messages,
            "error": None if error is None else str(error),
        }
        if standing == self._told:
            return
        self._told = standing
        rate = (self._count - before) / max(now - at, 0.001)
        if self._json:
            print_json(standing | {"rate": round(rate, 1), "lag": round(pending.age, 1)}, indent=None)
        else:
            waiting = "up to date"
            if pending.messages:
                waiting = f"{count(pending.messages, 'message')} behind, the oldest by {pending.age:,.1f} s"
            self._screen.print(f"{count(self._count, 'message')} indexed ({rate:,.0f} a second), {waiting}")
            if error is not None:
                errors().print(line(str(error)), style="yellow")
