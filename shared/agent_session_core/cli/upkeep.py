"""``sweep``, ``restore``, ``delete``, ``verify`` and ``reindex``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from agent_session_core import ErasureReceipt, IndexReport, Session
from agent_session_core.cli.mistakes import MISUSED, Mistake
from agent_session_core.cli.opening import (
    DEFAULT_URL,
    Db,
    Index,
    Json,
    SessionId,
    Tenant,
    User,
    found,
    is_searched_elsewhere,
    opened,
)
from agent_session_core.cli.progress import working
from agent_session_core.cli.screen import console, count, facts, line, print_json
from agent_session_core.cli.values import span
from agent_session_core.lifecycle import Retention, SweepReport

__all__ = ["delete", "reindex", "restore", "sweep", "verify"]

SHOWN = 20
"""Sessions that are told one by one."""


def sweep(
    archive_after: Annotated[
        timedelta | None,
        typer.Option("--archive-after", parser=span, metavar="TIME", help="Archive what ended this long ago: 30d."),
    ] = None,
    delete_after: Annotated[
        timedelta | None,
        typer.Option("--delete-after", parser=span, metavar="TIME", help="Delete what was archived this long ago."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is due, and change nothing.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
    index: Index = None,
) -> None:
    """Expire what is past its deadline; archive and delete what has been kept long enough, where asked to."""
    retention = Retention(archive_after=archive_after, delete_after=delete_after)
    with opened(db, tenant, user, index=delete_after is not None, server=index, retention=retention) as store:
        report = store.sweep(dry_run=dry_run)
    if json:
        done = {"expired": report.expired, "archived": report.archived, "deleted": report.deleted}
        print_json({"dry_run": dry_run, **done})
        return
    _print_sweep(report, dry_run=dry_run)


def delete(
    session_ids: Annotated[list[str], typer.Argument(metavar="SESSION", help="The sessions' ids.", show_default=False)],
    forks: Annotated[bool, typer.Option("--forks", help="Also what was forked from them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
    index: Index = None,
) -> None:
    """Delete sessions with everything in them, from the index too; nothing of it can be brought back."""
    with opened(db, tenant, user, index=True, server=index) as store:
        sessions = [found(store, session_id) for session_id in dict.fromkeys(session_ids)]
        if not yes:
            _ask(sessions, forks=forks)
        receipts = [session.delete(forks=forks) for session in sessions]
    if json:
        print_json({"receipts": [_receipt_as_json(receipt) for receipt in receipts]})
        return
    for receipt in receipts:
        _print_receipt(receipt)


def restore(
    session_id: SessionId,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Make a session that was closed or archived, or has expired, active again."""
    with opened(db, tenant, user) as store:
        session = found(store, session_id)
        session.restore()
        record = session.record()
    if json:
        print_json({"session": record.id, "status": record.status})
    else:
        console().print(Text(f"{line(record.id)} is {record.status}."), soft_wrap=True)


def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Put right what is not as it should be.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    index: Index = None,
) -> None:
    """Compare the search index with what is stored; the exit code is 1 where they differ."""
    with (
        opened(db, tenant, index=True, server=index) as store,
        working("Repairing the index" if repair else "Verifying the index"),
    ):
        report = store.repair() if repair else store.verify()
    if json:
        print_json(_index_as_json(report))
    else:
        _print_index(report, followed=index is not None)
    if not report.consistent:
        raise typer.Exit(1)


def reindex(
    into_database: Annotated[
        bool, typer.Option("--into-database", help="Move the index from Elasticsearch into the database.")
    ] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    index: Index = None,
) -> None:
    """Make the search index anew; the old one answers meanwhile."""
    if into_database and index is not None:
        raise Mistake("--into-database: cannot go with --index or SESSION_CORE_INDEX; use one of them", MISUSED)
    with opened(db, tenant, index=True, server=index) as store:
        if index is None and not into_database and is_searched_elsewhere(db):
            raise Mistake(
                "--index: this database is searched by way of Elasticsearch; without it the index would move into the "
                "database, and who searches by the server would find nothing; give --index URL to make it anew there, "
                "or --into-database to move it",
                MISUSED,
            )
        with working("Making the index anew"):
            messages = store.reindex()
    if json:
        print_json({"messages": messages})
    else:
        console().print(f"The index is new: {count(messages, 'message')} read.")


def _print_sweep(report: SweepReport, *, dry_run: bool) -> None:
    screen = console()
    screen.print("This is due (nothing was changed):" if dry_run else "Swept:")
    verbs = {"expired": "to expire", "archived": "to archive", "deleted": "to delete"} if dry_run else {}
    for status in ("expired", "archived", "deleted"):
        names: tuple[str, ...] = getattr(report, status)
        shown = ", ".join(line(name) for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        told = Text(f"  {len(names):>6,} {verbs.get(status, status)}")
        screen.print(told.append(f"  {shown}{more}", style="dim"))


def _ask(sessions: list[Session], *, forks: bool) -> None:
    for session in sessions:
        title = f" ({line(session.title)})" if session.title else ""
        typer.echo(f"{line(session.id)}{title}: {count(session.count(), 'message')}", err=True)
    what = "this session" if len(sessions) == 1 else f"these {len(sessions)} sessions"
    with_forks = " and their forks" if forks else ""
    try:
        sure = typer.confirm(f"Delete {what}{with_forks} for good?", err=True)
    except typer.Abort:
        sure = False
    if not sure:
        raise Mistake("nothing was deleted; --yes answers the question")


def _print_receipt(receipt: ErasureReceipt) -> None:
    things = [
        count(receipt.messages, "message"),
        count(receipt.state, "variable"),
        count(receipt.files, "file"),
        count(receipt.tasks, "task"),
        count(receipt.tool_calls, "tool call"),
    ]
    told = ", ".join(thing for thing in things if not thing.startswith("0 ")) or "it was empty"
    names = ", ".join(line(name) for name in receipt.session_ids)
    index = "" if receipt.complete else "; the index has not confirmed yet"
    console().print(Text(f"Deleted {names}: {told}{index}"), soft_wrap=True)


def _receipt_as_json(receipt: ErasureReceipt) -> dict[str, Any]:
    return {
        "id": receipt.id,
        "session_ids": receipt.session_ids,
        "erased_at": receipt.erased_at,
        "messages": receipt.messages,
        "state": receipt.state,
        "files": receipt.files,
        "tasks": receipt.tasks,
        "tool_calls": receipt.tool_calls,
        "complete": receipt.complete,
    }


def _index_as_json(report: IndexReport) -> dict[str, Any]:
    return {
        "consistent": report.consistent,
        "missing": report.missing,
        "stale": report.stale,
        "orphaned": report.orphaned,
        "rejected": report.rejected,
        "pending": report.pending,
        "sample": [{"session": name, "seq": seq, "what": what} for name, seq, what in report.sample],
    }


def _print_index(report: IndexReport, *, followed: bool) -> None:
    """Tell of a report; an index that is ``followed`` gets its changes from a worker, the other one by searches."""
    screen = console()
    if report.consistent and not report.pending:
        screen.print(Text("The index holds exactly what is stored.", style="green"))
        return
    if report.consistent:
        changes = count(report.pending, "change")
        waiting = f"{changes} will come in with the next search"
        if followed:
            waiting = f"{changes} {'waits' if report.pending == 1 else 'wait'} for a worker"
        screen.print(Text(f"The index is as it should be; {waiting}.", style="green"))
        return
    screen.print(Text("The index is not as it should be:", style="yellow"))
    screen.print(
        facts(
            {
                "missing": _counted(report.missing, "stored, and not in the index"),
                "stale": _counted(report.stale, "in the index with other words"),
                "orphaned": _counted(report.orphaned, "in the index, and not stored"),
                "rejected": _counted(report.rejected, "set aside by the index"),
                "pending": _counted(report.pending, "changes that wait to be indexed"),
            }
        )
    )
    for name, seq, what in report.sample[:SHOWN]:
        screen.print(Text(f"  {line(name)} #{seq}: {line(what)}", style="dim"))
    screen.print("'session-core verify --repair' puts it right.")


def _counted(number: int, meaning: str) -> str | None:
    return f"{number:,} {meaning}" if number else None
