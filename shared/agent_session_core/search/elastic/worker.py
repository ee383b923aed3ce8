"""A worker: brings changes to the index in the foreground, until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from agent_session_core.search.elastic import outbox
from agent_session_core.search.elastic.follower import Follower

if TYPE_CHECKING:
    from agent_session_core.ports import Backlog
    from agent_session_core.search.elastic.delivering import Deliverer
    from agent_session_core.sql.engine import Database

__all__ = ["Worker"]

LOOK_AGAIN = 0.2
"""Seconds between two looks at changes that another worker is at."""


class Worker:
    """Delivers the changes of every tenant of a database. Several may run at once, and share the work.

    Args:
        database: the database.
        deliverer: delivers.
        upkeep: done now and then.
        look_after: seconds between two times of that.

    Attributes:
        told: called with the number of messages of each delivery.
    """

    def __init__(self, database: Database, deliverer: Deliverer, upkeep: Callable[[], None], look_after: float) -> None:
        self.told: Callable[[int], None] = lambda _: None
        self._database = database
        self._deliverer = deliverer
        self._follower = Follower(self._deliver, upkeep, look_after)

    @property
    def last_error(self) -> Exception | None:
        """Why nothing can be delivered just now, None where it can."""
        return self._follower.last_error

    def backlog(self) -> Backlog:
        """What waits to be delivered."""
        return self._database.read(outbox.backlog)

    def catch_up(self, now_and_then: Callable[[], None] = lambda: None) -> None:
        """Deliver what was written until now, or wait until others have who are at it, or until :meth:`stop`.

        Raises:
            IndexUnavailable: when the server cannot take it just now.
        """
        self._deliverer.check()
        up_to = self._database.read(outbox.newest)
        while True:
            self._deliver(self._follower)
            if self._follower.stopping or not self._deliverer.owes(up_to):
                return
            now_and_then()
            time.sleep(LOOK_AGAIN)

    def follow(self, now_and_then: Callable[[], None]) -> None:
        """Deliver what comes, and try again where that fails, until :meth:`stop`."""
        self._follower.run(now_and_then)

    def stop(self) -> None:
        """End after the batch that is under way. May be called from a signal handler."""
        self._follower.stop()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _deliver(self, follower: Follower) -> int:
        return self._deliverer.deliver(told=lambda count: self.told(count), stop=lambda: follower.interrupted)
