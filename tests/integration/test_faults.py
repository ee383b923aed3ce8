"""Faults of the disk, of other programs and of the rows themselves: our error, nothing in part, and on it goes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event

from agent_session_core import (
    CorruptRecord,
    FileNotInSession,
    InvalidInput,
    Message,
    Origin,
    Session,
    SessionStore,
    StorageUnavailable,
    TextPart,
    ToolCallPart,
    Usage,
)
from agent_session_core.sql import messages as sql

FULL = Message(
    role="assistant",
    text="hi",
    parts=(TextPart("hi"), ToolCallPart("c", "f", {"a": 1})),
    created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    usage=Usage(1, 2, 3),
    metadata={"a": 1},
    origin=Origin("f", "1", {"x": 1}),
)


def _open(url: str) -> SessionStore:
    return SessionStore.open(url, index="off")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk needs the right to mount")
    yield folder
    _run("umount", str(folder))


def _run(program: str, *arguments: str) -> None:
    subprocess.run([shutil.which(program) or program, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("use", ["sync", "async", "native"])
def test_a_full_disk_costs_only_what_did_not_fit(tiny_disk: Path, use: str) -> None:
    """The append that finds no room says so and leaves nothing; all before it stay; with room again, on it goes."""
    path = tiny_disk / "sessions.db"
    filler = tiny_disk / "filler"
    filler.write_bytes(b"x" * 300_000)
    with _open(f"sqlite{'+aiosqlite' if use == 'native' else ''}:///{path}") as store:
        session = store.session("trip")

        def append() -> list[Message]:
            said = [Message.user("x" * 4_000), Message.assistant("y" * 4_000)]
            return session.append(said) if use == "sync" else asyncio.run(session.aappend(said))

        stored: list[Message] = []

        def fill() -> None:
            while True:
                stored.extend(append())

        with pytest.raises(StorageUnavailable, match="the disk is full; free some space and try again"):
            fill()
        assert len(stored) > 10
        assert session.messages() == stored
        filler.unlink()
        stored += append()
        assert [message.seq for message in session.messages()] == list(range(1, len(stored) + 1))
        assert store._database.read(_integrity) == "ok"


def _integrity(conn: Connection) -> object:
    return conn.exec_driver_sql("PRAGMA integrity_check").scalar()


def test_a_disk_that_turns_read_only(tiny_disk: Path) -> None:
    """What was open says that it cannot be written; what is there can still be read."""
    path = tiny_disk / "sessions.db"
    with _open(f"sqlite:///{path}") as store:
        session = store.session("trip")
        session.append(Message.user("kept"))
        session.messages()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    _run("mount", "-o", "remount,ro", str(tiny_disk))
    with pytest.raises(StorageUnavailable, match="cannot be written; change its permissions or open another file"):
        _open(f"sqlite:///{path}")
    with pytest.raises(StorageUnavailable, match="cannot be written"):
        _open(f"sqlite:///{tiny_disk / 'new.db'}")


def test_another_program_that_holds_the_database(tmp_path: Path) -> None:
    """A lock that lasts longer than the patience of the connection is said to be one; afterwards on it goes."""
    path = tmp_path / "sessions.db"
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=FULL")

    with SessionStore.open(engine, index="off") as store:
        session = store.session("trip")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailable, match="locked; another program holds the database; end it or try again"):
            session.append(Message.user("x"))
        other.execute("ROLLBACK")
        other.close()
        assert [message.seq for message in session.append(Message.user("x"))] == [1]
    engine.dispose()


def test_another_program_that_changed_the_tables(tmp_path: Path) -> None:
    """Tables that are gone are reported as what they are."""
    path = tmp_path / "sessions.db"
    with _open(f"sqlite:///{path}") as store:
        session = store.session("trip")
        other = sqlite3.connect(path)
        other.execute("DROP TABLE messages")
        other.close()
        uses: list[Callable[[], object]] = [session.messages, lambda: session.append(Message.user("x"))]
        for use in uses:
            with pytest.raises(StorageUnavailable, match="changed by another program; restore it from a backup"):
                use()


@pytest.mark.parametrize("use", ["sync", "async", "native"])
def test_a_fault_in_the_middle_leaves_nothing(tmp_path: Path, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails between the messages and what the index is told: neither is stored, the next append is whole."""
    with _open(f"sqlite{'+aiosqlite' if use == 'native' else ''}:///{tmp_path / 'sessions.db'}") as store:
        session = store.session("trip")

        def fails(*_: object) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        def append() -> list[Message]:
            given = Message.user("x", id="x")
            return session.append(given) if use == "sync" else asyncio.run(session.aappend(given))

        with monkeypatch.context() as patch:
            patch.setattr(sql, "announce", fails)
            with pytest.raises(StorageUnavailable, match="disk I/O error; the disk failed; check it and try again"):
                append()
        assert (session.count(archived=None), session.revision) == (0, 0)
        assert [message.seq for message in append()] == [1]
        assert [message.seq for message in append()] == [1]


def test_a_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Where the commit itself fails nothing is stored; the connection is given up for a new one."""
    with _open(f"sqlite:///{tmp_path / 'sessions.db'}") as store:
        session = store.session("trip")

        def refuse_commits(conn: Connection) -> None:
            driver: Any = conn.connection.driver_connection
            driver.set_authorizer(
                lambda action, name, *_: (
                    sqlite3.SQLITE_DENY
                    if (action, name) == (sqlite3.SQLITE_TRANSACTION, "COMMIT")
                    else sqlite3.SQLITE_OK
                )
            )

        with pytest.raises(StorageUnavailable):
            store._database.write(refuse_commits)  # its own commit is the first to be refused
        assert session.append(Message.user("x"))[0].seq == 1


def test_an_interrupt_stops_its_own_thread_alone(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a commit: its thread gets it, others that shared the commit can try again."""
    with _open(f"sqlite:///{tmp_path / 'sessions.db'}") as store, ThreadPoolExecutor(2) as pool:
        session = store.session("trip")

        def interrupted(_: Connection) -> None:
            raise KeyboardInterrupt

        writer = store._database._writer  # type: ignore[attr-defined]  # it is SQLite's
        with writer.lock:
            first = pool.submit(store._database.write, interrupted)
            second = pool.submit(session.append, Message.user("other"))
            while len(writer._queue) < 2:
                time.sleep(0.001)
        outcomes = {type(answer.exception()) for answer in (first, second)}
        assert outcomes <= {KeyboardInterrupt, StorageUnavailable}
        assert session.count() == 0
        assert len(session.append(Message.user("next"))) == 1
        assert store._database.read(_integrity) == "ok"


def test_a_slip_in_the_code_is_not_dressed_up(tmp_path: Path) -> None:
    """An error that is neither ours nor the database's stays what it is, and changes nothing."""
    with _open(f"sqlite:///{tmp_path / 'sessions.db'}") as store:

        def slip(conn: Connection) -> None:
            conn.exec_driver_sql("DELETE FROM sessions")
            raise ZeroDivisionError

        store.session("trip")
        with pytest.raises(ZeroDivisionError):
            store._database.write(slip)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(store._database.awrite(slip))
        with pytest.raises(ZeroDivisionError):
            store._database.read(lambda _: 1 / 0)
        assert len(store.sessions()) == 1


ODD = (
    *(None, 5, 2**62, "odd", b"\xff\xfe", "[]", "{}", '{"', "NaN", "[" * 5_000),
    *('{"parts":5}', '{"parts":[5]}', '{"parts":[{"type":"zzz"}]}', '{"parts":[{"type":"image","where":1}]}'),
    *('{"usage":[1,2,3,4]}', '{"exact":5}'),
)
MESSAGE_COLUMNS = ("role", "created_at", "utc_offset", "text", "payload", "metadata", "origin", "origin_data", "run")
SESSION_COLUMNS = ("title", "metadata", "created_at", "updated_at", "run", "revision", "status")


@pytest.fixture(scope="module")
def damaged() -> Iterator[Callable[[str, str, object], Session]]:
    """What makes a session with a message of which one column holds something odd."""
    with _open("sqlite://") as store:

        def damage(table: str, column: str, value: object) -> Session:
            session = store.session()
            session.append(FULL)
            which = "session" if table == "messages" else "id"
            store._database.write(
                lambda conn: conn.exec_driver_sql(
                    f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {which} = ?",  # noqa: S608  # names from above
                    (value, session._key.session),
                )
            )
            return session

        yield damage


def test_a_row_that_cannot_be_read_is_named(damaged: Callable[[str, str, object], Session]) -> None:
    """Whatever a message's columns hold, a read gives a message or says which one cannot be read."""
    refused = []
    for session in _damages(damaged, "messages", MESSAGE_COLUMNS):
        try:
            read = session.messages()
        except CorruptRecord as error:
            refused.append(str(error))
            continue
        for message in read:
            assert (type(message.text), type(message.metadata)) == (str, dict)
            assert message.role in ("system", "user", "assistant", "tool")
    assert len(refused) > 40
    for told in refused:
        assert told.startswith("message 1 of a session cannot be read (")
        assert told.endswith("; restore it from a backup")


def test_a_session_that_cannot_be_read_is_named(damaged: Callable[[str, str, object], Session]) -> None:
    """The same for what is known of a session: it can still be deleted."""
    refused = []
    for session in _damages(damaged, "sessions", SESSION_COLUMNS):
        try:
            session.record()
        except CorruptRecord as error:
            refused.append((session.id, str(error)))
        session.delete()
    assert len(refused) > 10
    for name, told in refused:
        assert told.startswith(f"session '{name}' cannot be read (")


RECORDS: dict[str, tuple[str, tuple[Callable[[Session], object], ...]]] = {
    "state": ("variable 'a'", (lambda s: s.state.get("a"), lambda s: s.state.all(), lambda s: s.state.history())),
    "task": ("task '", (lambda s: s.tasks.records(), lambda s: s.tasks.list(), lambda s: s.open_work())),
    "call": ("tool call 'c'", (lambda s: s.tool_calls(), lambda s: s.open_work())),
    "file": ("file 'a.txt'", (lambda s: s.files.list(), lambda s: s.files.get("a.txt"), lambda s: s.fork("fork"))),
    "key": ("idempotency key 'k'", (lambda s: s.open_work(), lambda s: _call(s))),
    "rewind": ("rewind 'last'", (lambda s: s.undo_rewind(),)),
}
"""What each kind of record is called, and what reads it."""
ODD_RECORDS = (
    *ODD,
    *("null", '"x"', "5", '{"title":5}', '{"version":"x","size":null}', '{"name":"t","arguments":5}'),
    '{"title":"t","parent_id":null,"status":"gone","progress":null,"note":null,"created_at":0,"updated_at":0}',
    '{"version":1,"media_type":"text/plain","size":1,"sha256":"x","blob":1}',
    '{"revision":1,"record":1,"end":1,"aside":5}',
)


def _call(session: Session) -> object:
    with session.tool_call("t", id="c", idempotency_key="k") as call:
        if call.earlier is None:
            call.succeed(1)
    return call.result


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_that_cannot_be_read_is_named(kind: str) -> None:
    """Variables, tasks, calls, files: whatever their rows hold, a read gives them or says which cannot be read."""
    named, reads = RECORDS[kind]
    refused = []
    with _open("sqlite://") as store:
        for column, odds in {"value": ODD_RECORDS, "written_at": (5, 2**62, "odd", b"\xff\xfe")}.items():
            for odd in odds:
                session = store.session("trip")
                session.state["a"] = 1
                session.tasks.add("t")
                session.files.put("a.txt", b"x")
                _call(session)
                session.append(Message.user("x"))
                session.rewind(to=0)
                session.state["b"] = 1
                store._database.write(
                    lambda conn, column=column, odd=odd: conn.exec_driver_sql(  # type: ignore[misc]  # bound at once
                        f"UPDATE records SET {column} = ? WHERE kind = ? AND key != 'b'",  # noqa: S608  # names from above
                        (odd, kind),
                    )
                )
                for reading in (*reads, None):
                    try:
                        _ = list(store.export()) if reading is None else reading(session)
                    except CorruptRecord as error:
                        refused.append(str(error))
                    except (FileNotInSession, InvalidInput):  # it is not there, or something was written since
                        pass
                store.erase_tenant()
    assert len(refused) >= 5 * len(reads)
    for told in refused:
        assert told.startswith(f"{named}"), told
        assert told.endswith("; restore it from a backup")


def test_a_file_whose_schema_is_damaged(tmp_path: Path) -> None:
    """Where even SQLite's message is not UTF-8, the error is ours all the same."""
    path = tmp_path / "sessions.db"
    _open(f"sqlite:///{path}").close()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE \xd4\xffBLE", 1))
    with pytest.raises((CorruptRecord, StorageUnavailable), match=r"sessions\.db: .*; restore it from a backup"):
        _open(f"sqlite:///{path}")


def _damages(damaged: Callable[[str, str, object], Session], table: str, columns: tuple[str, ...]) -> Iterator[Session]:
    """A session for each odd value in each column that takes it."""
    for column in columns:
        for odd in ODD:
            with suppress(StorageUnavailable):
                yield damaged(table, column, odd)
