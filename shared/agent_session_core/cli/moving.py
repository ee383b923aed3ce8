"""``export`` and ``load``."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from agent_session_core import LoadReport, SessionStore
from agent_session_core.cli.mistakes import Mistake
from agent_session_core.cli.opening import DEFAULT_URL, Db, Json, Tenant, User, file_at, found, opened
from agent_session_core.cli.progress import counted
from agent_session_core.cli.screen import console, count, errors, line, print_json, size
from agent_session_core.cli.writing import new_file
from agent_session_core.exchange import Problem, parse, read_file

__all__ = ["export", "load"]

SHOWN = 10
"""Problems that are told one by one."""
LOOKED_AT = 100
"""Entries of a file that show whether it is an export."""


def export(
    session_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="SESSION", help="These sessions; else all, and what they share."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Where to; without it, standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Write sessions, with everything in them, as JSON lines: to be loaded, kept, or read by other programs."""
    with opened(db, tenant, user) as store:
        for session_id in session_ids or ():
            found(store, session_id)
        lines = store.export(session_ids or None)
        if output is None:
            for text in lines:
                sys.stdout.write(text)
            return
        total = len(session_ids) if session_ids else _sessions(store)
        sessions = written = 0
        with (
            new_file(output, force=force, database=file_at(db)) as file,
            counted("Exporting sessions", total, things=True) as advance,
        ):
            for text in lines:
                written += file.write(text.encode("ascii"))
                if text.startswith('{"type":"session"'):
                    sessions += 1
                    advance(1)
    if json:
        print_json({"path": str(output), "sessions": sessions, "bytes": written})
    else:
        console().print(Text(f"{output}: {count(sessions, 'session')}, {size(written)}"), soft_wrap=True)


def load(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Exports of a store or of ChatGPT; - is standard input."),
    ],
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Load sessions from files; the database is made where it is not there.

    What is there already stays as it is, so that a load that was broken off is simply repeated. The exit code is 1
    where something could not be loaded; the rest is.
    """
    for path in paths:
        if str(path) != "-":
            _check(path)
    with opened(db, tenant, user, create=True) as store:
        reports = [(path, _load(store, path)) for path in paths]
    if json:
        print_json({"files": [_as_json(path, report) for path, report in reports]})
    else:
        for path, report in reports:
            _print_report(path, report)
    if any(report.problem_count for _, report in reports):
        raise typer.Exit(1)


def _check(path: Path) -> None:
    """See that a file begins as an export, before a database is made for it."""
    if path.is_dir() or not path.exists():
        raise Mistake(f"{path}: it is {'a directory' if path.is_dir() else 'not there'}; name a file")
    if not path.is_file():  # a pipe can be read once
        return
    begun = list(islice(read_file(path), LOOKED_AT))
    problems = [entry for entry in begun if isinstance(entry, Problem)]
    if len(problems) == len(begun):
        why = f" ({problems[0]})" if problems else ""
        raise Mistake(f"{path}: no sessions are in it{why}; name an export")


def _load(store: SessionStore, path: Path) -> LoadReport:
    if path.is_file():
        with counted(f"Loading {line(path.name)}", path.stat().st_size) as advance:
            return store.load(read_file(path, progress=_moving(advance)))
    stream = sys.stdin.buffer if str(path) == "-" else path.open("rb")
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape") as lines:
        return store.load(parse(lines))


def _moving(advance: Callable[[int], None]) -> Callable[[int], None]:
    """What takes the place in a file, and moves the bar on by the difference."""
    place = 0

    def progress(now: int) -> None:
        nonlocal place
        advance(now - place)
        place = now

    return progress


def _sessions(store: SessionStore) -> int:
    number, before = 0, None
    while True:
        page = store.sessions(limit=1_000, before=before)
        number, before = number + len(page), page.next_cursor
        if before is None:
            return number


def _as_json(path: Path, report: LoadReport) -> dict[str, Any]:
    return {
        "path": str(path),
        "sessions": report.sessions,
        "messages": report.messages,
        "records": report.records,
        "repeated": report.repeated,
        "problem_count": report.problem_count,
        "problems": [{"where": problem.where, "reason": problem.reason} for problem in report.problems],
    }


def _print_report(path: Path, report: LoadReport) -> None:
    told = [count(report.sessions, "new session"), count(report.messages, "message")]
    if report.records:
        told.append(f"{report.records:,} of state, tasks, tool calls and files")
    if report.repeated:
        told.append(f"{report.repeated:,} there already")
    name = "standard input" if str(path) == "-" else str(path)
    console().print(Text(f"{name}: {', '.join(told)}"), soft_wrap=True)
    if not report.problem_count:
        return
    screen = errors()
    rest = "; the rest is loaded" if report.sessions or report.messages or report.records else ""
    screen.print(Text(f"{count(report.problem_count, 'problem')}{rest}:", style="yellow"))
    for problem in report.problems[:SHOWN]:
        screen.print(Text(f"  {line(str(problem))}"), soft_wrap=True)
    if report.problem_count > SHOWN:
        screen.print(Text(f"  ... and {report.problem_count - SHOWN:,} more; --json lists them"))
