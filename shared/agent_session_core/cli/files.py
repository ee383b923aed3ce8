"""``files list``, ``files get`` and ``files put``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agent_session_core.cli.mistakes import Mistake
from agent_session_core.cli.opening import DEFAULT_URL, Db, Json, SessionId, Tenant, User, file_at, found, opened
from agent_session_core.cli.progress import counted
from agent_session_core.cli.records import file_as_json
from agent_session_core.cli.screen import console, count, line, plain, print_json, size, table, when
from agent_session_core.cli.writing import new_file
from agent_session_core.errors import FileNotInSession

__all__ = ["get", "list_files", "put"]

Name = Annotated[str, typer.Argument(metavar="NAME", help="The file's name in the session.", show_default=False)]
PIECE = 256 * 1024


def list_files(
    session_id: SessionId,
    history: Annotated[bool, typer.Option("--history", help="Every version, not the newest alone.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """List the files of a session."""
    with opened(db, tenant, user) as store:
        session = found(store, session_id)
        files = list(session.files.list())
        if history:
            files = [version for file in files for version in session.files.history(file.name)]
    if json:
        print_json({"files": [file_as_json(file) for file in files]})
        return
    screen = console()
    if not files:
        screen.print("There are no files.")
        return
    made = table("Name", "Version", "Size", "Type", "Stored", right=("Version", "Size"))
    for file in files:
        made.add_row(
            Text(plain(file.name), style="bold"),
            str(file.version),
            size(file.size),
            Text(line(file.media_type)),
            Text(when(file.created_at), style="dim"),
        )
    screen.print(made)
    screen.print(Text(count(len(files), "version" if history else "file"), style="dim"))


def get(
    session_id: SessionId,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Where to; without it, standard output.")
    ] = None,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Another version than the newest.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Get a file out of a session."""
    if output is None and json:
        raise Mistake("--json tells about a file that is written: say where to, by -o PATH")
    if output is None and sys.stdout.isatty():
        raise Mistake("say where to: -o PATH, or redirect the output")
    with opened(db, tenant, user) as store:
        files = found(store, session_id).files
        try:
            pieces = files.stream(name, version)
        except FileNotInSession:
            what = repr(name) if version is None else f"version {version} of {name!r}"
            told_how = f"'session-core files list {session_id}' shows those there are"
            raise Mistake(f"session {session_id!r} has no file {what}; {told_how}") from None
        if output is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        versions = files.list() if version is None else files.history(name)
        told = next(each for each in versions if each.name == name and version in (None, each.version))
        with (
            new_file(output, force=force, database=file_at(db)) as file,
            counted(f"Getting {line(name)}", told.size) as advance,
        ):
            for piece in pieces:
                file.write(piece)
                advance(len(piece))
    if json:
        print_json(file_as_json(told) | {"path": str(output)})
    else:
        console().print(Text(f"{output}: {size(told.size)}, version {told.version} of {line(name)}"), soft_wrap=True)


def put(
    session_id: SessionId,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file, or - for standard input.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the session; else that of the file.")] = None,
    media_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="As in text/markdown.")] = None,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Put a file into a session; a new version, where the name is there already."""
    if str(path) == "-" and name is None:
        raise Mistake("standard input has no name; give one with --name")
    if path.is_dir():
        raise Mistake(f"{path}: it is a directory; name a file")
    with opened(db, tenant, user) as store:
        files = found(store, session_id).files
        if str(path) == "-":
            stored = files.put(name or "", sys.stdin.buffer, media_type=media_type)
        else:
            with counted(f"Putting {line(path.name)}", path.stat().st_size) as advance:
                stored = files.put(name or path.name, _read(path, advance), media_type=media_type)
    if json:
        print_json(file_as_json(stored))
    else:
        told = f"{line(stored.name)}: {size(stored.size)}, version {stored.version}, {line(stored.media_type)}"
        console().print(Text(told), soft_wrap=True)


def _read(path: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            advance(len(piece))
            yield piece
