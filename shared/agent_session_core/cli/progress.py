"""Signs of life on standard error, where a person sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent_session_core.cli.screen import errors

__all__ = ["counted", "working"]


@contextmanager
def counted(description: str, total: int, *, things: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar that fills up to ``total`` bytes (or ``things``): gives the function that moves it on."""
    screen = errors()
    if not screen.is_terminal:
        yield lambda _: None
        return
    amount = MofNCompleteColumn() if things else DownloadColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda number: progress.advance(task, number)


@contextmanager
def working(description: str) -> Iterator[None]:
    """A sign that something is going on, where nobody knows how long it takes."""
    screen = errors()
    if not screen.is_terminal:
        yield
        return
    with screen.status(description):
        yield
