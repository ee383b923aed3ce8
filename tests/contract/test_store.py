"""What a store promises of its sessions, however it is driven."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent_session_core import (
    Message,
    Session,
    SessionError,
    SessionNotFound,
    SessionStore,
    StorageUnavailable,
)
from tests.contract.drivers import Opened


def test_a_session_is_made_once_and_found_again(store: SessionStore) -> None:
    """Asking for an id a second time gives the same session, as it was made; ``create=False`` finds it too."""
    made = store.session("trip", user_id="ana", agent_id="planner", title="Lisbon", metadata={"a": 1})
    again = store.session("trip", agent_id="other", title="Porto", metadata={"b": 2})
    assert made == again == store.session("trip", create=False)
    assert (again.title, again.agent_id, again.metadata, again.user_id) == ("Lisbon", "planner", {"a": 1}, "ana")
    assert again.created_at == made.created_at
    assert len(store.sessions()) == 1


def test_a_session_without_an_id_gets_one(store: SessionStore) -> None:
    """New ids are UUIDs of version 7, in the order of time."""
    ids = [store.session().id for _ in range(3)]
    assert [uuid.UUID(made).version for made in ids] == [7, 7, 7]
    assert ids == sorted(ids)


def test_an_absent_session_is_not_found(store: SessionStore) -> None:
    """With ``create=False`` an unknown id is an error that names it, and nothing is made."""
    with pytest.raises(SessionNotFound, match=r"session_id: 'nowhere' is not found; ") as caught:
        store.session("nowhere", create=False)
    assert isinstance(caught.value, LookupError)
    assert len(store.sessions()) == 0


def test_a_record_tells_everything(store: SessionStore) -> None:
    """One read gives all there is to know of a session, with aware times."""
    before = datetime.now(timezone.utc)
    record = store.session("trip", user_id="ana", agent_id="planner", title="T", metadata={"k": [1, None]}).record()
    assert (record.id, record.user_id, record.agent_id, record.title) == ("trip", "ana", "planner", "T")
    assert (record.metadata, record.status, record.run) == ({"k": [1, None]}, "active", 1)
    assert before - timedelta(milliseconds=1) <= record.created_at <= record.updated_at <= datetime.now(timezone.utc)


def test_updating_changes_what_is_named(session: Session) -> None:
    """What is not named stays; None takes away; each update raises the revision."""
    session.update(title="Lisbon", metadata={"a": 1})
    first = session.record()
    session.update(title="Porto")
    second = session.record()
    assert (second.title, second.metadata) == ("Porto", {"a": 1})
    session.update(metadata=None)
    third = session.record()
    assert (third.title, third.metadata) == ("Porto", {})
    assert first.revision < second.revision < third.revision
    assert first.updated_at <= second.updated_at <= third.updated_at


def test_listing_pages_through_everything_once(store: SessionStore) -> None:
    """Pages follow each other without a gap or a double, the session that changed last first."""
    names = [f"s{number}" for number in range(7)]
    for name in names:
        store.session(name)
    store.session("s2").update(title="changed")
    seen: list[str] = []
    cursor = None
    while True:
        page = store.sessions(before=cursor, limit=3)
        seen += [session.id for session in page]
        if (cursor := page.next_cursor) is None:
            break
        assert len(page) == 3
    assert seen == ["s2", *(name for name in reversed(names) if name != "s2")]


def test_the_last_page_has_no_cursor(store: SessionStore) -> None:
    """A page that holds all that is left says so, full or not."""
    for limit in (3, 4):
        for number in range(3):
            store.session(f"s{number}")
        assert store.sessions(limit=limit).next_cursor is None


FILTERS: tuple[tuple[dict[str, Any], list[str]], ...] = (
    ({"user_id": "ana"}, ["a", "b"]),
    ({"user_id": "nobody"}, []),
    ({"status": "active"}, ["a", "b", "c"]),
    ({"status": ["closed", "expired"]}, []),
    ({"metadata": {"kind": "trip"}}, ["a", "c"]),
    ({"metadata": {"kind": "trip", "year": 2026}}, ["c"]),
    ({"metadata": {"kind": "trip' OR 1=1 --"}}, []),
    ({"metadata": {"flag": True}}, ["b"]),
    ({"metadata": {"year": 10**30}}, []),
    ({"metadata": {"ki.nd": 'x"y'}}, ["b"]),
    ({"text": "LISBON"}, ["a"]),
    ({"text": "100%"}, ["b"]),
    ({"text": "_"}, []),
    ({"text": "%"}, ["b"]),
    ({"text": "c"}, ["c"]),
    ({"text": "münchen"}, ["c"]),
    ({"text": "ЖЮЛИ"}, ["c"]),
    ({"user_id": "ana", "text": "i"}, ["a"]),
)


def test_listing_filters(store: SessionStore) -> None:
    """Filters join by "and"; values are compared as they are, never as patterns or SQL, texts in any case."""
    store.session("a", user_id="ana", title="To Lisbon", metadata={"kind": "trip", "year": 2025})
    store.session("b", user_id="ana", title="100% sure", metadata={"kind": "work", "flag": True, "ki.nd": 'x"y'})
    store.session("c", user_id="bob", title="MÜNCHEN, Жюли", metadata={"kind": "trip", "year": 2026})
    for filters, found in FILTERS:
        assert sorted(session.id for session in store.sessions(**filters)) == found, filters


def _ways_in(store: SessionStore, name: str, message: Message) -> dict[str, Callable[[], object]]:
    """Each public method that could reach the session ``name``."""
    return {
        "session": lambda: store.session(name, create=False),
        "sessions": lambda: [session.id for session in store.sessions() if session.id == name],
        "text": lambda: [session.id for session in store.sessions(text=name)],
        "metadata": lambda: [session.id for session in store.sessions(metadata={"secret": True})],
        "export": lambda: [line for line in _exported(store, None) if name in line or message.text in line],
        "export one": lambda: _exported(store, [name]),
    }


def _exported(store: SessionStore, names: list[str] | None) -> list[str]:
    bare: SessionStore = store.target  # type: ignore[attr-defined]  # the form in lines is an iterator, not a call
    return list(bare.export(names))


def _told(call: Callable[[], object]) -> object:
    """What a call gives, or the error with its name."""
    try:
        return call()
    except SessionError as error:
        return type(error), str(error)


def test_another_tenants_sessions_do_not_exist(opened: Opened) -> None:
    """A session of another tenant is answered like an id that is not there, and its id can be used anew."""
    mine, other = opened.store(), opened.store()
    secret = Message.user("the secret")
    other.session("private", title="private", metadata={"secret": True}).append(secret)
    for name, call in _ways_in(mine, "private", secret).items():
        absent = _told(_ways_in(mine, "missing", secret)[name])
        found = _told(call)
        assert repr(found).replace("private", "missing") == repr(absent), name
        assert "secret" not in repr(found)
    taken = mine.session("private")
    assert taken.messages() == []
    taken.delete()
    assert other.session("private", create=False).count() == 1


def test_another_users_sessions_do_not_exist(store: SessionStore) -> None:
    """To a bound store, sessions of others and of nobody are answered like ids that are not there."""
    secret = Message.user("the secret")
    store.session("private", user_id="bob", title="private", metadata={"secret": True}).append(secret)
    store.session("nobodys", title="nobodys", metadata={"secret": True}).append(secret)
    anas = store.for_user("ana")
    for kept in ("private", "nobodys"):
        for name, call in _ways_in(anas, kept, secret).items():
            absent = _told(_ways_in(anas, "missing", secret)[name])
            found = _told(call)
            assert repr(found).replace(kept, "missing") == repr(absent), name
            assert "secret" not in repr(found)
        with pytest.raises(SessionNotFound):
            anas.session(kept)
        with pytest.raises(SessionNotFound):
            store.session(kept, user_id="ana", create=False)
    assert store.sessions(user_id="ana").items == ()
    assert {session.id for session in store.sessions()} == {"private", "nobodys"}


def test_a_bound_store_makes_sessions_of_its_user(store: SessionStore) -> None:
    """What a bound store makes is its user's, and the application's own view sees it."""
    anas = store.for_user("ana")
    anas.session("trip").append(Message.user("hello"))
    assert store.session("trip", create=False).user_id == "ana"
    assert [session.id for session in anas.sessions()] == ["trip"]
    assert anas.for_user("ana").session("trip", user_id="ana", create=False).count() == 1
    with pytest.raises(ValueError, match="user_id: 'bob' is not the user this store is bound to"):
        anas.session("other", user_id="bob")
    with pytest.raises(ValueError, match="user_id: 'bob'"):
        anas.for_user("bob")


def _uses(session: Session) -> dict[str, Callable[[], object]]:
    """Each method of a session that reads or writes it."""
    return {
        "append": lambda: session.append(Message.user("late")),
        "append again": lambda: session.append(Message.user("late", id="late"), ids="loose"),
        "append nothing": lambda: session.append(),
        "messages": lambda: session.messages(),
        "last": lambda: session.messages(last=1),
        "count": lambda: session.count(),
        "replace": lambda: session.replace([Message.user("late")]),
        "remove": lambda: session.remove(),
        "set_aside": lambda: session.set_aside(first=1),
        "pop_turn": lambda: session.pop_turn(),
        "update": lambda: session.update(title="late"),
        "record": lambda: session.record(),
        "title": lambda: session.title,
        "delete": lambda: session.delete(),
    }


def test_a_deleted_session_is_gone_for_good(store: SessionStore) -> None:
    """Deleting tells what it removed; afterwards every method of the handle says so and changes nothing.

    A new session of that id is another one: the old handle does not reach it.
    """
    session = store.session("trip", title="Lisbon")
    session.append(Message.user("one"), Message.assistant("two"))
    session.pop_turn()
    receipt = session.delete()
    assert (receipt.session_ids, receipt.messages, receipt.complete) == (("trip",), 2, True)
    assert len(store.sessions()) == 0
    with pytest.raises(SessionNotFound):
        store.session("trip", create=False)
    anew = store.session("trip")
    anew.append(Message.user("mine"))
    for use in _uses(session).values():
        with pytest.raises(SessionNotFound, match=r"session 'trip': not found; .*make it anew"):
            use()
    assert [message.text for message in anew.messages()] == ["mine"]
    assert anew.title is None


def test_a_closed_store_says_so(opened: Opened) -> None:
    """After close() every call says how to go on; closing twice is fine; a bound store closes nothing."""
    store = opened.another()
    session = store.session("trip")
    store.for_user("ana").close()
    session.append(Message.user("still open"))
    store.close()
    store.close()
    uses: list[Callable[[], object]] = [lambda: store.session("trip"), lambda: store.sessions()]
    for use in (*_uses(session).values(), *uses):
        with pytest.raises(StorageUnavailable, match=r"the store is closed; open another with SessionStore\.open"):
            use()
