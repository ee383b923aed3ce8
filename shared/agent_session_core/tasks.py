"""What a session has set out to do: a tree of tasks with status, progress and notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core._json import encode
from agent_session_core.content import from_microseconds, new_id, now, to_microseconds
from agent_session_core.errors import InvalidInput, TaskNotFound
from agent_session_core.keys import Key, require, take_numbers
from agent_session_core.leases import fenced
from agent_session_core.models import TASK_STATUSES, TaskStatus
from agent_session_core.record_values import value_of
from agent_session_core.sql import records as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place, Stamp

__all__ = ["Task", "TaskRecord", "Tasks"]

OPEN = ("pending", "in_progress")
"""The statuses of what is still to be done."""
MAX_NOTE = 64 * 1024
"""Characters in a note."""
MAX_DEPTH = 32
"""Levels of the tree."""

_KEEP: Any = object()  # "as it is", where None means something


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A task at one moment.

    Attributes:
        progress: 0-1. As set; else 1 when completed, else the mean of its children's that are not cancelled, else 0.
        depth: its level in the tree, from 0.
    """

    id: str
    parent_id: str | None
    title: str
    status: TaskStatus
    progress: float
    note: str | None
    created_at: datetime
    updated_at: datetime
    depth: int = 0


class Task:
    """One task, live: what it tells of itself is read when it is asked."""

    __slots__ = ("_tasks", "id")

    def __init__(self, tasks: Tasks, task_id: str) -> None:
        """For :class:`Tasks`."""
        self._tasks = tasks
        self.id = task_id

    def __repr__(self) -> str:
        return f"Task({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.id == other.id and self._tasks == other._tasks

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def parent_id(self) -> str | None:
        """The task it is a part of."""
        return self.record().parent_id

    @property
    def title(self) -> str:
        """What is to be done."""
        return self.record().title

    @property
    def status(self) -> TaskStatus:
        """``pending``, ``in_progress``, ``completed``, ``failed`` or ``cancelled``."""
        return self.record().status

    @property
    def progress(self) -> float:
        """0-1."""
        return self.record().progress

    @property
    def note(self) -> str | None:
        """What was noted last."""
        return self.record().note

    @property
    def created_at(self) -> datetime:
        """When it was added, UTC."""
        return self.record().created_at

    @property
    def updated_at(self) -> datetime:
        """When it last changed, UTC."""
        return self.record().updated_at

    def record(self) -> TaskRecord:
        """Everything about the task at this moment, in one read.

        Raises:
            TaskNotFound: when it has been deleted.
        """
        return self._tasks.get(self.id)

    async def arecord(self) -> TaskRecord:
        """As :meth:`record`."""
        return await self._tasks.aget(self.id)

    def update(
        self,
        *,
        status: TaskStatus | None = None,
        progress: float | None = _KEEP,
        note: str | None = _KEEP,
        title: str | None = None,
    ) -> TaskRecord:
        """Change the task; what is not given stays. ``progress=None`` lets it follow from the children again.

        Raises:
            InvalidInput: naming what cannot be stored.
            TaskNotFound: when it has been deleted.
            SessionNotFound: when its session has been deleted.
            SessionNotActive: when its session is closed, expired or archived.
        """
        return self._tasks.change(self.id, status=status, progress=progress, note=note, title=title)

    async def aupdate(
        self,
        *,
        status: TaskStatus | None = None,
        progress: float | None = _KEEP,
        note: str | None = _KEEP,
        title: str | None = None,
    ) -> TaskRecord:
        """As :meth:`update`."""
        return await self._tasks.achange(self.id, status=status, progress=progress, note=note, title=title)

    def delete(self) -> None:
        """Take the task out, with the tasks below it.

        Raises:
            TaskNotFound, SessionNotFound, SessionNotActive: as :meth:`update`.
        """
        self._tasks.remove(self.id)

    async def adelete(self) -> None:
        """As :meth:`delete`."""
        await self._tasks.aremove(self.id)


class Tasks:
    """The tasks of a session."""

    __slots__ = ("_database", "_key", "_place")

    def __init__(self, database: Database, key: Key) -> None:
        """For the session's handle."""
        self._database = database
        self._key = key
        self._place = Place(key.tenant, "session", str(key.session), "task")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tasks) and self._key == other._key and self._database == other._database

    def __hash__(self) -> int:
        return hash(self._key)

    def add(
        self,
        title: str,
        *,
        parent: Task | TaskRecord | str | None = None,
        note: str | None = None,
        status: TaskStatus = "pending",
    ) -> Task:
        """Add a task, at the end or below another.

        Raises:
            InvalidInput: naming what cannot be stored.
            TaskNotFound: when there is no such parent.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        return Task(self, self._database.write(self._add(title, parent, note, status)))

    async def aadd(
        self,
        title: str,
        *,
        parent: Task | TaskRecord | str | None = None,
        note: str | None = None,
        status: TaskStatus = "pending",
    ) -> Task:
        """As :meth:`add`."""
        return Task(self, await self._database.awrite(self._add(title, parent, note, status)))

    def records(self, *, open: bool = False) -> Sequence[TaskRecord]:
        """The tree as it stands, in one read: each task followed by those below it.

        Args:
            open: only what is still to be done, and what that is a part of.

        Raises:
            SessionNotFound: when the session has been deleted.
        """
        _checks.flag(open, "open")
        return _listed(self._database.read(self._all), open=open)

    async def arecords(self, *, open: bool = False) -> Sequence[TaskRecord]:
        """As :meth:`records`."""
        _checks.flag(open, "open")
        return _listed(await self._database.aread(self._all), open=open)

    def list(self, *, open: bool = False) -> Sequence[Task]:
        """The live handles of :meth:`records`, in the same order."""
        return [Task(self, record.id) for record in self.records(open=open)]

    async def alist(self, *, open: bool = False) -> Sequence[Task]:
        """As :meth:`list`."""
        return [Task(self, record.id) for record in await self.arecords(open=open)]

    def get(self, task_id: str) -> TaskRecord:
        """One task at this moment.

        Raises:
            TaskNotFound: when there is none with this id.
        """
        return self._found(self._database.read(self._all), task_id)

    async def aget(self, task_id: str) -> TaskRecord:
        """As :meth:`get`."""
        return self._found(await self._database.aread(self._all), task_id)

    def change(self, task_id: str, **changes: Any) -> TaskRecord:
        """As :meth:`Task.update`, by id."""
        return self._found(self._database.write(self._change(task_id, **changes)), task_id)

    async def achange(self, task_id: str, **changes: Any) -> TaskRecord:
        """As :meth:`change`."""
        return self._found(await self._database.awrite(self._change(task_id, **changes)), task_id)

    def remove(self, task_id: str) -> None:
        """As :meth:`Task.delete`, by id."""
        self._database.write(self._removal(task_id))

    async def aremove(self, task_id: str) -> None:
        """As :meth:`remove`."""
        await self._database.awrite(self._removal(task_id))

    def _all(self, conn: Connection) -> dict[str, dict[str, Any]]:
        rows = sql.every(conn, self._place)
        if not rows:
            require(conn, self._key)
        return {row.key: value_of("task", row) for row in rows}

    def _found(self, tasks: Mapping[str, dict[str, Any]], task_id: str) -> TaskRecord:
        for record in _listed(tasks, open=False):
            if record.id == task_id:
                return record
        raise TaskNotFound(f"task_id: {_checks.shown(task_id)} is not found; session.tasks.list() has those there are")

    def _add(
        self, title: str, parent: Task | TaskRecord | str | None, note: str | None, status: TaskStatus
    ) -> Callable[[Connection], str]:
        parent_id = (
            parent.id if isinstance(parent, Task | TaskRecord) else _checks.optional_identifier(parent, "parent")
        )
        at = to_microseconds(now())
        task: dict[str, Any] = {
            "parent_id": parent_id,
            "title": _title(title),
            "status": _status(status),
            "progress": None,
        }
        task |= {"note": _note(note), "created_at": at, "updated_at": at}
        task_id, key = new_id(), fenced(self._key)

        def work(conn: Connection) -> str:
            if parent_id is not None:
                tasks = self._all(conn)
                if self._found(tasks, parent_id).depth + 1 >= MAX_DEPTH:
                    raise InvalidInput(f"parent: the tree would be deeper than {MAX_DEPTH} levels; add it higher up")
            self._write(conn, key, {task_id: task})
            return task_id

        return work

    def _change(
        self, task_id: str, *, status: Any = None, progress: Any = _KEEP, note: Any = _KEEP, title: Any = None
    ) -> Callable[[Connection], dict[str, dict[str, Any]]]:
        changes: dict[str, Any] = {"updated_at": to_microseconds(now())}
        if status is not None:
            changes["status"] = _status(status)
        if progress is not _KEEP:
            changes["progress"] = _progress(progress)
        if note is not _KEEP:
            changes["note"] = _note(note)
        if title is not None:
            changes["title"] = _title(title)
        key = fenced(self._key)

        def work(conn: Connection) -> dict[str, dict[str, Any]]:
            tasks = self._all(conn)
            self._found(tasks, task_id)
            tasks[task_id] |= changes
            self._write(conn, key, {task_id: tasks[task_id]})
            return tasks

        return work

    def _removal(self, task_id: str) -> Callable[[Connection], None]:
        return partial(self._remove, key=fenced(self._key), task_id=_checks.identifier(task_id, "task_id"))

    def _remove(self, conn: Connection, key: Key, task_id: str) -> None:
        tasks = self._all(conn)
        self._found(tasks, task_id)
        gone, found = {task_id}, True
        parents = _parents(tasks)
        while found:
            below = {name for name, parent in parents.items() if parent in gone} - gone
            gone |= below
            found = bool(below)
        self._write(conn, key, dict.fromkeys(gone))

    def _write(self, conn: Connection, key: Key, tasks: Mapping[str, dict[str, Any] | None]) -> None:
        last_seq, _, revision = take_numbers(conn, key, 0)
        stamp = Stamp(revision, key.session, last_seq, to_microseconds(now()))
        sql.write(
            conn,
            self._place,
            {name: None if task is None else encode(task, "task") for name, task in tasks.items()},
            stamp,
        )


def _parents(tasks: Mapping[str, dict[str, Any]]) -> dict[str, str | None]:
    """Which task each stands below in the tree; None at the top.

    What was loaded may name as its parent a task that is not there, or itself by way of others, or be nested without
    end: it stands at the top too.
    """
    parents: dict[str, str | None] = {}
    depths: dict[str, int] = {}
    for key in tasks:
        line: dict[str, None] = {}  # from here up to what is known already, or to where it comes round again
        while key in tasks and key not in depths and key not in line:
            line[key] = None
            key = tasks[key]["parent_id"]
        for name in reversed(line):
            parent = tasks[name]["parent_id"]
            below = parent in depths and depths[parent] + 1 < MAX_DEPTH
            parents[name], depths[name] = (parent, depths[parent] + 1) if below else (None, 0)
    return parents


def _listed(tasks: Mapping[str, dict[str, Any]], *, open: bool) -> list[TaskRecord]:
    """The tree in its reading order: tasks in the order they were added, each followed by its own."""
    children: dict[str | None, list[str]] = {}
    parents = _parents(tasks)
    for key in sorted(tasks, key=lambda key: (tasks[key]["created_at"], key)):
        children.setdefault(parents[key], []).append(key)
    progress: dict[str, float] = {}

    def measure(key: str) -> float:
        task, below = tasks[key], list(children.get(key, ()))
        parts = {child: measure(child) for child in below}
        counted = [part for child, part in parts.items() if tasks[child]["status"] != "cancelled"]
        if task["progress"] is not None:
            progress[key] = task["progress"]
        elif task["status"] == "completed":
            progress[key] = 1.0
        else:
            progress[key] = sum(counted) / len(counted) if counted else 0.0
        return progress[key]

    def wanted(key: str) -> bool:
        return not open or tasks[key]["status"] in OPEN or any(wanted(child) for child in children.get(key, ()))

    def walk(parent: str | None, depth: int) -> list[TaskRecord]:
        found: list[TaskRecord] = []
        for key in children.get(parent, ()):
            if wanted(key):
                found.append(_record(key, tasks[key], progress[key], depth))
                found += walk(key, depth + 1)
        return found

    for root in children.get(None, ()):
        measure(root)
    return walk(None, 0)


def _record(key: str, task: Mapping[str, Any], progress: float, depth: int) -> TaskRecord:
    return TaskRecord(
        id=key,
        parent_id=task["parent_id"],
        title=task["title"],
        status=task["status"],
        progress=progress,
        note=task["note"],
        created_at=from_microseconds(task["created_at"]),
        updated_at=from_microseconds(task["updated_at"]),
        depth=depth,
    )


def _title(value: object) -> str:
    found = _checks.title(value)
    if not found:
        raise InvalidInput("title: a task needs one; say what is to be done")
    return found


def _status(value: object) -> str:
    return _checks.one_of(value, "status", TASK_STATUSES)


def _progress(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(
            f"progress: {_checks.shown(value)} is out of range; give 0 to 1, or None to follow the children"
        )
    return float(value)


def _note(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"note: expected a string, got {type(value).__name__} {_checks.shown(value)}; use str(...)")
    if len(value) > MAX_NOTE:
        raise InvalidInput(f"note: {len(value):,} characters; shorten it to {MAX_NOTE:,}")
    return value
