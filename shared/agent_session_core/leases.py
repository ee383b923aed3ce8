"""Leases: one worker at a time, for as long as it lives.

A lease ends by itself unless its process renews it; a thread of the process does, while the lease is held. A holder
that was replaced is told by its token, which every newer holder's exceeds (M. Kleppmann's fencing token).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import now, to_microseconds
from agent_session_core.errors import InvalidInput, SessionError, TurnTaken
from agent_session_core.keys import Key, require_active
from agent_session_core.sql import leases as sql
from agent_session_core.sql.engine import Database

T = TypeVar("T")

__all__ = ["Keeper", "NoKeeper", "Turn", "fenced", "from_now", "taken"]

LEASE = 30.0
"""Seconds until a lease ends whose process is gone, unless the store is told another time."""
POLL = (0.02, 0.5)
"""Seconds between two looks at a lease that is taken: at first, and at most."""
TURN = "turn"

_Entered: TypeAlias = tuple[int, int | None]
"""The token of a turn, and of the one that its context was in before."""

_turns: ContextVar[dict[tuple[int, int], int]] = ContextVar("agent_session_turns")
"""The tokens of the turns that a context is in, by database and session."""


def fenced(key: Key) -> Key:
    """The key for a write: with the token of the turn that this context is in, if it is in one of the session."""
    held = _turns.get({}).get((key.database, key.session))
    return key if held is None else replace(key, turn=held)


class Keeper:
    """Renews what this process holds, from one thread, until nothing is held any more.

    Attributes:
        lease: seconds until a lease ends that is not renewed.
    """

    def __init__(self, database: Database, lease: float = LEASE) -> None:
        self._database = database
        self.lease = lease
        self._process = os.getpid()
        self._holds: set[tuple[int, str, int]] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, session: int, name: str, token: int) -> None:
        """Renew this lease from now on."""
        with self._lock:
            if self._process != os.getpid():  # what a forked process inherits is its parent's to renew
                self._process, self._thread = os.getpid(), None
                self._holds.clear()
            self._holds.add((session, name, token))
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(target=self._run, name="agent-session-leases", daemon=True)
                self._thread.start()

    def holds(self, session: int, name: str, token: int | None) -> bool:
        """Whether this process still renews it."""
        with self._lock:
            return self._process == os.getpid() and (session, name, token) in self._holds

    def drop(self, session: int, name: str, token: int) -> None:
        """Renew it no longer."""
        with self._lock:
            self._holds.discard((session, name, token))
            if not self._holds:
                self._wake.set()

    def close(self) -> None:
        """Renew nothing any more, and wait for a renewal that is under way."""
        with self._lock:
            self._holds.clear()
            self._wake.set()
            thread = self._thread if self._process == os.getpid() else None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(self.lease / 3)
            with self._lock:
                if not self._holds:
                    self._thread = None  # under the lock: who holds something next starts another
                    return
                self._wake.clear()
                holds = sorted(self._holds)
            try:
                self._database.write(partial(sql.prolong, holds=holds, until=from_now(self.lease)))
            except SessionError:
                continue  # the database may be back before the leases end; if not, others may take them


class NoKeeper(Keeper):
    """For a store inside a caller's transaction: what others must see at once cannot wait for that to be committed."""

    @property
    def lease(self) -> float:
        """Refused.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput(
            "connection: turns and running tool calls cannot be held inside a transaction; use the store itself"
        )

    @lease.setter
    def lease(self, _: float) -> None:
        """Nothing is held."""


async def taken(taking: Coroutine[Any, Any, T], give_back: Callable[[T], Coroutine[Any, Any, None]]) -> T:
    """What ``taking`` takes; where the caller is cancelled meanwhile, what it took is given back before that is told.

    So that nothing stays taken by somebody who never learnt of it.
    """
    task = asyncio.ensure_future(taking)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _outlast(asyncio.ensure_future(_returned(task, give_back)))
        raise


async def _returned(task: asyncio.Future[T], give_back: Callable[[T], Coroutine[Any, Any, None]]) -> None:
    try:
        took = await task
        await give_back(took)
    except SessionError:
        pass  # nothing was taken; or the lease ends by itself


async def _outlast(task: asyncio.Future[None]) -> None:
    """Wait for ``task``, however often the waiting is cancelled."""
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue


class Turn:
    """A session's turn: a context in which this worker alone answers the session.

    It keeps out those who take the turn too, and nobody else: a write outside of any turn is stored. Writes in the
    context carry its token. Should another worker have taken the turn over, because this one stood still for longer
    than its lease, the next of them is refused with :class:`TurnTaken`, and nothing of it is stored. A turn within a
    turn of the same session belongs to it.
    """

    __slots__ = ("_database", "_entered", "_keeper", "_key", "_timeout")

    def __init__(self, database: Database, keeper: Keeper, key: Key, timeout: float) -> None:
        """For the session's handle."""
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= 86_400:
            raise InvalidInput(f"timeout: {_checks.shown(timeout)} is out of range; give 0 to 86,400 seconds")
        self._database = database
        self._keeper = keeper
        self._key = key
        self._timeout = timeout
        self._entered: list[_Entered | None] = []

    def __enter__(self) -> Turn:
        if self._within():
            return self
        deadline, pause = time.monotonic() + self._timeout, POLL[0]
        while (token := self._database.write(self._take)) is None:
            self._give_up_after(deadline)
            time.sleep(pause)
            pause = min(pause * 2, POLL[1])
        self._begin(token)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if (token := self._leave()) is not None:
            self._database.write(partial(self._give_back, token=token))

    async def __aenter__(self) -> Turn:
        if self._within():
            return self
        deadline, pause = time.monotonic() + self._timeout, POLL[0]
        while (token := await taken(self._database.awrite(self._take), self._give_back_unused)) is None:
            self._give_up_after(deadline)
            await asyncio.sleep(pause)
            pause = min(pause * 2, POLL[1])
        self._begin(token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if (token := self._leave()) is not None:
            await asyncio.shield(self._database.awrite(partial(self._give_back, token=token)))

    def _within(self) -> bool:
        """Whether the context is in a turn of the session that has not ended; then this one is a part of it."""
        within = self._keeper.holds(self._key.session, TURN, fenced(self._key).turn)
        if within:
            self._entered.append(None)
        return within

    def _take(self, conn: Connection) -> int | None:
        require_active(conn, self._key)
        at = to_microseconds(now())
        return sql.take(conn, self._key.session, TURN, at=at, until=from_now(self._keeper.lease))

    def _give_up_after(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise TurnTaken(
                f"session {_checks.shown(self._key.name)}: another worker has its turn; "
                "wait longer (timeout=) or try later"
            )

    def _begin(self, token: int) -> None:
        self._entered.append((token, fenced(self._key).turn))
        _turns.set({**_turns.get({}), (self._key.database, self._key.session): token})
        self._keeper.hold(self._key.session, TURN, token)

    def _leave(self) -> int | None:
        """Leave what was entered last; the token to be given back, where that was no part of another turn."""
        entered = self._entered.pop()
        if entered is None:
            return None
        token, outer = entered
        place, held = (self._key.database, self._key.session), dict(_turns.get({}))
        held.pop(place, None)
        _turns.set(held if outer is None else {**held, place: outer})
        self._keeper.drop(self._key.session, TURN, token)
        return token

    async def _give_back_unused(self, token: int | None) -> None:
        if token is not None:
            await self._database.awrite(partial(self._give_back, token=token))

    def _give_back(self, conn: Connection, token: int) -> None:
        sql.prolong(conn, [(self._key.session, TURN, token)], until=0)


def from_now(seconds: float) -> int:
    """The time so many seconds from now, in microseconds."""
    return to_microseconds(now()) + round(seconds * 1_000_000)
