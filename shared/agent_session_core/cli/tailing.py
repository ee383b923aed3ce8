"""``tail``."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from agent_session_core import Message, Session
from agent_session_core.cli.messages import print_messages
from agent_session_core.cli.opening import DEFAULT_URL, Db, Json, SessionId, Tenant, User, found, opened
from agent_session_core.cli.records import message_as_json
from agent_session_core.cli.screen import console, print_json

__all__ = ["tail"]


def tail(
    session_id: SessionId,
    last: Annotated[int, typer.Option("--last", "-n", min=0, help="How many messages to begin with.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.05, max=3_600, metavar="SECONDS", help="How often to look.")
    ] = 0.5,
    full: Annotated[bool, typer.Option("--full", help="Long messages as a whole.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
) -> None:
    """Print a session's newest messages, with --follow also those to come (with --json one a line)."""
    with opened(db, tenant, user) as store:
        session = found(store, session_id)
        messages = session.messages(last=max(last, 1))
        seen = messages[-1].seq or 0 if messages else 0
        _print(session, messages if last else [], full=full, json=json)
        while follow:
            time.sleep(interval)
            messages = session.messages(since=seen)
            if messages:
                seen = messages[-1].seq or seen
                _print(session, messages, full=full, json=json)


def _print(session: Session, messages: list[Message], *, full: bool, json: bool) -> None:
    if json:
        for message in messages:
            print_json(message_as_json(session.id, message), indent=None)
    else:
        print_messages(console(), messages, full=full)
    sys.stdout.flush()
