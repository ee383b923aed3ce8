"""What erasure promises: nothing stays, a receipt tells what went, and nobody else's is touched."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import (
    IndexUnavailable,
    InvalidInput,
    Message,
    Session,
    SessionNotFound,
    SessionStore,
)
from tests.contract.drivers import Opened


def _fill(session: Session) -> None:
    session.append(Message.user("one"), Message.assistant("two"))
    session.pop_turn()
    session.append(Message.user("three"))
    session.state.update(a=1, b=2)
    session.state.update(delete=["b"])
    session.state.user.update(home="Lisbon")
    session.files.put("photo", b"\x00one")
    session.files.put("photo", b"\x00two")
    session.tasks.add("below", parent=session.tasks.add("above"))
    with session.tool_call("book", idempotency_key="k"):
        pass


def test_a_deleted_session_is_told_by_its_receipt(store: SessionStore) -> None:
    """The receipt counts what there was of each thing, whatever its state; it is kept, and complete."""
    session = store.session("trip", user_id="ana")
    _fill(session)
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
    receipt = session.delete()
    assert (receipt.session_ids, receipt.complete) == (("trip",), True)
    counts = (receipt.messages, receipt.state, receipt.files, receipt.tasks, receipt.tool_calls, receipt.nodes)
    assert counts == (3, 1, 1, 2, 1, 0)
    assert before <= receipt.erased_at <= datetime.now(timezone.utc)
    assert store.receipt(receipt.id) == receipt
    with pytest.raises(SessionNotFound):
        session.delete()


def test_forks_go_as_asked(store: SessionStore) -> None:
    """They stay, without a parent, unless they are to go too: then forks of forks as well."""
    for forks in (False, True):
        parent = store.session("parent")
        _fill_messages = parent.append(Message.user("one"))
        assert _fill_messages
        child = parent.fork("child")
        grandchild = child.fork("grandchild")
        receipt = parent.delete(forks=forks)
        assert set(receipt.session_ids) == ({"parent", "child", "grandchild"} if forks else {"parent"})
        if not forks:
            assert (child.parent_id, grandchild.parent_id) == (None, "child")
            assert len(child.messages()) == 1
            child.delete(forks=True)
    assert len(store.sessions()) == 0


def test_a_fork_is_its_parents_owners(store: SessionStore) -> None:
    """Whoever loads a session that names somebody else's as its parent neither loses it with that one nor learns of it.

    Sessions of an application without users are one owner's.
    """
    ana, bob = store.for_user("ana"), store.for_user("bob")
    ana.session("trip").append(Message.user("ana's"))
    lines = ['{"type":"header","format":"agent-session-core","version":2}']
    lines += ['{"type":"session","id":"bobs","parent_id":"trip","forked_from":1}']
    bob.load(lines)
    bobs = bob.session("bobs", create=False)
    bobs.append(Message.user("bob's"))
    assert ana.session("trip").delete(forks=True).session_ids == ("trip",)
    assert ([message.text for message in bobs.messages()], bobs.parent_id) == (["bob's"], "trip")
    store.session("all's").fork("mine too")
    assert set(store.session("all's").delete(forks=True).session_ids) == {"all's", "mine too"}


def test_a_users_erasure_takes_all_and_only_theirs(store: SessionStore, opened: Opened) -> None:
    """Every session of the user and the user's variables; nothing of another user, the application or a tenant."""
    twin = opened.store().session("a", user_id="ana")
    _fill(twin)
    for name, owner in (("a", "ana"), ("b", "ana"), ("c", "ben")):
        _fill(store.session(name, user_id=owner))
    store.session("c").state.app.update(v=1)
    receipt = store.erase(user_id="ana")
    assert (set(receipt.session_ids), receipt.complete) == ({"a", "b"}, True)
    assert (receipt.messages, receipt.state, receipt.files) == (6, 3, 2)
    assert [session.id for session in store.sessions()] == ["c"]
    assert store.session("new", user_id="ana").state.user.all() == {}
    ben = store.session("c")
    assert (ben.state.user.all(), ben.state.app.all(), len(ben.messages())) == ({"home": "Lisbon"}, {"v": 1}, 1)
    assert (len(twin.messages()), twin.state.user.all()) == (1, {"home": "Lisbon"})
    assert store.erase(user_id="nobody").session_ids == ()


def test_a_tenants_erasure_takes_all_and_only_its(store: SessionStore, opened: Opened) -> None:
    """Sessions, users' and application's variables; the receipts stay, and other tenants."""
    twin = opened.store().session("a", user_id="ana")
    _fill(twin)
    earlier = store.session("gone").delete()
    for name, owner in (("a", "ana"), ("c", None)):
        session = store.session(name, user_id=owner)
        session.append(Message.user("x"))
        session.state.app.update(v=1)
    receipt = store.erase_tenant()
    assert (set(receipt.session_ids), receipt.messages, receipt.state) == ({"a", "c"}, 2, 1)
    assert len(store.sessions()) == 0
    assert store.session("a", user_id="ana").state.app.all() == {}
    assert store.receipt(earlier.id) == earlier
    assert len(twin.messages()) == 1


def test_the_same_id_begins_anew(store: SessionStore) -> None:
    """A session made under an erased id has nothing of the old one, and the old one's handles do not reach it."""
    old = store.session("trip", user_id="ana")
    _fill(old)
    task = old.tasks.list()[0]
    old.delete()
    new = store.session("trip", user_id="ben")
    assert (new.messages(archived=None), new.state.all(), new.files.list(), new.tool_calls()) == ([], {}, [], [])
    for late in (
        lambda: old.append(Message.user("late")),
        lambda: old.state.user.update(x=1),
        lambda: task.update(note="x"),
    ):
        with pytest.raises(SessionNotFound):
            late()
    assert (new.messages(), new.state.user.all()) == ([], {})


def test_receipts_are_their_owners(store: SessionStore, opened: Opened) -> None:
    """A receipt of another tenant or user is not found, as one that never was; the application sees all of its own."""
    receipts = {
        "ana": store.session("a", user_id="ana").delete(),
        "ben": store.session("b", user_id="ben").delete(),
        None: store.session("c").delete(),
        "all of ana": store.erase(user_id="ana"),
    }
    for owner, receipt in receipts.items():
        assert store.receipt(receipt.id) == receipt
        if owner in ("ana", "all of ana"):
            assert store.for_user("ana").receipt(receipt.id) == receipt
        for stranger in (opened.store(), store.for_user("eve"), store.for_user("ben" if owner != "ben" else "ana")):
            with pytest.raises(InvalidInput, match=r"^receipt_id: '.*' is not found; give the id of a receipt"):
                stranger.receipt(receipt.id)


def test_a_bound_store_erases_its_own(store: SessionStore) -> None:
    """It erases its user without a name, and refuses other users and the tenant."""
    for name, owner in (("a", "ana"), ("b", "ben")):
        store.session(name, user_id=owner)
    bound = store.for_user("ana")
    with pytest.raises(InvalidInput, match=r"^user_id: 'ben' is not the user this store is bound to"):
        bound.erase(user_id="ben")
    with pytest.raises(InvalidInput, match=r"^erase_tenant: this store is bound to a user"):
        bound.erase_tenant()
    assert bound.erase().session_ids == ("a",)
    assert [session.id for session in store.sessions()] == ["b"]


def test_a_receipt_is_complete_when_the_index_has_forgotten(tmp_path: Path) -> None:
    """Erased by a store without an index, the receipt waits until a store with one has come by."""
    url = f"sqlite:///{tmp_path}/s.db"
    with SessionStore.open(url) as indexed, SessionStore.open(url, index="off") as plain:
        indexed.session("trip").append(Message.user("the night train"))
        assert len(indexed.search("night train")) == 1
        receipt = plain.session("trip").delete()
        assert not receipt.complete
        with pytest.raises(IndexUnavailable):
            plain.search("night train")
        assert len(indexed.search("night train")) == 0
        assert plain.receipt(receipt.id).complete
        indexed.session("trip").append(Message.user("the night train"))
        assert indexed.search("night train")
        assert indexed.erase_tenant().complete


def test_what_names_no_one_is_refused(main_opened: Opened) -> None:
    """An erasure needs a user, a receipt its id; nothing is changed."""
    store = main_opened.store()
    store.session("trip")
    with pytest.raises(InvalidInput, match=r"^user_id: whose\? Name the user; erase_tenant\(\) erases everything"):
        store.erase()
    ids: list[Any] = ["", 5, "a\nb", "x" * 513, "\ud800", ["a"]]
    for bad in ids:
        with pytest.raises(InvalidInput, match=r"^user_id: "):
            store.erase(user_id=bad)
        with pytest.raises(InvalidInput, match=r"^receipt_id: "):
            store.receipt(bad)
    assert len(store.sessions()) == 1
