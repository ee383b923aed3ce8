"""The command with its parts put together."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from agent_session_core.cli import browsing, files, indexing, moving, searching, tailing, tasks, upkeep
from agent_session_core.cli.mistakes import told

__all__ = ["app", "run"]

app = typer.Typer(
    name="session-core",
    help="Sessions of AI agents: look at them, search them, move them, keep them in order.",
    epilog="The database is sqlite:///sessions.db, or what SESSION_CORE_DB or --db names.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_LOOK, _MOVE, _KEEP = "Look", "Move", "Keep in order"

app.command("list", rich_help_panel=_LOOK)(told(browsing.list_sessions))
app.command("show", rich_help_panel=_LOOK)(told(browsing.show))
app.command("search", rich_help_panel=_LOOK)(told(searching.search))
app.command("tail", rich_help_panel=_LOOK)(told(tailing.tail))
app.command("tasks", rich_help_panel=_LOOK)(told(tasks.tasks))
app.command("export", rich_help_panel=_MOVE)(told(moving.export))
app.command("load", rich_help_panel=_MOVE)(told(moving.load))
app.command("sweep", rich_help_panel=_KEEP)(told(upkeep.sweep))
app.command("restore", rich_help_panel=_KEEP)(told(upkeep.restore))
app.command("delete", rich_help_panel=_KEEP)(told(upkeep.delete))
app.command("verify", rich_help_panel=_KEEP)(told(upkeep.verify))
app.command("reindex", rich_help_panel=_KEEP)(told(upkeep.reindex))
app.command("index", rich_help_panel=_KEEP)(told(indexing.index))

_files = typer.Typer(help="The files of a session: list them, get one, put one.", no_args_is_help=True)
_files.command("list")(told(files.list_files))
_files.command("get")(told(files.get))
_files.command("put")(told(files.put))
app.add_typer(_files, name="files", rich_help_panel=_LOOK)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"session-core {version('agent-session-core')}\n")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    """Sessions of AI agents: look at them, search them, move them, keep them in order."""


def run() -> None:
    """Run the command; what this terminal cannot show becomes a question mark."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: nobody wants to read, and no file may take its place
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for as long as the process
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        _run()
    except typer.Exit as end:
        sys.exit(end.exit_code)


@told
def _run() -> None:
    """Run the command, with what it says before one of its parts does: its help, its version."""
    try:
        app(prog_name="session-core")
    finally:
        sys.stdout.flush()
