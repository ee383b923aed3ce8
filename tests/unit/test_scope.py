"""Every statement names tenant and owner: a handle that was forged reaches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent_session_core import Message, Session, SessionError, SessionNotActive, SessionNotFound, SessionStore


@pytest.fixture
def store() -> Iterator[SessionStore]:
    """A store in memory."""
    with SessionStore.open("sqlite://", index="off", tenant="acme") as opened:
        yield opened


READS: dict[str, Callable[[Session], object]] = {
    "record": lambda session: session.record(),
    "messages": lambda session: session.messages(),
    "last": lambda session: session.messages(last=1),
    "since": lambda session: session.messages(since=1),
    "roles": lambda session: session.messages(roles=["user"]),
    "run": lambda session: session.messages(run=1),
    "archived": lambda session: session.messages(archived=True),
    "count": lambda session: session.count(),
}
WRITES: dict[str, Callable[[Session], object]] = {
    "append": lambda session: session.append(Message.user("x")),
    "append again": lambda session: session.append(Message.user("secret", id="m")),
    "append aside": lambda session: session.append(Message.user("x"), archived=True),
    "append nothing": lambda session: session.append(),
    "replace": lambda session: session.replace([Message.user("secret")]),
    "remove": lambda session: session.remove(),
    "remove last": lambda session: session.remove(last=1),
    "set_aside": lambda session: session.set_aside(first=1),
    "pop_turn": lambda session: session.pop_turn(),
    "update": lambda session: session.update(title="x"),
}


@pytest.mark.parametrize("change", [{"tenant": "other"}, {"owner": "bob"}, {"owner": None}, {"session": 99}])
def test_a_forged_handle_reaches_nothing(store: SessionStore, change: dict[str, Any]) -> None:
    """With another tenant, owner or number in its key, every method answers that there is no such session."""
    session = store.session("trip", user_id="ana")
    session.append(Message.user("secret", id="m"), Message.tool("secret too", tool_call_id="c"))
    before = session.record(), session.messages()
    forged = store.session("trip", create=False)
    forged._plain_key = replace(forged._plain_key, **change)
    uses: dict[str, Callable[[Session], object]] = {**READS, **WRITES, "delete": lambda session: session.delete()}
    for name, use in uses.items():
        with pytest.raises(SessionNotFound, match="session 'trip': not found") as caught:
            use(forged)
        assert "secret" not in str(caught.value), name
    assert (session.record(), session.messages()) == before


@pytest.mark.parametrize("status", ["closed", "expired", "archived"])
def test_a_session_that_is_not_active_is_read_only(store: SessionStore, status: str) -> None:
    """Every write names the state and the remedy, and changes nothing; reads and deleting go on."""
    session = store.session("trip", user_id="ana")
    session.append(Message.user("one", id="m"))
    store._database.write(lambda conn: conn.exec_driver_sql("UPDATE sessions SET status = ?", (status,)))
    before = session.record(), session.messages()
    for use in WRITES.values():
        with pytest.raises(SessionNotActive, match=f"session 'trip': it is {status} .*; restore"):
            use(session)
    assert (session.record(), session.messages()) == before
    assert [found.id for found in store.sessions(status=session.status)] == ["trip"]
    session.delete()


def test_errors_tell_nothing_of_others(store: SessionStore) -> None:
    """What a user is told about another's session is what he is told about none."""
    store.session("trip", user_id="ana", title="secret").append(Message.user("secret"))
    bobs, told = store.for_user("bob"), []
    for name in ("trip", "none"):
        with pytest.raises(SessionError) as caught:
            bobs.session(name, create=False)
        told.append(str(caught.value).replace(name, "..."))
    assert told[0] == told[1]
