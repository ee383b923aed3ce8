"""``list`` and ``show``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from agent_session_core import Page, Session, SessionRecord
from agent_session_core.cli.messages import print_messages
from agent_session_core.cli.opening import DEFAULT_URL, Db, Json, SessionId, Tenant, User, found, opened
from agent_session_core.cli.records import call_as_json, file_as_json, message_as_json, session_as_json, task_as_json
from agent_session_core.cli.screen import STATUS_STYLES, console, count, facts, line, print_json, table, when
from agent_session_core.cli.values import metadata
from agent_session_core.session import OpenWork

__all__ = ["list_sessions", "show"]

WIDE = 110
"""Columns of a screen on which id and title stand side by side."""
TITLE = 40
"""Characters of a title in a list."""


def list_sessions(
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="Only those with this in the title or id.", show_default=False),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATUS", help="Only active, closed, expired or archived ones."),
    ] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="Only those with this metadata.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="How many.")] = 20,
    before: Annotated[
        str | None, typer.Option("--before", metavar="CURSOR", help="Go on where the last list ended.")
    ] = None,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """List sessions, the one that changed last first."""
    with opened(db, tenant, user) as store:
        page = store.sessions(text=text, status=status, metadata=metadata(meta or []), limit=limit, before=before)  # type: ignore[arg-type]  # the store says which statuses there are
        rows = [(session.record(), session.count()) for session in page]
    if json:
        print_json({"sessions": [session_as_json(*row) for row in rows], "next_cursor": page.next_cursor})
        return
    _print_list(rows, page, narrowed=bool(text or status or meta or user))


def show(
    session_id: SessionId,
    last: Annotated[int, typer.Option("--last", "-n", min=1, help="How many of the newest messages.")] = 20,
    run: Annotated[int | None, typer.Option("--run", min=1, help="Another run than the current one.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Messages that were set aside, too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Long messages as a whole.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Show a session: what is known of it, what is open in it, and its newest messages."""
    with opened(db, tenant, user) as store:
        session = found(store, session_id)
        record, total, open_work = session.record(), session.count(), session.open_work()
        messages = session.messages(last=last, run=run, archived=None if archived else False)
        state, files, tasks = session.state.all(), session.files.list(), session.tasks.records()
    if json:
        print_json(
            {
                "session": session_as_json(record, total),
                "state": state,
                "files": [file_as_json(file) for file in files],
                "tasks": [task_as_json(task) for task in tasks],
                "unknown_calls": [call_as_json(call) for call in open_work.unknown],
                "messages": [message_as_json(record.id, message) for message in messages],
            }
        )
        return
    screen = console()
    done = sum(task.status == "completed" for task in tasks)
    screen.print(Text(line(record.title or record.id), style="bold"))
    screen.print(
        facts(
            {
                **_known(record),
                "messages": f"{total:,}" + (f", {len(messages):,} shown" if len(messages) < total else ""),
                "state": ", ".join(line(name) for name in state),
                "files": ", ".join(line(file.name) for file in files),
                "tasks": f"{done} of {len(tasks)} completed; 'session-core tasks' shows them" if tasks else None,
                "unknown": _unknown(open_work),
            }
        )
    )
    screen.print()
    print_messages(screen, messages, full=full)


def _known(record: SessionRecord) -> dict[str, str | Text | None]:
    status = Text(record.status, style=STATUS_STYLES[record.status])
    if record.run > 1:
        status.append(f", run {record.run}", style="default")
    return {
        "id": record.id if record.title else None,
        "user": record.user_id,
        "agent": record.agent_id,
        "status": status,
        "created": f"{record.created_at.astimezone():%Y-%m-%d %H:%M}",
        "changed": when(record.updated_at),
        "expires": None if record.expires_at is None else f"{record.expires_at.astimezone():%Y-%m-%d %H:%M}",
        "forked": None if record.parent_id is None else f"from {record.parent_id} at message {record.forked_from}",
        "metadata": ", ".join(f"{name}={value!r}" for name, value in record.metadata.items()),
    }


def _unknown(work: OpenWork) -> Text | None:
    """Tool calls of which nobody knows whether they acted: what a person has to look at."""
    if not work.unknown:
        return None
    names = ", ".join(f"{line(call.name)} ({line(call.id)})" for call in work.unknown)
    acted = "it" if len(work.unknown) == 1 else "they"
    return Text(f"{names}: broken off; nobody knows whether {acted} acted", style="yellow")


def _print_list(rows: list[tuple[SessionRecord, int]], page: Page[Session], *, narrowed: bool) -> None:
    screen = console()
    if not rows:
        screen.print("No session is like that." if narrowed else "There are no sessions yet.")
        return
    screen.print(_table(rows, narrow=screen.width < WIDE))
    if page.next_cursor is None:
        screen.print(Text(count(len(rows), "session"), style="dim"))
    else:
        screen.print(Text(f"{count(len(rows), 'session')}; go on with --before {page.next_cursor}", style="dim"))


def _table(rows: list[tuple[SessionRecord, int]], *, narrow: bool) -> Table:
    """One line for each session; where the screen is ``narrow``, the id stands below the title."""
    owners = any(record.user_id for record, _ in rows)
    columns = ("Session", *(() if narrow else ("Title",)), *(("User",) if owners else ()), "Status")
    made = table(*columns, "Messages", "Changed", right=("Messages",))
    for record, messages in rows:
        made.add_row(
            *_names(record, narrow=narrow),
            *((Text(line(record.user_id or "")),) if owners else ()),
            Text(record.status, style=STATUS_STYLES[record.status]),
            f"{messages:,}",
            Text(when(record.updated_at), style="dim"),
        )
    return made


def _names(record: SessionRecord, *, narrow: bool) -> list[Text]:
    name, title = Text(line(record.id)), Text(_shortened(line(record.title or "")), style="bold")
    if not narrow:
        return [name, title]
    return [Text.assemble(title, "\n", (name.plain, "dim"))] if record.title else [name]


def _shortened(title: str) -> str:
    return title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"
