"""PostgreSQL: many processes, lost connections, transactions in each other's way, and the caller's own arrangements."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url

from agent_session_core import InvalidInput, Message, SessionStore, StorageUnavailable
from agent_session_core.sql.tables import metadata
from tests.databases import new_database

OPEN = "import sys; from agent_session_core import SessionStore; SessionStore.open(sys.argv[1], index='off').close()"
APPEND = (
    "import sys; from agent_session_core import Message, SessionStore\n"
    "with SessionStore.open(sys.argv[1], index='off', tenant=sys.argv[2]) as store:\n"
    "    for number in range(50): store.session('one').append(Message.user(f'{sys.argv[3]}-{number}'))"
)


def address(url: URL) -> str:
    """The URL in full, for another process."""
    return url.render_as_string(hide_password=False)


@pytest.fixture
def empty(postgres_database: URL) -> Iterator[URL]:
    """A database without tables."""
    with new_database(postgres_database) as url:
        yield url


@pytest.fixture
def store(postgres_database: URL) -> Iterator[SessionStore]:
    """A store of a tenant of its own."""
    with SessionStore.open(postgres_database, index="off", tenant=str(uuid.uuid4())) as store:
        yield store


def at_once(code: str, *arguments: tuple[str, ...]) -> None:
    """Run a program in several processes at once, with these arguments each; all of them must end well."""
    started = [subprocess.Popen([sys.executable, "-c", code, *each], stderr=subprocess.PIPE) for each in arguments]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert ended == [(b"", 0)] * len(arguments)


def test_eight_processes_make_the_tables_once(empty: URL) -> None:
    """All of them open a database without tables at the same time: each succeeds, and every table is there once."""
    at_once(OPEN, *[(address(empty),)] * 8)
    engine = create_engine(empty)
    assert set(metadata.tables) < set(inspect(engine).get_table_names())
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM database WHERE key = 'identity'").scalar() == 1
        partial = (
            "SELECT count(*) FROM pg_indexes WHERE indexname = 'uq_messages_session_id' AND indexdef LIKE '%%<> 2%%'"
        )
        assert conn.exec_driver_sql(partial).scalar() == 1
    engine.dispose()


def test_processes_append_to_one_session(store: SessionStore, postgres_database: URL) -> None:
    """Eight of them, fifty messages each: all are there, numbered without a gap, each writer's in its order."""
    at_once(APPEND, *[(address(postgres_database), store.tenant, name) for name in "abcdefgh"])
    found = store.session("one").messages()
    assert [message.seq for message in found] == list(range(1, 401))
    for name in "abcdefgh":
        mine = [message.text for message in found if message.text.startswith(name)]
        assert mine == [f"{name}-{number}" for number in range(50)]


def test_connections_that_are_cut_lose_and_double_nothing(store: SessionStore, postgres_database: URL) -> None:
    """While connections are cut again and again, every append succeeds, and is stored exactly once."""
    stop = threading.Event()
    killer = create_engine(postgres_database, isolation_level="AUTOCOMMIT")
    cut = 0

    def cutting() -> None:
        nonlocal cut
        with killer.connect() as conn:
            while not stop.wait(0.05):
                cut += conn.exec_driver_sql(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'cut me'"
                ).scalar_one()

    url = postgres_database.update_query_dict({"application_name": "cut me"})
    with SessionStore.open(url, index="off", tenant=store.tenant) as cuttable:
        thread = threading.Thread(target=cutting)
        thread.start()

        def work(number: int) -> None:
            session = cuttable.session(f"s{number}")
            for count in range(60):
                session.append(Message.user(f"{count}"))

        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(work, range(4)))
        finally:
            stop.set()
            thread.join()
    killer.dispose()
    assert cut >= 4
    for number in range(4):
        found = store.session(f"s{number}").messages()
        assert [message.text for message in found] == [f"{count}" for count in range(60)]


@pytest.mark.parametrize("stored", [True, False])
def test_a_connection_lost_in_the_commit(postgres_database: URL, stored: bool) -> None:
    """Whether it was stored or not, an append finds out and stores once; what cannot find out says that it cannot."""
    engine = create_engine(postgres_database)
    with SessionStore.open(engine, index="off", tenant=str(uuid.uuid4())) as store:
        session = store.session("trip")
        faults: list[str] = []

        def cut(conn: Connection) -> None:
            if faults:
                faults.pop()
                driver: Any = conn.connection.driver_connection
                if stored:
                    driver.commit()
                driver.close()

        event.listen(engine, "commit", cut)
        faults.append("in the commit")
        [answered] = session.append(Message.user("once"))
        assert [(message.id, message.text) for message in session.messages()] == [(answered.id, "once")]
        faults.append("in the commit")
        session = store.session("another")
        faults.append("in the commit")
        with pytest.raises(StorageUnavailable, match="not known whether it was stored"):
            session.state["tea"] = 1
        assert session.state.get("tea") == (1 if stored else None)
        assert faults == []
    engine.dispose()


def test_transactions_in_each_others_way_are_tried_again(store: SessionStore) -> None:
    """Two that wait for each other's rows: the server breaks one off, which is run again, and both are done."""
    first, second = (store.session(name)._plain_key.session for name in ("a", "b"))
    met = threading.Barrier(2, timeout=5)
    runs: list[int] = []

    def work(conn: Connection, order: tuple[int, int]) -> None:
        runs.append(1)
        for count, row in enumerate(order):
            conn.exec_driver_sql(f"UPDATE sessions SET title = coalesce(title, '') || 'x' WHERE id = {row}")  # noqa: S608
            if count == 0 and len(runs) <= 2:
                met.wait()

    with ThreadPoolExecutor(2) as pool:
        orders = [(first, second), (second, first)]
        list(pool.map(lambda order: store._database.write(lambda conn: work(conn, order)), orders))
    assert len(runs) == 3
    assert [store.session(name).title for name in ("a", "b")] == ["xx", "xx"]


def test_a_schema_of_the_callers(empty: URL) -> None:
    """Tables are made and found where search_path says; two schemas of a database are two stores."""
    server = create_engine(empty)
    stores = []
    for name in ("one", "two"):
        with server.begin() as conn:
            conn.exec_driver_sql(f"CREATE SCHEMA {name}")
        url = empty.update_query_dict({"options": f"-csearch_path={name}"})
        stores.append(SessionStore.open(url, index="off"))
        stores[-1].session("trip").append(Message.user(name))
    assert [store.session("trip").messages()[0].text for store in stores] == ["one", "two"]
    assert inspect(server).get_table_names() == []
    for store in stores:
        store.close()
    with pytest.raises(StorageUnavailable, match="search_path names no schema"):
        SessionStore.open(empty.update_query_dict({"options": "-csearch_path=nowhere"}))
    server.dispose()


def test_batches_beyond_the_drivers_limit(store: SessionStore) -> None:
    """More messages at once than a statement can have parameters, with ids to be looked up; all or none."""
    session = store.session("many")
    batch = [Message.user(f"{number}", id=f"m{number}") for number in range(70_000)]
    assert len(session.append(batch)) == 70_000
    assert len(session.append(batch[-10:])) == 10
    assert session.count() == 70_000
    assert [message.text for message in session.messages(last=2)] == ["69998", "69999"]


def test_an_acknowledged_message_is_on_the_disk(empty: URL) -> None:
    """Where the server's default is to acknowledge early, ours do not; a caller's engine with that is refused."""
    lazy = empty.update_query_dict({"options": "-csynchronous_commit=off"})
    with SessionStore.open(lazy, index="off") as store:
        assert store._database.read(lambda conn: conn.exec_driver_sql("SHOW synchronous_commit").scalar()) == "on"
    engine = create_engine(lazy)
    with pytest.raises(InvalidInput, match="synchronous_commit=off"):
        SessionStore.open(engine, index="off")
    engine.dispose()


def test_connections_that_the_server_ends_while_they_are_idle(empty: URL) -> None:
    """A server that ends idle connections is noticed by nobody: another one is made."""
    idle = empty.update_query_dict({"options": "-cidle_session_timeout=300ms"})
    with SessionStore.open(idle, index="off") as store, ThreadPoolExecutor(4) as pool:
        session = store.session("trip")
        for number in range(2):
            list(pool.map(lambda _: session.append(Message.user("x")), range(4)))
            time.sleep(0.7)
            assert session.count() == 4 * (number + 1)


def test_a_process_that_stands_still_in_a_transaction(empty: URL) -> None:
    """It holds up others for a minute at most, unless the caller's own settings say otherwise."""
    asked = "SHOW idle_in_transaction_session_timeout"
    for options, wanted in (("", "1min"), ("-cidle_in_transaction_session_timeout=5s", "5s")):
        with SessionStore.open(empty.update_query_dict({"options": options}), index="off") as store:
            for driver in (store._database.read, store._database.write):
                assert driver(lambda conn: conn.exec_driver_sql(asked).scalar()) == wanted


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"port": 1}, "start the server or check its address"),
        ({"database": "no_such_database"}, "make the database"),
        ({"username": "nobody_here"}, "check user and password|role"),
    ],
)
def test_a_server_that_cannot_be_used(postgres_database: URL, change: dict[str, Any], named: str) -> None:
    """Opening tells at once what is wrong, and never the password."""
    url = postgres_database.set(password="canary-secret", **change)  # noqa: S106  # none
    for driver in ("psycopg", "psycopg_async", "asyncpg"):
        started = time.monotonic()
        with pytest.raises(StorageUnavailable, match=named) as refused:
            SessionStore.open(url.set(drivername=f"postgresql+{driver}"), index="off")
        assert "canary" not in str(refused.value)
        assert time.monotonic() - started < 5


def test_names_that_are_no_postgresql(postgres_database: URL) -> None:
    """Other databases and drivers are refused with those that are known."""
    for wrong in ("mysql://h/d", "postgresql+psycopg2://h/d", "postgresql+pg8000://h/d"):
        with pytest.raises(InvalidInput, match=r"postgresql\+psycopg"):
            SessionStore.open(wrong)
    plain = make_url(address(postgres_database)).set(drivername="postgresql")
    with SessionStore.open(plain, index="off", tenant=str(uuid.uuid4())) as store:
        store.session("trip").append(Message.user("by the driver psycopg"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_has_connections_of_its_own(store: SessionStore) -> None:
    """Parent and child write through the store that was open before the fork; nothing is lost."""
    session = store.session("trip")
    session.append(Message.user("before"))
    child = os.fork()
    if not child:
        try:
            for number in range(20):
                session.append(Message.user(f"child {number}"))
            os._exit(0)
        except BaseException:  # noqa: BLE001  # whatever it is, the parent is told
            os._exit(1)
    for number in range(20):
        session.append(Message.user(f"parent {number}"))
    assert os.waitpid(child, 0)[1] == 0
    assert [message.seq for message in session.messages()] == list(range(1, 42))


def test_an_engine_stays_the_callers(postgres_database: URL) -> None:
    """Closing the store leaves a caller's engine as it is."""
    engine: Engine = create_engine(postgres_database)
    SessionStore.open(engine, index="off").close()
    with engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT 1").scalar() == 1
    engine.dispose()
