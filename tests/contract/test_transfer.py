"""Export and load: everything of a session goes from one store to another, once, and to nobody else's harm."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, StaticPool, create_engine, func, select

from agent_session_core import Message, Session, SessionStore
from agent_session_core.sql.tables import blob_pieces, blobs
from tests.contract.drivers import Opened

PLAN = b"# Plan\nBook the hotel by the river Tagus, then the fado evening."


@pytest.fixture
def empty() -> Iterator[SessionStore]:
    """A store in memory, without an index."""
    with SessionStore.open("sqlite://", index="off") as store:
        yield store


@pytest.fixture
def full() -> Iterator[SessionStore]:
    """A store in memory with a session that has something of everything, and what came of it."""
    with SessionStore.open("sqlite://", index="off") as store:
        _fill(store)
        yield store


def _fill(store: SessionStore) -> None:
    trip = store.session(
        "trip",
        user_id="ana",
        title="Lisbon",
        metadata={"kind": "trip"},
        idle_timeout=timedelta(minutes=1, milliseconds=1.5),
        expires_at=datetime(2099, 5, 4, tzinfo=timezone.utc),
    )
    trip.append(Message.user("We fly on the 4th."), Message.tool("no such flight", "c-1", is_error=True))
    trip.state.update({"budget": 900, "stops": ["Porto", None, 2**70]})
    trip.state["budget"] = None
    trip.state.user["home"] = "Lisbon"
    trip.state.app["motto"] = {"text": "far"}
    trip.files.put("plan.md", PLAN, media_type="text/markdown")
    trip.files.put("plan.md", b"Stay at home.", media_type="text/markdown")
    trip.files.put("empty.bin", b"")
    trip.files.put("large.bin", bytes(range(256)) * 2_100)
    book = trip.tasks.add("Book", note="soon")
    trip.tasks.add("Hotel", parent=book).update(status="completed", progress=1)
    with trip.tool_call("book", {"n": 1}, idempotency_key="k") as call:
        call.succeed({"ok": True})
    trip.tool_call("pay", {"amount": 3}).__enter__()
    trip.append(Message.user("And back?"), Message.assistant("On the 9th."))
    fork = _bare(trip).fork("other way")
    del fork.state["stops"]
    fork.files.put("copy.bin", bytes(range(256)) * 2_100)
    trip.rewind(to=2)
    done = store.session("done")
    done.append(Message.user("one"), Message.user("two"))
    done.pop_turn()
    done.set_aside(first=1)
    done.restart()
    done.close()


def _bare(value: Any) -> Any:
    """What a driver drives: the real store or session."""
    return getattr(value, "target", value)


def _lines(store: SessionStore, names: list[str] | None = None) -> list[str]:
    return list(_bare(store).export(names))


def _of_kind(lines: list[str], kind: str) -> list[dict[str, Any]]:
    return [record for record in map(json.loads, lines) if record["type"] == kind]


def _blob_counts(store: SessionStore) -> tuple[int, int]:
    """How many blobs and pieces of blobs are stored."""

    def work(conn: Connection) -> tuple[int, int]:
        counts = [conn.execute(select(func.count()).select_from(table)).scalar_one() for table in (blobs, blob_pieces)]
        return counts[0], counts[1]

    return _bare(store)._database.read(work)  # type: ignore[no-any-return]  # the driver's face is untyped


def test_nothing_is_lost_on_the_way(opened: Opened) -> None:
    """What is exported, loaded and exported again is the same, line for line; loading it again changes nothing."""
    first, second = opened.store(), opened.store()
    _fill(first)
    lines = _lines(first)
    report = second.load(lines)
    records = len(_of_kind(lines, "record"))
    assert (report.sessions, report.messages, report.records) == (3, len(_of_kind(lines, "message")), records)
    assert (report.repeated, report.problem_count) == (0, 0), report.problems
    assert _lines(second) == lines
    again = second.load(lines)
    assert (again.sessions, again.messages, again.records, again.problem_count) == (0, 0, 0, 0), again.problems
    assert again.repeated == report.messages + report.records
    assert _lines(second) == lines


def test_what_was_loaded_goes_on(full: SessionStore, empty: SessionStore) -> None:
    """A loaded session answers as the first one does: as of any message, with its calls, and back from a rewind."""
    empty.load(_lines(full))
    before, after = (store.session("trip", create=False) for store in (full, empty))
    assert after.record() == before.record()
    assert [after.state.at(seq) for seq in range(8)] == [before.state.at(seq) for seq in range(8)]
    assert (after.state.revision, after.state.history()) == (before.state.revision, before.state.history())
    assert (dict(after.state.user), dict(after.state.app)) == ({"home": "Lisbon"}, {"motto": {"text": "far"}})
    assert (after.state.user.revision, after.state.app.revision) == (1, 1)
    assert [after.files.get("plan.md", version).data for version in (1, 2)] == [PLAN, b"Stay at home."]
    assert after.files.list() == before.files.list()
    assert after.files.get("large.bin").data == bytes(range(256)) * 2_100
    assert after.tasks.records() == before.tasks.records()
    assert [call.status for call in after.tool_calls()] == ["succeeded", "unknown"]
    with after.tool_call("book", {"n": 1}, idempotency_key="k") as call:
        assert call.result == {"ok": True}
    assert after.undo_rewind() == before.undo_rewind()
    assert after.messages() == before.messages()
    assert [message.text for message in after.messages()][-1] == "On the 9th."
    fork = empty.session("other way", create=False)
    assert (fork.parent_id, fork.forked_from) == ("trip", full.session("other way").forked_from)
    assert empty.session("done").restart() == full.session("done").restart() == 3


def test_a_load_that_was_broken_off_is_gone_on_with(full: SessionStore) -> None:
    """Wherever a load stopped, loading the same again brings what is missing, and nothing twice."""
    lines = _lines(full)
    for cut in range(1, len(lines), 3):
        with SessionStore.open("sqlite://", index="off") as store:
            begun = store.load(lines[:cut])
            rest = store.load(lines)
            assert (begun.problem_count, rest.problem_count) == (0, 0), (cut, begun.problems, rest.problems)
            assert rest.repeated == begun.messages + begun.records, cut
            assert _lines(store) == lines, cut


def test_bytes_are_told_and_stored_once(full: SessionStore, empty: SessionStore) -> None:
    """Files with the same bytes, in whatever session, share one blob in the lines and in the tenant."""
    lines = _lines(full)
    pieces = _of_kind(lines, "blob")
    assert len({piece["sha256"] for piece in pieces}) == 4
    assert len({(piece["sha256"], piece["offset"]) for piece in pieces}) == len(pieces)
    assert all(len(piece["data"]) <= 360_000 for piece in pieces)
    empty.load(lines)
    assert _blob_counts(empty) == _blob_counts(full)
    empty.load(lines)
    assert _blob_counts(empty) == _blob_counts(full)


def test_versions_with_the_same_bytes_keep_them(opened: Opened) -> None:
    """Two files of a session with the same bytes, and a file that came back from a rewind, can be read after a load."""
    first, second = opened.store(), opened.store()
    trip = first.session("trip")
    trip.append(Message.user("one"), Message.user("two"))
    trip.files.put("a.txt", b"the same bytes")
    trip.files.put("b.txt", b"the same bytes")
    trip.rewind(to=1)
    trip.undo_rewind()
    first.session("later").files.put("c.txt", b"the same bytes")
    lines = _lines(first)
    assert second.load(lines).problem_count == 0
    loaded = second.session("trip").files
    assert {name: loaded.get(name).data for name in ("a.txt", "b.txt")} == dict.fromkeys(
        ("a.txt", "b.txt"), b"the same bytes"
    )
    assert second.session("later").files.get("c.txt").data == b"the same bytes"
    assert _lines(second) == lines


def test_passages_are_found_after_a_load(full: SessionStore) -> None:
    """What a text file says is searched where it was loaded, by its newest version alone."""
    full.session("notes").files.put("fado.txt", b"The fado evening is on Thursday.")
    with SessionStore.open("sqlite://") as store:
        store.load(_lines(full))
        hits = store.search("fado evening", limit=1)
        assert [(hit.session_id, hit.message.name) for hit in hits] == [("notes", "fado.txt")]
        assert not any("river Tagus" in hit.message.text for hit in store.search("river Tagus", limit=50))


def test_a_deadline_that_has_passed_is_not_a_change() -> None:
    """A session past its deadline that no sweep has met is told as it was left, and expires where it is loaded."""
    with SessionStore.open("sqlite://", index="off") as first, SessionStore.open("sqlite://", index="off") as second:
        first.session("idle", idle_timeout=timedelta(microseconds=1))
        lines = _lines(first)
        assert [record["status"] for record in _of_kind(lines, "session")] == ["active"]
        second.load(lines)
        assert _lines(second) == lines
        assert second.session("idle").status == "expired"
        assert second.sweep().expired == ("idle",)


def test_chosen_sessions_come_without_what_all_share(full: SessionStore) -> None:
    """An export of some sessions holds their own things alone; an unbound one of all, the shared variables too."""
    assert {record.get("scope") for record in _of_kind(_lines(full, ["trip"]), "record")} == {None}
    assert [record["scope"] for record in _of_kind(_lines(full), "scope")] == ["user", "app"]
    ana = _lines(full.for_user("ana"))
    assert [record["scope"] for record in _of_kind(ana, "scope")] == ["user"]
    assert _of_kind(_lines(full.for_user("ben")), "scope") == []


def test_a_bound_store_takes_everything_as_its_users(full: SessionStore, empty: SessionStore) -> None:
    """Whatever the lines say, sessions and a user's variables become the bound user's; the application's stay out."""
    report = empty.for_user("zoe").load(_lines(full))
    assert [str(problem) for problem in report.problems] == [
        f"line {len(_lines(full)) - 1}: variables of the application; load them by a store that is bound to no user"
    ]
    assert {session.user_id for session in empty.sessions()} == {"zoe"}
    trip = empty.session("trip")
    assert (dict(trip.state.user), dict(trip.state.app)) == ({"home": "Lisbon"}, {})


def test_nobodys_bytes_are_had_by_their_digest(full: SessionStore) -> None:
    """A version of a file whose bytes did not come with it is refused, though the tenant has such bytes."""
    lines = [line for line in _lines(full, ["trip"]) if '"type":"blob"' not in line]
    theirs = full.for_user("eve")
    taken = theirs.load([line.replace('"trip"', '"mine"') for line in lines])
    assert [problem.reason for problem in taken.problems] == [
        f"file {name!r}: its bytes did not come with it" for name in ("plan.md", "plan.md", "empty.bin", "large.bin")
    ]
    assert theirs.session("mine").files.list() == []
    assert dict(theirs.session("mine").state)["budget"] is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda blobs: blobs[1:], "a piece before this one is missing"),
        (lambda blobs: [blobs[1], blobs[0], *blobs[2:]], "a piece before this one is missing"),
        (lambda blobs: [blobs[0] | {"data": "AAAA" * 87_381 + "AA=="}, *blobs[1:]], "they are others"),
        (lambda blobs: [blobs[0] | {"data": "%%%"}, *blobs[1:]], "is not base64"),
        (lambda blobs: [blob | {"size": 2**40} for blob in blobs], "the limit is"),
        (lambda blobs: blobs[:-1], "its bytes did not come"),
        (lambda blobs: [blob | {"sha256": "../../x"} for blob in blobs], "sha256: "),
    ],
)
def test_damaged_bytes_are_refused(empty: SessionStore, change: Any, reason: str) -> None:
    """Bytes that are missing, too many, or others than promised become no file, and none of them stays."""
    with SessionStore.open("sqlite://", index="off") as store:
        session = store.session("s")
        session.state["a"] = 1
        session.files.put("large.bin", os.urandom(600_000))
        lines = _lines(store)
    pieces = _of_kind(lines, "blob")
    assert len(pieces) == 3
    start = next(index for index, line in enumerate(lines) if '"type":"blob"' in line)
    report = empty.load([*lines[:start], *map(json.dumps, change(pieces)), *lines[start + 3 :]])
    assert reason in "; ".join(problem.reason for problem in report.problems)
    assert empty.session("s").files.list() == []
    assert dict(empty.session("s").state) == {"a": 1}
    assert _blob_counts(empty) == (0, 0)


def test_bytes_that_no_file_asks_for_do_not_stay(full: SessionStore, empty: SessionStore) -> None:
    """A file of lines cannot fill the database with bytes that nothing leads to."""
    report = empty.load([line for line in _lines(full) if '"type":"blob"' in line])
    assert report.problem_count == 0
    assert _blob_counts(empty) == (0, 0)


@pytest.mark.parametrize("erase", ["user", "tenant", "session"])
def test_what_a_load_has_brought_is_erased(empty: SessionStore, erase: str) -> None:
    """Bytes that came before any version spoke of them go with their session, and what comes after that is refused."""
    with SessionStore.open("sqlite://", index="off") as first:
        first.session("trip", user_id="ana").files.put("large.bin", os.urandom(4_000_000))
        lines = _lines(first)
    erased = False

    def coming() -> Iterator[str]:
        nonlocal erased
        for line in lines:
            if '"type":"blob"' in line and not erased and _blob_counts(empty)[1] > 0:
                erased = True
                assert empty.session("trip", create=False).count() == 0
                {
                    "user": lambda: empty.erase(user_id="ana"),
                    "tenant": empty.erase_tenant,
                    "session": empty.session("trip").delete,
                }[erase]()
                assert _blob_counts(empty) == (0, 0)
            yield line

    report = empty.load(coming())
    assert erased
    assert "erased while they came" in str(report.problems)
    assert _blob_counts(empty) == (0, 0)


def test_a_tenants_erasure_takes_bytes_of_no_session(empty: SessionStore, full: SessionStore) -> None:
    """What a load has left whose session line was damaged is the tenant's."""
    lines = _lines(full)
    blob = next(line for line in lines if '"type":"blob"' in line)

    def coming() -> Iterator[str]:
        yield from (lines[0], blob)
        assert _blob_counts(empty)[0] == 1
        empty.erase_tenant()
        assert _blob_counts(empty) == (0, 0)

    empty.load(coming())


def test_what_went_on_by_itself_stays(full: SessionStore, empty: SessionStore) -> None:
    """A session that was written to since it was loaded keeps what it has; only a half-loaded one is told of."""
    lines = _lines(full)
    empty.load(lines)
    empty.session("trip").state["budget"] = "mine"
    again = empty.load(lines)
    assert (again.records, again.problem_count) == (0, 0)
    assert empty.session("trip").state["budget"] == "mine"

    half = next(index for index, line in enumerate(lines) if '"kind":"task"' in line)
    with SessionStore.open("sqlite://", index="off") as store:
        store.load(lines[:half])
        store.session("trip").state["budget"] = "mine"
        resumed = store.load(lines)
        assert {problem.reason.partition(":")[0] for problem in resumed.problems} == {"session 'trip'"}
        assert "has gone on by itself" in resumed.problems[0].reason
        assert store.session("trip").state["budget"] == "mine"
        assert store.session("trip").tasks.list() == []
        assert store.session("other way").tasks.records() == full.session("other way").tasks.records()


def test_a_writer_meanwhile_is_not_written_over(full: SessionStore, empty: SessionStore) -> None:
    """Somebody who writes to the session while its lines come in is not hidden behind older versions."""
    lines = _lines(full, ["trip"])
    last = next(index for index, line in enumerate(lines) if '"kind":"call"' in line)

    def with_a_writer() -> Iterator[str]:
        yield from lines[:last]
        empty.session("trip").state["budget"] = "mine"
        yield from lines[last:]

    report = empty.load(with_a_writer())
    assert "has gone on by itself" in report.problems[0].reason
    assert empty.session("trip").state["budget"] == "mine"
    assert empty.session("trip").tool_calls() == []


def test_a_revision_at_its_limit_is_still_compared(empty: SessionStore) -> None:
    """Variables that were loaded as written very often are written as any others."""
    header = '{"type":"header","format":"agent-session-core","version":2}'
    assert empty.load([header, f'{{"type":"session","id":"x","state_revision":{2**62}}}']).problem_count == 0
    state = empty.session("x").state
    for _ in range(2):
        state.update(a=1, expected_revision=state.revision)
    assert state.revision == 2**62 + 2


def test_variables_that_are_there_already_stay(full: SessionStore, empty: SessionStore) -> None:
    """The user's and the application's own variables are not mixed with those of a file."""
    mine = empty.session("mine", user_id="ana")
    mine.state.user["home"] = "Porto"
    report = empty.load(_lines(full))
    assert [problem.reason.partition(":")[0] for problem in report.problems] == ["user 'ana'"]
    assert (dict(mine.state.user), dict(mine.state.app)) == ({"home": "Porto"}, {"motto": {"text": "far"}})


def test_the_async_form_gives_and_takes_the_same(full: SessionStore) -> None:
    """``aexport`` and ``aload`` are ``export`` and ``load``."""

    async def through() -> list[str]:
        lines = [line async for line in full.aexport()]
        async with SessionStore.open("sqlite://", index="off") as store:
            await store.aload(lines)
            return [line async for line in store.aexport()] if lines == _lines(full) else []

    assert asyncio.run(through()) == _lines(full)


def test_a_large_session_needs_little_memory(tmp_path: Path) -> None:
    """40 MB of a file and 40 MB of messages go out and in with a fraction of that in memory."""
    with (
        SessionStore.open(f"sqlite:///{tmp_path}/a.db", index="off") as first,
        SessionStore.open(f"sqlite:///{tmp_path}/b.db", index="off") as second,
    ):
        session = first.session("s")
        session.files.put("large.bin", (os.urandom(262_144) for _ in range(160)))
        for number in range(40):
            session.append(Message.user(f"{number}" * 500_000))
        tracemalloc.start()
        try:
            with (tmp_path / "export.jsonl").open("w") as file:
                file.writelines(first.export())
            with (tmp_path / "export.jsonl").open() as file:
                assert second.load(file).problem_count == 0
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 30_000_000
        assert second.session("s").files.list() == session.files.list()


def test_versions_of_a_session_that_is_not_there_are_told(full: SessionStore, empty: SessionStore) -> None:
    """Where the session's line is missing, a plain session is made; where its id is not to be had, all is left out."""
    lines = [line for line in _lines(full, ["trip"]) if '"type":"session"' not in line]
    empty.session("trip", user_id="ben")
    report = empty.for_user("ana").load(lines)
    assert (report.records, report.messages) == (0, 0)
    assert "its id is not to be had" in report.problems[0].reason
    empty.session("trip").delete()
    assert empty.load([line for line in lines if '"type":"message"' not in line]).problem_count == 0
    found: Session = empty.session("trip", create=False)
    assert (found.title, found.tasks.records()) == (None, full.session("trip").tasks.records())


def test_an_export_takes_time_in_proportion() -> None:
    """Four times the variables take SQLite about four times the steps: no page looks through all of them."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    steps: list[int] = []
    with SessionStore.open(engine, index="off") as store:
        session = store.session("trip")
        for count in (500, 2_000):
            session.state.update({f"{count} {number}": number for number in range(count - len(session.state))})
            ticks = itertools.count()
            with engine.connect() as conn:
                driver: Any = conn.connection.driver_connection
                driver.set_progress_handler(lambda ticks=ticks: next(ticks) < 0, 100)
            assert len(list(store.export())) == count + 2
            steps.append(next(ticks))
            driver.set_progress_handler(None, 0)
    engine.dispose()
    assert steps[1] < 6 * steps[0], steps
