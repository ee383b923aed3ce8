"""What a session's variables promise, in every scope and however the store is driven."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from agent_session_core import InvalidInput, Message, Session, SessionNotFound, SessionStore, StateConflict


def test_state_is_a_mapping(session: Session) -> None:
    """Variables are set, read, tested, counted and deleted as those of a dict are; what is read is what was written."""
    state = session.state
    state["budget"] = 900
    state.update({"cities": ["Lisbon", {"of": None}]}, flag=True)
    assert state.all() == {"budget": 900, "cities": ["Lisbon", {"of": None}], "flag": True}
    assert (state["budget"], state.get("budget"), state.get("nowhere"), state.get("nowhere", 5)) == (900, 900, None, 5)
    anything: Any = 5
    assert ("budget" in state, "nowhere" in state, anything in state, len(state)) == (True, False, False, 3)
    assert sorted(state) == ["budget", "cities", "flag"]
    del state["budget"]
    assert "budget" not in state
    assert [name in state for name in ("\ud800", "", "a\nb", "x" * 600)] == [False] * 4
    with pytest.raises(KeyError, match="budget"):
        state["budget"]
    with pytest.raises(KeyError, match="budget"):
        del state["budget"]
    state.clear()
    assert state.all() == {}


def test_none_is_a_value_and_deleting_is_deleting(session: Session) -> None:
    """A key with None is there; only deleting takes it away."""
    session.state.update(home=None)
    assert session.state.all() == {"home": None}
    assert "home" in session.state
    assert session.state["home"] is None
    session.state.update(delete=["home", "never"])
    assert session.state.all() == {}


@pytest.mark.parametrize("value", ["\x00\ud800é", 2**70, 1e300, -0.0, [], {}, "", {"lc": 1, "type": "constructor"}])
def test_values_come_back_equal(main_session: Session, value: object) -> None:
    """Any JSON value comes back as it was, odd text and large numbers too; nothing is ever made of it."""
    main_session.state["x"] = value
    assert main_session.state.all() == {"x": value}


def test_a_name_is_set_or_deleted(session: Session) -> None:
    """An update that does both to one name is refused, and nothing of it is written."""
    session.state.update(a=1, b=2)
    given: list[tuple[Any, dict[str, Any]]] = [({"a": 9}, {}), ({}, {"a": 9}), ([("c", 3), ("a", 9)], {})]
    for values, more in given:
        with pytest.raises(InvalidInput, match=r"^delete: 'a' is also set; give it in values or in delete$"):
            session.state.update(values, delete=["b", "a"], **more)
    assert (session.state.all(), session.state.revision) == ({"a": 1, "b": 2}, 1)


def test_an_update_is_one_step(session: Session) -> None:
    """Setting and deleting happen together, as one revision, or not at all."""
    assert session.state.revision == 0
    assert session.state.update({"a": 1, "b": 2}) == 1
    assert session.state.update({"a": 3}, delete=["b"]) == session.state.revision == 2
    with pytest.raises(InvalidInput, match="state\\['bad'\\]"):
        session.state.update({"b": 4, "bad": object()}, delete=["a"])
    assert (session.state.all(), session.state.revision) == ({"a": 3}, 2)


def test_writers_of_different_keys_lose_nothing(session: Session, store: SessionStore) -> None:
    """Two handles that write keys of their own each see both, whatever either had read before."""
    other = store.session(session.id)
    session.state["mine"] = 1
    assert other.state.all() == {"mine": 1}
    other.state["yours"] = 2
    session.state["mine"] = 3
    assert session.state.all() == other.state.all() == {"mine": 3, "yours": 2}


def test_an_expected_revision_is_compared(session: Session, store: SessionStore) -> None:
    """Whoever has seen an older revision is told both, and writes nothing."""
    seen = session.state.revision
    store.session(session.id).state["x"] = "faster"
    with pytest.raises(StateConflict, match="expected_revision: 0, but the session state is at 1; read it") as caught:
        session.state.update({"x": "slower"}, expected_revision=seen)
    assert (caught.value.expected, caught.value.current) == (0, 1)
    assert session.state.all() == {"x": "faster"}
    assert session.state.update({"x": "again"}, expected_revision=caught.value.current) == 2


def test_a_conflict_survives_being_sent_to_another_process() -> None:
    """The error keeps its revisions when a pool of processes hands it on."""
    error = pickle.loads(pickle.dumps(StateConflict("no", expected=1, current=2)))  # noqa: S301  # our own bytes
    assert (str(error), error.expected, error.current) == ("no", 1, 2)


def test_scopes_are_shared_as_far_as_they_say(store: SessionStore) -> None:
    """A user's variables are seen in all sessions of the user, the application's in all; a session's in it alone."""
    ana, also_ana = store.session("a", user_id="ana"), store.session("b", user_id="ana")
    ben = store.session("c", user_id="ben")
    ana.state["x"] = "session"
    ana.state.user.update(x="user")
    ana.state.app.update(x="app")
    ana.state.temp["x"] = "temp"
    assert (also_ana.state.all(), also_ana.state.user.all(), also_ana.state.app.all()) == (
        {},
        {"x": "user"},
        {"x": "app"},
    )
    assert (ben.state.all(), ben.state.user.all(), ben.state.app.all()) == ({}, {}, {"x": "app"})
    assert store.session("a").state.temp == {}
    assert (ana.state.revision, ana.state.user.revision, ben.state.user.revision) == (1, 1, 0)


def test_a_session_without_a_user_has_no_user_state(session: Session) -> None:
    """It is told so, with the remedy."""
    with pytest.raises(InvalidInput, match=r"state\.user: session 'trip' has no user; make it with user_id="):
        session.state.user.all()


def test_tenants_share_no_state(store: SessionStore, opened: Any) -> None:
    """The application's variables are those of one tenant."""
    other = opened.store()
    store.session("s", user_id="ana").state.app.update(x=1)
    store.session("s").state.user.update(x=2)
    theirs = other.session("s", user_id="ana")
    assert (theirs.state.app.all(), theirs.state.user.all(), theirs.state.all()) == ({}, {}, {})


def test_every_write_is_remembered_with_its_message(session: Session) -> None:
    """The history tells of each write its value, revision and the message after which it happened."""
    session.state["x"] = 0
    session.append(Message.user("one"))
    session.state.update(x=1, y=None)
    session.append(Message.assistant("two"), Message.user("three"))
    session.state.update(delete=["x"])
    told = [(write.key, write.value, write.deleted, write.revision, write.seq) for write in session.state.history()]
    assert told == [
        ("x", 0, False, 1, 0),
        ("x", 1, False, 2, 1),
        ("y", None, False, 2, 1),
        ("x", None, True, 3, 3),
    ]
    assert [write.value for write in session.state.history("y")] == [None]
    times = [write.written_at for write in session.state.history()]
    assert times == sorted(times)
    assert times[0].utcoffset() is not None


def test_state_can_be_read_as_of_any_message(session: Session) -> None:
    """``at`` gives the variables as they were when the message was the newest, files with text notwithstanding."""
    session.state["x"] = 0
    session.append(Message.user("one"), Message.assistant("two"))
    session.state["x"] = 2
    session.files.put("a.txt", b"searchable text takes a number of its own")
    session.state["y"] = "after the file, before the next message"
    session.append(Message.user("next"))
    session.state.update(delete=["x"])
    after_two = {"x": 2, "y": "after the file, before the next message"}
    assert [session.state.at(seq) for seq in (0, 1, 2)] == [{"x": 0}, {"x": 0}, after_two]
    newest = session.messages()[-1].seq or 0
    assert session.state.at(newest) == session.state.at(10**9) == {"y": after_two["y"]}


def test_a_write_counts_as_a_change_of_the_session(session: Session) -> None:
    """The session's revision and time move with its state, also with its user's."""
    before = session.record()
    session.state["x"] = 1
    after = session.record()
    assert after.revision == before.revision + 1
    assert after.updated_at >= before.updated_at


def test_a_deleted_session_has_no_state(store: SessionStore) -> None:
    """A handle of a session that is gone reads and writes nothing, in any scope."""
    session = store.session("trip", user_id="ana")
    session.state["x"] = 1
    session.delete()
    for state in (session.state, session.state.user, session.state.app):
        for call in (
            state.all,
            state.history,
            lambda state=state: state.update(x=1),
            lambda state=state: state.get("x"),
        ):
            with pytest.raises(SessionNotFound):
                call()
    assert store.session("trip", user_id="ana").state.all() == {}


def test_an_old_handle_does_not_write_into_a_new_session_of_the_same_id(store: SessionStore) -> None:
    """Deleting and making anew gives another session: the old handle's writes are refused."""
    old = store.session("trip")
    old.delete()
    new = store.session("trip")
    with pytest.raises(SessionNotFound):
        old.state.update(x=1)
    assert new.state.all() == {}


BAD_KEYS: list[Any] = ["", "x" * 513, "a\nb", "\ud800", 5, None, b"x", ("a",)]
NO_JSON: list[Any] = [float("nan"), {"a": [float("-inf")]}, {1: 2}, [{"a": {None: 1}}]]
BAD_VALUES: list[Any] = [object(), {1, 2}, b"bytes", {"a": object()}, [[set()]], "x" * 1_100_000]


def test_what_state_cannot_hold_is_refused(main_session: Session) -> None:
    """Keys, values, revisions and places that cannot be used are named; nothing is changed."""
    state = main_session.state
    state["there"] = 1
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    calls: list[tuple[str, Any]] = [
        *(("key", lambda bad=bad: state.update({bad: 1})) for bad in BAD_KEYS),
        *(("key", lambda bad=bad: state.update([(bad, 1)])) for bad in BAD_KEYS[:4]),
        *(("delete", lambda bad=bad: state.update(delete=[bad])) for bad in BAD_KEYS),
        *(("delete", lambda bad=bad: state.update(delete=bad)) for bad in ("there", 5, b"x")),
        *((r"state\['x'\]", lambda bad=bad: state.update(x=bad)) for bad in (*BAD_VALUES, *NO_JSON, deep)),
        *(("values", lambda bad=bad: state.update(bad)) for bad in (5, "text", [1], None)),
        *(
            ("expected_revision", lambda bad=bad: state.update({"x": 1}, expected_revision=bad))
            for bad in (-1, 1.0, "1", True, 10**5000)
        ),
        *(("seq", lambda bad=bad: state.at(bad)) for bad in (-1, 1.0, "1", None, True, 2**70)),
        *(("key", lambda bad=bad: state.history(bad)) for bad in (5, "", "a\nb")),
        ("values", lambda: state.update({str(n): "x" * 1_000_000 for n in range(9)})),
    ]
    before = main_session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: ") as caught:
            call()
        assert len(str(caught.value)) < 400
    assert (state.all(), main_session.revision) == ({"there": 1}, before)
