"""What a session's life promises, from its first message to its end, however the store is driven."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from agent_session_core import (
    InvalidInput,
    Message,
    Retention,
    Session,
    SessionNotActive,
    SessionNotFound,
    SessionStore,
    SweepReport,
    ToolCallPart,
)
from agent_session_core.sql.tables import sessions
from tests.contract.drivers import Opened

HOUR = timedelta(hours=1)
NEVER = SweepReport()


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _age(session: Session, span: timedelta) -> None:
    """Make the session as if its last change had been so long ago."""
    moved = span // timedelta(microseconds=1)
    columns = {name: sessions.c[name] - moved for name in ("updated_at", "due_at", "expires_at")}
    statement = sessions.update().where(sessions.c.id == session._plain_key.session).values(**columns)
    session._database.write(lambda conn: int(conn.execute(statement).rowcount))


WRITES: dict[str, Any] = {
    "append": lambda session: session.append(Message.user("x")),
    "replace": lambda session: session.replace([Message.user("x")]),
    "remove": lambda session: session.remove(),
    "pop_turn": lambda session: session.pop_turn(),
    "set_aside": lambda session: session.set_aside(first=1),
    "update": lambda session: session.update(title="x"),
    "touch": lambda session: session.touch(),
    "state": lambda session: session.state.update(x=1),
    "user state": lambda session: session.state.user.update(x=1),
    "delete state": lambda session: session.state.clear(),
    "files": lambda session: session.files.put("new.txt", b"x"),
    "delete file": lambda session: session.files.delete("a.txt"),
    "tasks": lambda session: session.tasks.add("x"),
    "task": lambda session: session.tasks.list()[0].update(note="x"),
    "delete task": lambda session: session.tasks.list()[0].delete(),
    "tool call": lambda session: session.tool_call("t").__enter__(),
    "rewind": lambda session: session.rewind(to=0),
    "undo_rewind": lambda session: session.undo_rewind(),
}


def _full(store: SessionStore) -> Session:
    session = store.session("trip", user_id="ana", idle_timeout=HOUR)
    session.append(Message.user("one"), Message.assistant("two"))
    session.state["x"] = 0
    session.files.put("a.txt", b"text")
    session.tasks.add("Task")
    session.append(Message.user("three"))
    session.rewind(to=2)
    return session


@pytest.mark.parametrize("end", ["closed", "expired", "archived"])
def test_an_ended_session_is_read_and_not_written(main_opened: Opened, end: str) -> None:
    """Every write is refused with the remedy and changes nothing; everything can be read; restoring brings it back."""
    session = _full(main_opened.store())
    if end == "expired":
        _age(session, 2 * HOUR)
    else:
        getattr(session, {"closed": "close", "archived": "archive"}[end])()
    before = session.record()
    assert before.status == end
    for write in WRITES.values():
        with pytest.raises(
            SessionNotActive, match=rf"^session 'trip': it is {end} and can only be read; restore\(\) makes"
        ):
            write(session)
    assert session.record() == before
    assert [message.text for message in session.messages()] == ["one", "two"]
    assert (session.state.all(), session.files.get("a.txt").data, len(session.tasks.list())) == ({"x": 0}, b"text", 1)
    assert session.tool_calls() == []
    session.restore()
    assert session.status == "active"
    for name, write in WRITES.items():
        if name != "undo_rewind":
            write(session)


@pytest.mark.parametrize("name", WRITES)
def test_a_deleted_session_is_not_found(main_opened: Opened, name: str) -> None:
    """Every write by an old handle is refused, and nothing comes back, not even under the same id."""
    store = main_opened.store()
    session = _full(store)
    session.delete()
    if name == "task":
        return  # no handle of a task without its session; tests of tasks see to those there were
    with pytest.raises(SessionNotFound):
        WRITES[name](session)
    for call in (session.record, session.close, session.archive, session.restore, session.restart, session.delete):
        with pytest.raises(
            SessionNotFound, match=r"^session 'trip': not found; it was deleted, make it anew with store"
        ):
            call()
    assert store.session("trip").messages() == []


def test_closing_archiving_and_restoring(session: Session) -> None:
    """Each is done once, twice is fine; what is archived is not closed; restoring makes active."""
    session.close()
    session.close()
    session.archive()
    session.archive()
    assert session.status == "archived"
    with pytest.raises(SessionNotActive, match=r"it is archived; restore\(\) makes it active again"):
        session.close()
    session.restore()
    revision = session.revision
    session.restore()
    assert (session.status, session.revision) == ("active", revision)


def test_archived_sessions_are_found_on_request(tmp_path: Any) -> None:
    """Closed and expired sessions are searched with the others, archived ones when asked for."""
    with SessionStore.open(f"sqlite:///{tmp_path}/s.db") as store:
        for name in ("closed", "archived"):
            store.session(name).append(Message.user(f"the night train by way of {name}"))
        store.session("closed").close()
        store.session("archived").archive()
        assert [hit.session_id for hit in store.search("night train")] == ["closed"]
        assert {hit.session_id for hit in store.search("night train", archived=True)} == {"closed", "archived"}


def test_the_idle_deadline_moves_with_every_change(store: SessionStore) -> None:
    """A session that is written or touched lives on; one that is only read expires, at once and without a sweep."""
    session = store.session("trip", idle_timeout=HOUR)
    assert session.idle_timeout == HOUR
    for write in (
        session.touch,
        lambda: session.append(Message.user("x")),
        lambda: session.state.update(x=1),
        session.restart,
    ):
        _age(session, HOUR - timedelta(seconds=1))
        assert session.status == "active"
        write()
        _age(session, HOUR - timedelta(seconds=1))
        assert session.status == "active"
        session.messages()
        _age(session, timedelta(seconds=2))
        assert session.record().status == "expired"
        session.restore()
    session.update(idle_timeout=None)
    _age(session, 1_000 * HOUR)
    assert session.status == "active"


def test_the_absolute_deadline_does_not_move(store: SessionStore) -> None:
    """However much is written, it expires; restoring drops the deadline that has passed, and a new one can be set."""
    end = _now() + HOUR
    session = store.session("trip", expires_at=end, idle_timeout=24 * HOUR)
    session.touch()
    assert session.expires_at == end
    _age(session, 2 * HOUR)
    assert session.status == "expired"
    session.restore()
    record = session.record()
    assert (record.status, record.expires_at) == ("active", None)
    session.update(expires_at=_now() - HOUR)
    assert session.status == "expired"


def test_listing_tells_the_status_of_now(store: SessionStore) -> None:
    """A session past its deadline is listed as expired, whether a sweep has come by or not."""
    _age(store.session("old", idle_timeout=HOUR), 2 * HOUR)
    store.session("new", idle_timeout=HOUR)
    for _ in range(2):
        assert [session.id for session in store.sessions(status="expired")] == ["old"]
        assert [session.id for session in store.sessions(status="active")] == ["new"]
        assert len(store.sessions(status=["expired", "active"])) == 2
        store.sweep()


def test_a_sweep_carries_out_what_is_due(opened: Opened) -> None:
    """Expired first, archived after its time, deleted after that; a dry run tells and changes nothing."""
    store = opened.store(Retention(archive_after=HOUR, delete_after=24 * HOUR))
    for name in ("idle", "absolute", "fresh", "for ever"):
        store.session(name).append(Message.user("x"))
    store.session("idle").update(idle_timeout=HOUR)
    store.session("absolute").update(expires_at=_now() + HOUR)
    store.session("fresh").update(idle_timeout=5 * HOUR)
    store.session("shut").close()
    assert store.sweep() == store.sweep(dry_run=True) == NEVER
    later = _now() + 1.5 * HOUR
    dry = store.sweep(later, dry_run=True)
    assert (set(dry.expired), dry.archived, dry.deleted) == ({"idle", "absolute"}, ("shut",), ())
    assert store.session("idle").status == "active"
    assert store.sweep(later) == dry
    assert store.sweep(later) == NEVER
    report = store.sweep(later + HOUR)
    assert (set(report.archived), report.expired, report.deleted) == ({"idle", "absolute"}, (), ())
    assert store.session("idle", create=False).messages() != []
    report = store.sweep(later + 26 * HOUR)
    assert (report.expired, set(report.deleted)) == (("fresh",), {"idle", "absolute", "shut"})
    assert {session.id for session in store.sessions()} == {"fresh", "for ever"}


def test_without_retention_nothing_is_archived_or_deleted(store: SessionStore) -> None:
    """A sweep only expires."""
    store.session("shut").close()
    store.session("idle", idle_timeout=HOUR)
    assert store.sweep(_now() + 10_000 * HOUR) == SweepReport(expired=("idle",))


def test_a_sweep_stays_within_its_tenant_and_user(opened: Opened) -> None:
    """Sessions of others are due as before."""
    store, other = opened.store(), opened.store()
    for owner, name in ((store, "a"), (other, "a")):
        owner.session(name, user_id="ana", idle_timeout=HOUR)
    store.session("b", user_id="ben", idle_timeout=HOUR)
    later = _now() + 2 * HOUR
    assert store.for_user("ana").sweep(later).expired == ("a",)
    assert store.sweep(later).expired == ("b",)
    assert other.sweep(later).expired == ("a",)


def test_a_sweeper_works_until_it_is_stopped(opened: Opened) -> None:
    """In the background, from start to stop; both may be said twice."""
    store = opened.store()
    with store.sweeper(timedelta(milliseconds=20)) as sweeper:
        store.session("idle", idle_timeout=timedelta(milliseconds=1))
        deadline = time.monotonic() + 10
        while "idle" not in {s.id for s in store.sessions(status="expired")} or sweeper.last_report is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert sweeper.start() is sweeper
        assert sweeper.last_error is None
    sweeper.stop()
    assert sweeper._thread is not None
    assert not sweeper._thread.is_alive()


def test_a_restart_begins_a_new_run(session: Session) -> None:
    """Messages start empty, the earlier ones stay readable by their run; state, files and tasks are kept."""
    session.append(Message.user("one"), Message.assistant("two"))
    session.state["x"] = 1
    session.files.put("a.txt", b"x")
    session.tasks.add("Task")
    assert session.restart() == session.run == 2
    assert (session.messages(), session.count()) == ([], 0)
    assert [message.text for message in session.messages(run=1)] == ["one", "two"]
    (stored,) = session.append(Message.user("three"))
    assert (stored.run, stored.seq) == (2, 4)
    assert (session.state.all(), len(session.files.list()), len(session.tasks.list())) == ({"x": 1}, 1, 1)
    assert session.restart(keep_state=False) == 3
    assert (session.state.all(), len(session.files.list()), len(session.tasks.list())) == ({}, 1, 1)
    assert session.state.at(2) == {"x": 1}


@pytest.mark.parametrize("end", ["close", "archive"])
def test_a_restart_makes_active(session: Session, end: str) -> None:
    """Whatever the status was."""
    getattr(session, end)()
    session.restart()
    assert (session.status, session.run) == ("active", 2)
    session.append(Message.user("x"))


def test_open_work_tells_where_to_go_on(session: Session) -> None:
    """What a crash, a night or a handover has left: open tasks, requested calls, the last message."""
    assert session.open_work().last_message is None
    trip = session.tasks.add("Trip")
    session.tasks.add("Hotel", parent=trip, status="completed")
    session.append(Message.user("Go."), Message.assistant(parts=(ToolCallPart("c1", "hotel", {}),)))
    work = session.open_work()
    assert [task.id for task in work.tasks] == [trip.id]
    assert [call.id for call in work.requested] == ["c1"]
    assert work.unknown == ()
    assert work.last_message == session.messages()[-1]


def test_what_a_life_cannot_be_is_refused(main_opened: Opened) -> None:
    """Time spans, deadlines and moments that cannot be used are named; nothing is changed."""
    store = main_opened.store()
    session = store.session("trip")
    spans: list[Any] = [5, "1h", True, timedelta(0), timedelta(days=-1), timedelta(days=40_000), float("nan")]
    times: list[Any] = ["2026-01-01", 5, datetime(2026, 1, 1), True]  # noqa: DTZ001  # naive: that is the point
    times += [datetime.max.replace(tzinfo=timezone(-12 * HOUR)), datetime.min.replace(tzinfo=timezone(12 * HOUR))]
    retentions: list[Any] = [5, HOUR, {}]
    calls: list[tuple[str, Any]] = [
        *(("idle_timeout", lambda bad=bad: store.session("new", idle_timeout=bad)) for bad in spans),
        *(("idle_timeout", lambda bad=bad: session.update(idle_timeout=bad)) for bad in spans),
        *(("expires_at", lambda bad=bad: store.session("new", expires_at=bad)) for bad in times),
        *(("expires_at", lambda bad=bad: session.update(expires_at=bad)) for bad in times),
        *(("now", lambda bad=bad: store.sweep(bad)) for bad in times),
        *(("every", lambda bad=bad: store.sweeper(bad)) for bad in (*spans, None, timedelta(microseconds=1))),
        *(("archive_after", lambda bad=bad: Retention(archive_after=bad)) for bad in (5, timedelta(-1), "1d")),
        *(("delete_after", lambda bad=bad: Retention(delete_after=bad)) for bad in (5, timedelta(-1), "1d")),
        *(("retention", lambda bad=bad: SessionStore.open("sqlite://", retention=bad)) for bad in retentions),
    ]
    before = session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: ") as caught:
            call()
        assert len(str(caught.value)) < 400
    assert session.revision == before
    assert len(store.sessions()) == 1
