"""The options that every command has, and the store that they name."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from agent_session_core import ElasticsearchIndex, Session, SessionNotFound, SessionStore
from agent_session_core.cli.mistakes import Mistake
from agent_session_core.lifecycle import Retention
from agent_session_core.search.elsewhere import is_elsewhere
from agent_session_core.sql.migrate import VERSION_TABLE
from agent_session_core.sql.open import open_database
from agent_session_core.sql.sqlite import file_of, is_in_memory

__all__ = [
    "DEFAULT_URL",
    "Db",
    "Index",
    "Json",
    "SessionId",
    "Tenant",
    "User",
    "file_at",
    "found",
    "is_searched_elsewhere",
    "opened",
]

DEFAULT_URL = "sqlite:///sessions.db"
_PANEL = "Which database, and whose sessions"

Db = Annotated[
    str,
    typer.Option(
        "--db", envvar="SESSION_CORE_DB", metavar="URL", help="The database, or its file.", rich_help_panel=_PANEL
    ),
]
Tenant = Annotated[
    str,
    typer.Option(
        "--tenant", metavar="NAME", help="The tenant, where several share the database.", rich_help_panel=_PANEL
    ),
]
User = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="This user's sessions alone.", rich_help_panel=_PANEL),
]
Index = Annotated[
    str | None,
    typer.Option(
        "--index",
        envvar="SESSION_CORE_INDEX",
        metavar="URL",
        help="The Elasticsearch server that the database is searched by, where it is; its key in "
        "SESSION_CORE_INDEX_API_KEY.",
        rich_help_panel=_PANEL,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.", show_default=False)]


@contextmanager
def opened(
    db: str,
    tenant: str = "default",
    user: str | None = None,
    *,
    index: bool = False,
    server: str | None = None,
    create: bool = False,
    retention: Retention | None = None,
    telemetry: bool = False,
) -> Iterator[SessionStore]:
    """The store at ``db``, bound to ``user`` where one is named.

    Args:
        db: a URL, or the path of a file.
        tenant: the tenant.
        user: the user.
        index: whether the search index is needed, and kept up.
        server: the Elasticsearch server that has it; None where it is in the database.
        create: whether a database is made where there is none.
        retention: for a sweep.
        telemetry: whether spans and metrics go to the providers that the process has.

    Raises:
        Mistake: where there is no database of sessions.
    """
    url = _url(db)
    _check(url, create=create)
    where = _index(server) if index else "off"
    with SessionStore.open(url, index=where, tenant=tenant, retention=retention, telemetry=telemetry) as store:
        yield store if user is None else store.for_user(user)


def _url(db: str) -> str | URL:
    return db if "://" in db else URL.create("sqlite", database=db)


def _index(server: str | None) -> ElasticsearchIndex | None:
    """Where the search index is; a command brings nothing into it by the way, as those who write do, or workers."""
    if server is None:
        return None
    return ElasticsearchIndex(server, follow=False, api_key=os.environ.get("SESSION_CORE_INDEX_API_KEY"))


def file_at(db: str) -> Path | None:
    """The file of the database at ``db``; None where it is in none."""
    try:
        url = make_url(_url(db))
    except ArgumentError:
        return None
    return None if url.get_backend_name() != "sqlite" or is_in_memory(url) else file_of(url)


def is_searched_elsewhere(db: str) -> bool:
    """Whether the database at ``db``, which a store has opened before, is searched by way of Elasticsearch."""
    with closing(open_database(_url(db))) as database:
        return database.read(is_elsewhere)


def found(store: SessionStore, session_id: str) -> Session:
    """The session with this id.

    Raises:
        Mistake: where there is none.
    """
    try:
        return store.session(session_id, create=False)
    except SessionNotFound:
        whose = "" if store.user_id is None else f" of user {store.user_id!r}"
        raise Mistake(f"there is no session {session_id!r}{whose}; 'session-core list' shows those there are") from None


def _check(url: str | URL, *, create: bool) -> None:
    """See that a database file holds sessions: a command that looks at them makes no file, and no tables."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return  # the store says what is wrong with it
    if parsed.get_backend_name() != "sqlite":
        return
    if is_in_memory(parsed):
        raise Mistake(f"--db: {url} is a database in memory, which ends with the command; name a file")
    file = file_of(parsed)
    if file.is_dir():
        raise Mistake(f"--db: {file} is a directory; name the file of a database")
    if not file.exists():
        if not create:
            raise Mistake(f"--db: there is no database {file}; name one with --db, or in SESSION_CORE_DB")
        return
    if not _holds_sessions(file, empty=create):
        raise Mistake(f"--db: {file} is no database of sessions; name another with --db, or in SESSION_CORE_DB")


def _holds_sessions(file: Path, *, empty: bool) -> bool:
    """Whether the file is a database of ours; an ``empty`` one may do too."""
    with file.open("rb") as start:
        head = start.read(16)
    if not head:
        return empty
    if not head.startswith(b"SQLite format 3\x00"):
        return False
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT count(*) FROM sqlite_master WHERE name = ?"
            return bool(connection.execute(query, (VERSION_TABLE,)).fetchone()[0])
    except sqlite3.DatabaseError:
        return True  # it cannot be told: opening it says why
