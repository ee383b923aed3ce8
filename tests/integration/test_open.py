"""Opening a database: what is refused, by which words, and what is left behind (nothing)."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import StaticPool, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from agent_session_core import (
    DatabaseTooNew,
    InvalidInput,
    Message,
    SessionError,
    SessionStore,
    StorageUnavailable,
)

SCHEMES = ("sqlite", "sqlite+aiosqlite")


def _open(url: Any, **options: Any) -> SessionStore:
    return SessionStore.open(url, index="off", **options)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound database with some messages."""
    path = tmp_path_factory.mktemp("good") / "sessions.db"
    with _open(f"sqlite:///{path}") as store:
        store.session("trip").append([Message.user("x" * 3_000) for _ in range(100)])
    return path.read_bytes()


def _directory(path: Path, _: bytes) -> None:
    path.mkdir()


def _no_database(path: Path, _: bytes) -> None:
    path.write_bytes(b"a letter to somebody " * 200)


def _damaged(path: Path, good: bytes) -> None:
    damaged = bytearray(good)
    for start in range(4_096, len(good), 4_096):
        damaged[start : start + 2_000] = b"\xff" * 2_000
    path.write_bytes(damaged)


def _cut_off(path: Path, good: bytes) -> None:
    path.write_bytes(good[: len(good) // 2])


def _versioned(version: str) -> Callable[[Path, bytes], None]:
    def put(path: Path, good: bytes) -> None:
        path.write_bytes(good)
        connection = sqlite3.connect(path)
        connection.execute("UPDATE agent_session_version SET version_num = ?", (version,))
        connection.commit()
        connection.close()

    return put


def _foreign(path: Path, _: bytes) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sessions (token)")
    connection.execute("CREATE TABLE alembic_version (version_num)")
    connection.execute("INSERT INTO alembic_version VALUES ('a1b2c3')")
    connection.commit()
    connection.close()


BROKEN: dict[str, tuple[Callable[[Path, bytes], None], type[SessionError], str]] = {
    "directory": (_directory, StorageUnavailable, "it is a directory; give the path of a file"),
    "no database": (_no_database, StorageUnavailable, "file is not a database; .*give another path"),
    "damaged": (_damaged, StorageUnavailable, "the file is damaged; restore it from a backup"),
    "cut off": (_cut_off, StorageUnavailable, "the file is damaged; restore it from a backup"),
    "newer": (_versioned("9999"), DatabaseTooNew, "of version 9999, .* update agent-session-core"),
    "odd version": (_versioned("0000"), StorageUnavailable, "'0000', which is no version; restore it"),
    "no version": (_versioned(""), StorageUnavailable, "'', which is no version; restore it"),
    "foreign tables": (_foreign, StorageUnavailable, "tables of another program; give a file of its own"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, good: bytes, scheme: str, kind: str) -> None:
    """The error is ours and says what to do; the file stays as it is, and nothing else is made beside it."""
    put, error, told = BROKEN[kind]
    path = tmp_path / "sessions.db"
    put(path, good)
    before = _content(path)
    with pytest.raises(error, match=told) as caught:
        _read_all(f"{scheme}:///{path}")
    assert str(path) in str(caught.value)
    assert {file.name for file in tmp_path.iterdir()} <= {"sessions.db", "sessions.db-lock"}
    assert _content(path) == before


def _content(path: Path) -> object:
    """What a file holds; of another program's database its tables and rows, since the way it is logged may change."""
    if path.is_dir():
        return None
    connection = sqlite3.connect(path)
    try:
        connection.execute("SELECT * FROM alembic_version")
        return list(connection.iterdump())
    except sqlite3.DatabaseError:
        return path.read_bytes()
    finally:
        connection.close()


def _read_all(url: str) -> None:
    with _open(url) as store:
        store.session("trip").messages()


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """Folders are not made: a slip in a path would go unnoticed."""
    with pytest.raises(StorageUnavailable, match=r"its folder is not there; make it, or give another path"):
        _open(f"sqlite:///{tmp_path / 'no' / 'such' / 'sessions.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "'' is no database URL; for a file write sqlite:///"),
        ("sessions.db", "'sessions.db' is no database URL"),
        ("sqlite:sessions.db", "is no database URL"),
        ("ana:secret@host", r"'?\.\.\.@host'? is no database URL"),
        ("nosuch://ana:secret@host/x", "'nosuch' databases are not supported"),
        ("mysql://ana:secret@host/x", "'mysql' databases are not supported"),
        ("sqlite+pysqlcipher://:secret@/x", "the driver 'pysqlcipher' is not supported"),
        ("sqlite://host/x", "a file is on no host .'host'.; write sqlite:///path/to/file.db"),
        ("sqlite://:secret@/x", "a file is on no host .*; write sqlite:///path/to/file.db"),
        ("sqlite:///a\x00b", "is no path of a file; give another"),
        ("sqlite:///\ud800", "is no path of a file; give another"),
        ("sqlite:///x.db?timeout=soon", "has an option that cannot be used .*; leave it out"),
        (Path("sessions.db"), "expected a URL or an engine, got PosixPath .*; for a file write sqlite:///"),
        (None, "expected a URL or an engine, got NoneType"),
        (5, "expected a URL or an engine, got int 5"),
    ],
)
def test_what_is_no_address_is_refused(url: Any, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument is named, the remedy said, and a password never shown; nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=rf"^url: .*{told}") as caught:
        _open(url)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tenant": ""}, "tenant: an empty string"),
        ({"tenant": 5}, "tenant: expected a string"),
        ({"tenant": "x" * 513}, "tenant: 513 characters"),
        ({"analyzer": "klingon"}, "analyzer: 'klingon' is not known; use one of english, none"),
        ({"analyzer": None}, "analyzer: None is not known"),
        ({"embedder": object()}, "embedder: .* has no name, embed_documents and embed_query"),
        ({"index": "on"}, "index: 'on' is not known"),
        ({"index": 5}, "index: expected an address or an elasticsearch.Elasticsearch, got int"),
    ],
)
def test_options_are_checked_before_anything_is_opened(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """An option that cannot be used is refused, and no file is made."""
    with pytest.raises(InvalidInput, match=told):
        SessionStore.open(f"sqlite:///{tmp_path / 'sessions.db'}", **{"index": "off", **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b%20c.db", "ünïcode.db", "x?.db", "-rf.db", "semi;colon'quote.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    """Names with odd characters are names, for both drivers; the second opening finds what the first wrote."""
    path = tmp_path / name
    url = make_url("sqlite://").set(database=str(path))
    with _open(url) as store:
        store.session("trip").append(Message.user("hi"))
    assert path.is_file()
    with _open(url.set(drivername="sqlite+aiosqlite")) as store:
        assert asyncio.run(store.session("trip").acount()) == 1


def test_a_relative_path_is_the_folder_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default address is a file in the working folder; the lock stays with it when that changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    with SessionStore.open(index="off") as store:
        monkeypatch.chdir(tmp_path / "other")
        store.session("trip").append(Message.user("hi"))
    assert (tmp_path / "sessions.db").is_file()
    assert list((tmp_path / "other").iterdir()) == []


IN_MEMORY = (
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///file::memory:?uri=true",
    "sqlite:///file:x?mode=memory&cache=shared&uri=true",
    "sqlite+aiosqlite://",
)


@pytest.mark.parametrize("url", IN_MEMORY)
def test_memory_by_any_name(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to write a database in memory gives one database, in sync and async form, and no file."""
    monkeypatch.chdir(tmp_path)
    with _open(url) as store:
        session = store.session("trip")

        async def appending() -> int:
            await asyncio.gather(*(session.aappend(Message.user(str(n))) for n in range(10)))
            return await session.acount()

        assert asyncio.run(appending()) == 10
        session.append(Message.user("sync"))
        assert asyncio.run(session.acount()) == session.count() == 11
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_database_can_be_read(tmp_path: Path, good: bytes) -> None:
    """Opened read-only, everything can be read, and writes say why they cannot."""
    path = tmp_path / "sessions.db"
    path.write_bytes(good)
    with _open(f"sqlite:///file:{path}?mode=ro&uri=true") as store:
        session = store.session("trip", create=False)
        assert session.count() == 100
        for write in (lambda: session.append(Message.user("x")), session.remove, session.delete):
            with pytest.raises(StorageUnavailable, match="cannot be written; change its permissions"):
                write()
        assert session.count() == 100


def test_a_weak_engine_is_refused(tmp_path: Path) -> None:
    """A caller's engine that could lose an acknowledged message, or divides memory by threads, is refused."""
    path = tmp_path / "sessions.db"

    @event.listens_for(weak := create_engine(f"sqlite:///{path}"), "connect")
    def _(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    with pytest.raises(InvalidInput, match=r"url: .*synchronous=1, .*; set it to FULL when they connect"):
        _open(weak)
    weak.dispose()
    with pytest.raises(InvalidInput, match=r"url: .*of its own; make it with poolclass=StaticPool"):
        _open(create_engine("sqlite://"))
    with pytest.raises(InvalidInput, match=r"url: .*; open 'sqlite://'"):
        _open(create_async_engine("sqlite+aiosqlite://"))


async def test_a_weak_async_engine_is_refused(tmp_path: Path) -> None:
    """The connections of a caller's async engine can only be looked at when it is used; then they are."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'sessions.db'}")

    @event.listens_for(engine.sync_engine, "connect")
    def _(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()

    store = _open(engine)
    for _attempt in range(2):
        with pytest.raises(InvalidInput, match=r"url: .*synchronous=0, .*; set it to FULL"):
            await store.asession("trip")
    await store.aclose()
    await engine.dispose()


def test_an_engine_stays_the_callers(tmp_path: Path) -> None:
    """Closing the store leaves the caller's engine, its pool and its settings as they were."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'sessions.db'}", connect_args={"isolation_level": None}, pool_size=1, max_overflow=0
    )

    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA user_version=7")

    pool = engine.pool
    with engine.connect() as conn:
        before = _settings(conn)
    with _open(engine) as store:
        store.session("trip").append(Message.user("x"))
        assert store.session("trip").count() == 1
    assert engine.pool is pool
    with engine.connect() as conn:
        assert _settings(conn) == before
        assert conn.exec_driver_sql("SELECT count(*) FROM messages").scalar() == 1
    engine.dispose()


def _settings(conn: Any) -> list[object]:
    names = ("journal_mode", "foreign_keys", "secure_delete", "busy_timeout", "user_version")
    return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]


def test_memory_of_a_caller_is_shared(tmp_path: Path) -> None:
    """Two stores on one engine in memory see the same sessions; closing one leaves the other."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    first, second = _open(engine), _open(engine)
    first.session("trip").append(Message.user("x"))
    first.close()
    assert second.session("trip").count() == 1
    second.close()
    engine.dispose()


def test_opening_what_is_there_is_light(tmp_path: Path) -> None:
    """An existing database is opened without alembic, and without what only the index needs."""
    url = f"sqlite:///{tmp_path / 'sessions.db'}"
    _open(url).close()
    script = (
        "import sys; from agent_session_core import SessionStore\n"
        f"SessionStore.open({url!r}, index='off').session('s')\n"
        "print(sorted({'alembic', 'numpy', 'wordllama', 'aiosqlite', 'elasticsearch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_names_hold_no_password(tmp_path: Path) -> None:
    """What a store and a session show of themselves names the database, tenant and user, and no password."""
    with _open(f"sqlite:///{tmp_path / 'sessions.db'}", tenant="acme") as store:
        assert repr(store.for_user("ana")) == (
            f"SessionStore('sqlite:///{tmp_path / 'sessions.db'}', tenant='acme', user_id='ana')"
        )
        assert repr(store.session("trip", user_id="ana")) == "Session('trip', user_id='ana')"
