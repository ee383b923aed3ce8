"""What fork and rewind promise: everything as it was at a message, in whole turns, however the store is driven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_session_core import (
    FileReference,
    InvalidInput,
    Message,
    Session,
    SessionExists,
    SessionNotActive,
    SessionNotFound,
    SessionStore,
    ToolCallPart,
)
from tests.contract.drivers import Opened


def _seen(session: Session) -> dict[str, Any]:
    """Everything that can be seen of a session, but what names the session itself."""
    return {
        "messages": [(message.seq, message.text) for message in session.messages(archived=None)],
        "state": session.state.all(),
        "files": [(file.name, file.version, session.files.get(file.name).data) for file in session.files.list()],
        "tasks": [(task.title, task.status, task.progress, task.note) for task in session.tasks.records()],
        "calls": [(call.id, call.name, call.status, call.result) for call in session.tool_calls()],
    }


@pytest.fixture
def told(session: Session) -> tuple[Session, dict[str, Any]]:
    """A session of two turns (messages 1 to 4, and the rest), and how it was seen between them."""
    session.state["city"] = "Lisbon"
    session.append(Message.user("Find a hotel."), Message.assistant(parts=(ToolCallPart("c1", "hotel", {}),)))
    with session.tool_call("hotel", {}, id="c1", idempotency_key="k") as call:
        session.append(Message.tool("104 euros", "c1"), Message.assistant("104 euros."))
        call.succeed({"euros": 104})
    task = session.tasks.add("Hotel")
    session.files.put("plan.md", b"one")
    session.files.put("photo", b"\x00\x01")
    session.state["euros"] = 104
    before = _seen(session)
    session.append(Message.user("Another."))
    session.state.update(delete=["city"], euros=90)
    session.files.put("plan.md", b"two")
    session.files.delete("photo")
    session.files.put("new.md", b"new")
    task.update(status="completed", note="done")
    session.tasks.add("Train")
    session.append(Message.assistant("90 euros."))
    with session.tool_call("train"):
        pass
    return session, before


def test_a_fork_is_everything_as_it_was(told: tuple[Session, dict[str, Any]]) -> None:
    """A fork at a message has what the session had then; the session stays as it is; lineage is kept."""
    session, before = told
    now, revision = _seen(session), session.revision
    fork = session.fork("other", at=4)
    assert _seen(fork) == before
    assert (_seen(session), session.revision) == (now, revision)
    assert (fork.parent_id, fork.forked_from, fork.user_id, fork.status) == (session.id, 4, None, "active")
    assert (session.parent_id, session.forked_from) == (None, None)
    assert [version.version for version in fork.files.history("plan.md")] == [1]


def test_a_fork_without_a_place_is_everything_as_it_is(told: tuple[Session, dict[str, Any]]) -> None:
    """And so is one at or behind the last message."""
    session, _ = told
    for number, at in enumerate((None, session.messages()[-1].seq, 10**9)):
        fork = session.fork(f"other {number}", at=at)
        assert _seen(fork) == _seen(session)
        assert fork.forked_from == session.messages()[-1].seq


def test_the_two_go_their_own_ways(told: tuple[Session, dict[str, Any]]) -> None:
    """What is written in one is not in the other, though both go on with the same numbers."""
    session, before = told
    now = _seen(session)
    fork = session.fork("other", at=4)
    fork.append(Message.user("elsewhere"))
    fork.state["city"] = "Porto"
    fork.files.put("plan.md", b"elsewhere")
    fork.tasks.list()[0].update(note="elsewhere")
    assert _seen(session) == now
    assert fork.files.history("plan.md")[-1].version == 2
    session.delete()
    assert fork.files.get("photo").data == b"\x00\x01"
    assert fork.parent_id is None
    fork.rewind(to=4)
    assert _seen(fork) == before


def test_a_rewind_takes_everything_back(told: tuple[Session, dict[str, Any]]) -> None:
    """After a rewind the session is as it was at the message; numbers go on, and nothing of before is lost."""
    session, before = told
    last = session.messages()[-1].seq or 0
    assert session.rewind(to=4) == 4
    assert _seen(session) == before
    (stored,) = session.append(Message.user("Otherwise."))
    assert (stored.seq or 0) > last
    assert session.files.put("plan.md", b"three").version == 3
    assert [version.version for version in session.files.history("plan.md")] == [1, 2, 3]
    assert session.files.get("plan.md", 2).data == b"two"


def test_a_rewind_can_be_undone(told: tuple[Session, dict[str, Any]]) -> None:
    """Until something is written: then everything is as it was before it."""
    session, before = told
    now = _seen(session)
    session.rewind(to=4)
    assert session.undo_rewind() == session.messages()[-1].seq
    assert _seen(session) == now
    with pytest.raises(InvalidInput, match=r"nothing was rewound, so there is nothing to undo; call it right after"):
        session.undo_rewind()
    session.rewind(to=4)
    session.state["x"] = 1
    with pytest.raises(InvalidInput, match="something was written since the rewind"):
        session.undo_rewind()
    assert _seen(session) == {**before, "state": {**before["state"], "x": 1}}


def test_a_rewind_of_very_much_can_be_undone(main_session: Session) -> None:
    """Also where more was written than one statement takes: values, and what was deleted."""
    session = main_session
    session.append(Message.user("a"))
    session.state.update({f"old {number}": number for number in range(1_100)})
    session.append(Message.user("b"))
    before = list(session.state.all().items())
    session.append(Message.user("c"))
    session.state.update({f"new {number}": number for number in range(700)}, delete=[f"old {n}" for n in range(600)])
    session.state["old 1000"] = None
    now = session.state.all()
    session.rewind(to=2)
    assert sorted(session.state.all().items()) == sorted(before)
    session.undo_rewind()
    assert session.state.all() == now


def test_a_rewind_to_the_beginning_takes_all(told: tuple[Session, dict[str, Any]]) -> None:
    """State that was set before the first message stays; it is no initial None."""
    session, _ = told
    assert session.rewind(to=0) == 0
    assert _seen(session) == {"messages": [], "state": {"city": "Lisbon"}, "files": [], "tasks": [], "calls": []}


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_cut_falls_between_turns(told: tuple[Session, dict[str, Any]], at: int) -> None:
    """Inside a turn it moves to the end of the turn before: no call is left without its result, nor the other way."""
    session, _ = told
    assert session.fork("other", at=at).forked_from == 0
    assert session.rewind(to=at) == 0
    assert session.messages() == []
    session.undo_rewind()
    newest = session.messages()[-1].seq or 0
    assert session.rewind(to=newest - 1) == 4


def test_what_was_written_between_two_messages_stays_together(session: Session) -> None:
    """Files with text take numbers of their own; a cut keeps them, and what came after them, with their message."""
    session.append(Message.user("one"), Message.assistant("two"))
    session.files.put("a.txt", b"text")
    session.files.put("b.txt", b"text of another")
    session.state["x"] = 1
    before = _seen(session)
    session.append(Message.user("next"), Message.assistant("good"))
    session.state["x"] = 2
    assert session.state.at(2) == {"x": 1}
    for at in (2, 3, 4):
        assert _seen(session.fork(f"at {at}", at=at)) == before
    session.rewind(to=2)
    assert _seen(session) == before


def test_a_place_that_was_rewound_is_no_place(session: Session) -> None:
    """A fork at a message that is no longer there is one at the last message before it."""
    for text in "abc":
        session.append(Message.user(text), Message.assistant(text))
        session.state["x"] = text
    session.rewind(to=2)
    session.append(Message.user("d"), Message.assistant("d"))
    session.state["x"] = "d"
    fork = session.fork("other", at=4)
    assert ([m.text for m in fork.messages()], fork.state.all(), fork.forked_from) == (["a", "a"], {"x": "a"}, 2)


def test_a_rewind_that_takes_nothing_writes_nothing(session: Session) -> None:
    """The rewind before it can still be undone, also after one that was asked for twice."""
    session.append(*(Message.user(text) for text in "abcd"))
    session.state["x"] = "d"
    assert session.rewind(to=2) == 2
    revision = session.revision
    assert [session.rewind(to=to) for to in (2, 99)] == [2, 2]
    assert session.revision == revision
    assert session.undo_rewind() == 4
    assert ([m.text for m in session.messages()], session.state.all()) == (list("abcd"), {"x": "d"})
    session.close()
    with pytest.raises(SessionNotActive):
        session.rewind(to=99)


def test_a_fork_can_be_rewound_as_its_parent(session: Session) -> None:
    """It knows where messages stood that were taken back, and nothing of what they said."""
    session.append(Message.user("a secret"), Message.user("b"))
    session.state["x"] = 1
    session.files.put("plan.md", b"one")
    session.rewind(to=0)
    session.state["x"] = 2
    session.files.put("plan.md", b"two")
    copy = session.fork("copy")
    again = copy.fork("again")
    before: dict[str, Any] = {"messages": [], "state": {}, "files": [], "tasks": [], "calls": []}
    assert _seen(session.fork("at", at=0)) == _seen(copy.fork("copy at", at=0)) == before
    for one in (session, copy, again):
        assert one.state.all() == {"x": 2}
        assert one.rewind(to=0) == 0
        assert _seen(one) == before
        one.undo_rewind()
        assert (one.state.all(), one.messages(), one.files.get("plan.md").data) == ({"x": 2}, [], b"two")


def test_what_a_framework_has_set_aside_is_rewound_with_the_rest(session: Session) -> None:
    """Messages set aside behind the cut go, and come back set aside."""
    for text in "abc":
        session.append(Message.user(text), Message.assistant(text))
    session.set_aside(first=4)
    session.rewind(to=2)
    assert ([m.seq for m in session.messages()], [m.seq for m in session.messages(archived=True)]) == ([], [1, 2])
    session.undo_rewind()
    assert ([m.seq for m in session.messages()], [m.seq for m in session.messages(archived=True)]) == (
        [5, 6],
        [1, 2, 3, 4],
    )


def test_a_rewind_stays_within_its_run(session: Session) -> None:
    """Earlier runs stay whole; a fork at one of their messages is of that run."""
    session.append(Message.user("a"), Message.assistant("a"), Message.user("b"), Message.assistant("b"))
    session.state["x"] = "b"
    session.restart(keep_state=False)
    session.append(Message.user("c"), Message.assistant("c"))
    session.state["x"] = "c"
    fork = session.fork("other", at=2)
    assert ([m.text for m in fork.messages()], fork.run) == (["a", "a"], 1)
    for earlier in (1, 2, 4):
        with pytest.raises(InvalidInput, match=rf"^to: {earlier} lies in an earlier run than the current one, 2; "):
            session.rewind(to=earlier)
    assert len(session.messages()) == 2
    assert session.rewind(to=0) == 0
    assert (session.messages(), session.state.all(), session.run) == ([], {}, 2)
    assert len(session.messages(run=1)) == 4


def test_calls_keep_what_is_known_of_them(session: Session) -> None:
    """A call that had begun at the cut and has ended since is not unknown again, in a rewind or in a fork."""
    session.append(Message.user("one"))
    with session.tool_call("book", idempotency_key="k") as call:
        session.append(Message.assistant("two"), Message.user("three"), Message.assistant("four"))
        call.succeed("booked")
    fork = session.fork("other", at=2)
    session.rewind(to=2)
    for one in (session, fork):
        assert [(call.status, call.result) for call in one.tool_calls()] == [("succeeded", "booked")]
        with one.tool_call("book", idempotency_key="k") as again:
            assert again.result == "booked"


def test_a_call_that_may_have_acted_stays_open_work(session: Session) -> None:
    """A rewind does not hide what still stops another call with the key; once it is settled, that one may act."""
    session.append(Message.user("one"))
    for name, key in (("pay", "k"), ("look", None)):
        with pytest.raises(KeyboardInterrupt), session.tool_call(name, id=name, idempotency_key=key):
            raise KeyboardInterrupt
    assert [each.name for each in session.open_work().unknown] == ["pay", "look"]
    session.rewind(to=0)
    assert [(each.id, each.idempotency_key) for each in session.open_work().unknown] == [("pay", "k")]
    session.settle_tool_call("pay", error="it did not")
    assert session.open_work().unknown == ()
    with session.tool_call("pay", idempotency_key="k") as again:
        assert again.earlier is None


def test_shared_state_is_not_taken_back(store: SessionStore) -> None:
    """A user's and the application's variables, which others share, stay as they are."""
    session = store.session("trip", user_id="ana")
    session.append(Message.user("one"), Message.assistant("two"))
    session.append(Message.user("three"))
    session.state.user.update(home="Lisbon")
    session.state.app.update(v=1)
    session.rewind(to=2)
    assert (session.state.user.all(), session.state.app.all()) == ({"home": "Lisbon"}, {"v": 1})


def test_a_fork_of_a_fork_knows_its_parent(session: Session) -> None:
    """Lineage is one step at a time."""
    session.append(Message.user("one"), Message.assistant("two"))
    first = session.fork("first")
    first.append(Message.user("three"))
    second = first.fork("second", at=2)
    assert (second.parent_id, first.parent_id, second.forked_from) == ("first", session.id, 2)
    assert _seen(second) == _seen(session)


def test_an_ended_session_can_be_forked(session: Session) -> None:
    """The fork is active, whatever its parent is."""
    session.append(Message.user("one"))
    session.archive()
    fork = session.fork("other")
    fork.append(Message.assistant("two"))
    assert (fork.status, session.status) == ("active", "archived")


def test_a_fork_needs_a_free_id(store: SessionStore, opened: Opened) -> None:
    """An id that is taken, by whomever in the tenant, is refused; one of another tenant is free. Owners stay."""
    session = store.session("trip", user_id="ana")
    store.session("ben's", user_id="ben")
    opened.store().session("free")
    for taken in ("trip", "ben's"):
        with pytest.raises(SessionExists, match=r"session_id: .* is taken; give the fork another id"):
            session.fork(taken)
    assert session.fork("free").user_id == "ana"
    with pytest.raises(SessionNotFound):
        store.for_user("ben").session("free", create=False)


def test_places_that_cannot_be_used_are_refused(main_session: Session) -> None:
    """Ids and places are named; nothing is changed."""
    main_session.append(Message.user("one"), Message.user("two"))
    places: list[Any] = [-1, 1.0, "1", True, 2**70, [1]]
    calls: list[tuple[str, Any]] = [
        *(("session_id", lambda bad=bad: main_session.fork(bad)) for bad in ("", 5, None, "a\nb", "x" * 513)),
        *(("at", lambda bad=bad: main_session.fork("new", at=bad)) for bad in places),
        *(("to", lambda bad=bad: main_session.rewind(to=bad)) for bad in (*places, None)),
    ]
    before = main_session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: "):
            call()
    assert (main_session.revision, main_session.count()) == (before, 2)


@pytest.fixture
def searched(tmp_path: Path) -> Iterator[SessionStore]:
    """A store that can be searched."""
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db") as store:
        yield store


def test_the_index_follows(searched: SessionStore) -> None:
    """What is rewound is not found, what is forked is found in both, what is undone is found again."""
    session = searched.session("trip")
    session.append(Message.user("the zebra"), Message.assistant("yes"))
    session.files.put("plan.txt", b"the first okapi")
    session.append(Message.user("the giraffe"))
    session.files.put("plan.txt", b"a second tapir")

    def found(word: str) -> set[tuple[str, FileReference | None]]:  # each by itself: what says the same is one hit
        hits = [searched.search(word, mode="keyword", session_ids=[name]) for name in ("trip", "other")]
        return {(hit.session_id, hit.file) for some in hits for hit in some}

    one, two = FileReference("plan.txt", 1), FileReference("plan.txt", 2)
    assert (found("okapi"), found("tapir"), found("giraffe")) == (set(), {("trip", two)}, {("trip", None)})
    session.rewind(to=2)
    assert (found("okapi"), found("tapir"), found("giraffe")) == ({("trip", one)}, set(), set())
    session.fork("other")
    assert (found("okapi"), found("zebra")) == ({("trip", one), ("other", one)}, {("trip", None), ("other", None)})
    session.undo_rewind()
    assert (found("okapi"), found("tapir"), found("giraffe")) == ({("other", one)}, {("trip", two)}, {("trip", None)})
    assert searched.verify().consistent
