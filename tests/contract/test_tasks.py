"""What a session's tasks promise, however the store is driven."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_session_core import InvalidInput, Message, Session, SessionNotFound, SessionStore, TaskNotFound, TaskRecord


def _shape(session: Session, *, open: bool = False) -> list[tuple[int, str, str, float]]:
    return [(task.depth, task.title, task.status, task.progress) for task in session.tasks.records(open=open)]


def test_tasks_are_a_tree(session: Session) -> None:
    """Each task is followed by those below it, in the order in which they were added."""
    trip = session.tasks.add("Trip", note="in May")
    hotel = session.tasks.add("Hotel", parent=trip)
    session.tasks.add("Bike")
    session.tasks.add("Compare", parent=hotel.id)
    session.tasks.add("Flight", parent=trip.record())
    assert [(depth, title) for depth, title, _, _ in _shape(session)] == [
        (0, "Trip"),
        (1, "Hotel"),
        (2, "Compare"),
        (1, "Flight"),
        (0, "Bike"),
    ]
    assert session.tasks.list()[1] == hotel
    assert (hotel.parent_id, trip.note, trip.status, trip.progress) == (trip.id, "in May", "pending", 0.0)


def test_a_task_is_live(session: Session, store: SessionStore) -> None:
    """A handle tells what is so now; an update changes what is named, and None takes away."""
    task = session.tasks.add("Hotel")
    same = store.session(session.id).tasks.list()[0]
    record = task.update(status="in_progress", progress=0.25, note="two left")
    assert (same.status, same.progress, same.note, same.title) == ("in_progress", 0.25, "two left", "Hotel")
    assert record == same.record()
    task.update(title="Hotel in Alfama")
    task.update(note=None, progress=None)
    assert (same.title, same.note, same.progress, same.status) == ("Hotel in Alfama", None, 0.0, "in_progress")
    assert same.created_at <= same.updated_at
    assert same == task
    assert len({same, task}) == 1


def test_progress_follows_from_the_children_unless_it_is_set(session: Session) -> None:
    """The mean of the children that are not cancelled; 1 when completed; what was set is what it is, until None."""
    trip = session.tasks.add("Trip")
    hotel, flight, tram = (session.tasks.add(title, parent=trip) for title in ("Hotel", "Flight", "Tram"))
    hotel.update(status="completed")
    assert trip.progress == pytest.approx(1 / 3)
    tram.update(status="cancelled")
    assert trip.progress == 0.5
    flight.update(progress=0.5)
    assert trip.progress == 0.75
    trip.update(progress=0.1)
    assert trip.progress == 0.1
    trip.update(progress=None)
    assert trip.progress == 0.75
    trip.update(status="completed")
    assert trip.progress == 1.0


def test_open_tasks_come_with_what_they_are_a_part_of(session: Session) -> None:
    """One call gives what is still to be done, and the tasks above it, whatever their status."""
    trip = session.tasks.add("Trip")
    hotel = session.tasks.add("Hotel", parent=trip)
    session.tasks.add("Flight", parent=trip, status="failed")
    session.tasks.add("Bike", status="cancelled")
    trip.update(status="completed")
    assert [title for _, title, _, _ in _shape(session, open=True)] == ["Trip", "Hotel"]
    hotel.update(status="completed")
    assert session.tasks.list(open=True) == []


def test_deleting_takes_what_is_below(session: Session) -> None:
    """A task goes with its whole branch; others stay, and its handles find nothing."""
    trip = session.tasks.add("Trip")
    hotel = session.tasks.add("Hotel", parent=trip)
    session.tasks.add("Compare", parent=hotel)
    session.tasks.add("Flight", parent=trip)
    hotel.delete()
    assert [title for _, title, _, _ in _shape(session)] == ["Trip", "Flight"]
    for call in (
        hotel.record,
        hotel.delete,
        lambda: hotel.update(note="x"),
        lambda: session.tasks.add("x", parent=hotel),
    ):
        with pytest.raises(
            TaskNotFound, match=r"task_id: '.*' is not found; session.tasks.list\(\) has those there are"
        ):
            call()


def test_tasks_of_another_session_do_not_exist(session: Session, store: SessionStore, opened: Any) -> None:
    """A task's id means nothing in another session, for another user or another tenant."""
    task = session.tasks.add("mine")
    for other in (store.session("other"), opened.store().session(session.id)):
        assert other.tasks.list() == []
        with pytest.raises(TaskNotFound):
            other.tasks.get(task.id)
        with pytest.raises(TaskNotFound):
            other.tasks.remove(task.id)
    assert task.status == "pending"


def test_tasks_do_not_disturb_messages(session: Session) -> None:
    """Adding tasks takes no message's place."""
    session.append(Message.user("one"))
    session.tasks.add("Trip")
    assert [message.seq for message in session.append(Message.user("two"))] == [2]


def test_a_deleted_session_has_no_tasks(session: Session) -> None:
    """Its handles and those of its tasks are told so."""
    task = session.tasks.add("Trip")
    session.delete()
    for call in (session.tasks.records, session.tasks.list, task.record, lambda: session.tasks.add("x"), task.delete):
        with pytest.raises(SessionNotFound):
            call()


def test_what_a_task_cannot_be_is_refused(main_session: Session) -> None:
    """Every argument is named where it cannot be used; nothing is changed."""
    tasks = main_session.tasks
    task = tasks.add("Trip")
    text: list[Any] = [5, b"x", ["a"], "x" * 70_000]
    amounts: list[Any] = [-0.1, 1.1, "1", True, float("nan"), float("inf"), [1]]
    calls: list[tuple[str, Any]] = [
        *(("title", lambda bad=bad: tasks.add(bad)) for bad in ("", None, "\x00", "\ud800", *text)),
        *(("title", lambda bad=bad: task.update(title=bad)) for bad in ("", "\x00", *text)),
        *(("note", lambda bad=bad: tasks.add("x", note=bad)) for bad in text),
        *(("note", lambda bad=bad: task.update(note=bad)) for bad in text),
        *(("status", lambda bad=bad: tasks.add("x", status=bad)) for bad in ("done", "", None, 5, ["pending"])),
        *(("status", lambda bad=bad: task.update(status=bad)) for bad in ("done", "", 5, ["pending"])),
        *(("progress", lambda bad=bad: task.update(progress=bad)) for bad in amounts),
        *(("parent", lambda bad=bad: tasks.add("x", parent=bad)) for bad in (5, "", ["a"], "a\nb")),
    ]
    before = main_session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: ") as caught:
            call()
        assert len(str(caught.value)) < 400
    ids: list[Any] = [5, None, "nowhere", ["a"]]
    for bad in ids:
        with pytest.raises((TaskNotFound, InvalidInput)):
            tasks.get(bad)
        with pytest.raises((TaskNotFound, InvalidInput)):
            tasks.remove(bad)
    assert main_session.revision == before
    assert [record.title for record in tasks.records()] == ["Trip"]


def test_the_tree_has_a_limit(main_session: Session) -> None:
    """A task below the deepest level is refused."""
    parent: TaskRecord | Any = None
    for level in range(32):
        parent = main_session.tasks.add(str(level), parent=parent)
    with pytest.raises(InvalidInput, match="parent: the tree would be deeper than 32 levels; add it higher up"):
        main_session.tasks.add("33", parent=parent)
    assert len(main_session.tasks.records()) == 32


def test_trees_that_are_none_are_shown(session: Session, store: SessionStore) -> None:
    """Tasks that were loaded in a loop, or nested without end, all stand in the tree, which is as deep as it may be."""
    at = "2026-05-04T09:30:00+00:00"
    parents = {f"{n:04}": f"{n - 1:04}" for n in range(1, 2_001)} | {"a": "b", "b": "a", "below": "a", "self": "self"}
    lines = [
        {
            "type": "record", "session": "trip", "kind": "task", "key": key, "revision": 1, "seq": 0, "written_at": at,
            "value": {"parent_id": parent, "title": key, "status": "pending", "created_at": at, "updated_at": at},
        }
        for key, parent in parents.items()
    ]  # fmt: skip
    assert store.load([json.dumps(line) for line in lines]).problem_count == 0
    records = session.tasks.records(open=True)
    assert {record.id for record in records} == parents.keys()
    assert max(record.depth for record in records) == 31
    depths = {record.id: record.depth for record in records}
    assert (depths["a"], depths["b"], depths["below"], depths["self"]) == (1, 0, 2, 0)
    session.tasks.change("self", progress=0.5)
    session.tasks.remove("a")
    assert parents.keys() - {record.id for record in session.tasks.records()} == {"a", "below"}
