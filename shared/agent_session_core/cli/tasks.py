"""``tasks``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from agent_session_core.cli.opening import DEFAULT_URL, Db, Json, SessionId, Tenant, User, found, opened
from agent_session_core.cli.records import task_as_json
from agent_session_core.cli.screen import console, line, plain, print_json
from agent_session_core.models import TaskStatus
from agent_session_core.tasks import TaskRecord

__all__ = ["tasks"]

BAR = 10
"""Characters of a bar of progress."""
_MARKS: dict[TaskStatus, tuple[str, str, str]] = {
    "pending": ("○", "[ ]", "default"),
    "in_progress": ("◐", "[~]", "yellow"),
    "completed": ("●", "[x]", "green"),
    "failed": ("✗", "[!]", "red"),
    "cancelled": ("⊘", "[-]", "dim"),
}
"""The mark of each status, the same where only ASCII can be shown, and its style."""


def tasks(
    session_id: SessionId,
    open: Annotated[bool, typer.Option("--open", help="Only what is still to be done.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Show what a session has set out to do, as a tree with progress."""
    with opened(db, tenant, user) as store:
        session = found(store, session_id)
        title, records = session.title or session.id, session.tasks.records(open=open)
    if json:
        print_json({"tasks": [task_as_json(task) for task in records]})
        return
    screen = console()
    if not records:
        screen.print("Nothing is still to be done." if open else "There are no tasks.")
        return
    ascii_only = not screen.encoding.lower().startswith("utf")
    screen.print(_tree(title, records, ascii_only=ascii_only))


def _tree(title: str, records: Sequence[TaskRecord], *, ascii_only: bool) -> Tree:
    root = Tree(Text(line(title), style="bold"), guide_style="dim")
    branches = [root]
    parents = {task.parent_id for task in records}
    for task in records:
        del branches[task.depth + 1 :]
        label = _label(task, whole=task.id in parents, ascii_only=ascii_only)
        branches.append(branches[-1].add(label))
    return root


def _label(task: TaskRecord, *, whole: bool, ascii_only: bool) -> RenderableType:
    """What is to be done; a bar for what has parts or is under way, and what was noted last."""
    mark, plain_mark, style = _MARKS[task.status]
    label = Text(f"{plain_mark if ascii_only else mark} ", style=style)
    label.append(line(task.title), style="dim strike" if task.status == "cancelled" else "default")
    if whole or 0 < task.progress < 1:
        done, rest = ("#", ".") if ascii_only else ("━", "─")
        filled = round(task.progress * BAR)
        label.append(f"  {done * filled}", style="green" if task.progress == 1 else "yellow")
        label.append(rest * (BAR - filled), style="dim")
        label.append(f" {task.progress:.0%}", style="dim")
    return Group(label, Text(plain(task.note).strip(), style="dim italic")) if task.note else label
