"""The life of a session, from its start to its end: deadlines, endings, runs, and the sweep that carries them out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core.content import now, to_microseconds
from agent_session_core.erasure import erase_sessions
from agent_session_core.errors import InvalidInput, SessionError, SessionNotActive
from agent_session_core.keys import Key, check_turn, require, take_numbers
from agent_session_core.sql import blobs
from agent_session_core.sql import messages as sql_messages
from agent_session_core.sql import records as sql_records
from agent_session_core.sql import sessions as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place, Stamp
from agent_session_core.sql.sessions import Scope

__all__ = ["Retention", "SweepReport", "Sweeper", "sweep"]

BATCH = 500
"""Sessions changed in one commit."""
BROKEN_OFF_AFTER = timedelta(days=1)
"""After this, the bytes of a file that was never finished are thrown away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long sessions are kept.

    Attributes:
        archive_after: how long after its end (closed or expired) a session is archived; None for never.
        delete_after: how long after that it is deleted; None for never.

    Raises:
        InvalidInput: when one of them is no timedelta, or negative.
    """

    archive_after: timedelta | None = None
    delete_after: timedelta | None = None

    def __post_init__(self) -> None:
        for argument in ("archive_after", "delete_after"):
            duration(getattr(self, argument), argument, least=timedelta(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReport:
    """What a sweep did, or (dry) would do: the ids of the sessions."""

    expired: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def duration(
    value: object,
    argument: str,
    *,
    least: timedelta = timedelta(microseconds=1),
    most: timedelta = timedelta(days=36_500),
) -> int | None:
    """A time span in microseconds, or None.

    Raises:
        InvalidInput: when it is no timedelta, or too short or long.
    """
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise InvalidInput(
            f"{argument}: expected a timedelta, got {type(value).__name__} {_checks.shown(value)}; use one"
        )
    if not least <= value <= most:
        raise InvalidInput(f"{argument}: {_checks.shown(value)} is out of range; give {least} to {most}")
    return value // timedelta(microseconds=1)


def set_status(conn: Connection, key: Key, status: str, *, allowed: Sequence[str]) -> None:
    """Bring the session into ``status``, from one of those ``allowed``; where it is in it already, nothing happens.

    Raises:
        SessionNotFound: when it has been deleted.
        SessionNotActive: when its status does not allow it.
    """
    at = to_microseconds(now())
    check_turn(conn, key)
    row = require(conn, key)
    current = row.status_at(at)
    if current == status:
        return
    if current not in allowed:
        raise SessionNotActive(f"session {_checks.shown(key.name)}: it is {current}; restore() makes it active again")
    values: dict[str, Any] = {"status": status, "updated_at": at, "revision": row.revision + 1}
    if status == "active":
        expires_at = row.expires_at if row.expires_at is not None and row.expires_at > at else None
        idle = None if row.idle_timeout is None else at + row.idle_timeout
        values |= {
            "expires_at": expires_at,
            "due_at": min((t for t in (expires_at, idle) if t is not None), default=None),
        }
    sql.change(conn, key.params(), values)
    if "archived" in (status, current):
        sql_messages.announce_status(conn, key.tenant, [key.session])


def restart(conn: Connection, key: Key, *, keep_state: bool) -> int:
    """Begin a new run; its number.

    Raises:
        SessionNotFound: when it has been deleted.
    """
    set_status(conn, key, "active", allowed=("closed", "expired", "archived"))
    last_seq, run, _ = take_numbers(conn, key, 0)
    sql.change(conn, key.params(), {"run": run + 1})
    place = Place(key.tenant, "session", str(key.session), "state")
    there = [] if keep_state else sql_records.every(conn, place)
    if there:
        stamp = Stamp(sql_records.count_up(conn, place), key.session, last_seq, to_microseconds(now()))
        sql_records.write(conn, place, {record.key: None for record in there}, stamp)
    return run + 1


def sweep(
    database: Database, scope: Scope, retention: Retention, *, at: datetime | None = None, dry: bool = False
) -> SweepReport:
    """Carry out what is due; safe from many processes at once, each session's change happens once.

    Judged by the moment ``at``, or now. A ``dry`` one changes nothing, and tells what is due already (not what would
    follow from it).

    Raises:
        InvalidInput: when ``at`` has no time zone, or ``dry`` is neither True nor False.
    """
    _checks.flag(dry, "dry_run")
    moment = to_microseconds(now() if at is None else _checks.moment(at, "now"))
    done: dict[str, tuple[str, ...]] = {"expired": (), "archived": (), "deleted": ()}
    plan = [("expired", moment)]
    for status, after in (("archived", retention.archive_after), ("deleted", retention.delete_after)):
        if after is not None:
            plan.append((status, moment - after // timedelta(microseconds=1)))
    for status, before in plan:
        if dry:
            done[status] = tuple(database.read(partial(_due, scope=scope, status=status, before=before)))
            continue
        work = partial(_carry_out, scope=scope, status=status, before=before, at=moment)
        while batch := database.write(work):
            done[status] += tuple(batch)
    if not dry:
        before = to_microseconds(now() - BROKEN_OFF_AFTER)
        database.write(lambda conn: blobs.discard(conn, blobs.unfinished(conn, before)))
    return SweepReport(**done)


def _due(conn: Connection, scope: Scope, status: str, before: int) -> list[str]:
    return [row.session_id for row in sql.due(conn, scope, status, before, limit=None)]


def _carry_out(conn: Connection, scope: Scope, status: str, before: int, at: int) -> list[str]:
    rows = sql.due(conn, scope, status, before, limit=BATCH)
    if status == "deleted":
        erase_sessions(conn, scope.tenant, rows, user_id=scope.user_id)
    elif rows:
        sql.set_status(conn, [row.id for row in rows], status, at)
        if status == "archived":
            sql_messages.announce_status(conn, scope.tenant, [row.id for row in rows])
    return [row.session_id for row in rows]


class Sweeper:
    """Sweeps again and again, in a thread of its own, from :meth:`start` to :meth:`stop`; also a context.

    A sweep that fails is tried again at the next time; ``last_error`` tells why.
    """

    def __init__(self, sweep_once: Any, every: timedelta) -> None:
        """For the store."""
        self._sweep_once = sweep_once
        span = duration(every, "every", least=timedelta(milliseconds=10))
        if span is None:
            raise InvalidInput("every: expected a timedelta, got None; say how often to sweep")
        self._seconds = span / 1e6
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.last_report: SweepReport | None = None
        self.last_error: SessionError | None = None

    def start(self) -> Sweeper:
        """Begin, at once. Starting twice is fine."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="agent-session-sweeper", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """Let the sweep that is under way end, and sweep no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Sweeper:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        while True:
            try:
                self.last_report, self.last_error = self._sweep_once(), None
            except SessionError as error:
                self.last_error = error
            if self._stop.wait(self._seconds):
                return
