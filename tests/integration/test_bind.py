"""A store inside a transaction of the caller's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from agent_session_core import InvalidInput, Message, SessionNotFound, SessionStore


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The application's own engine, with a table of its own in the database of the sessions."""
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("DROP TABLE IF EXISTS orders"))
        conn.execute(text("CREATE TABLE orders (name VARCHAR(20))"))
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Iterator[SessionStore]:
    """The store on that engine."""
    with SessionStore.open(engine, index="off") as store:
        yield store


def _orders(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.execute(text("SELECT count(*) FROM orders")).scalar_one())


def test_both_are_stored_or_neither(engine: Engine, store: SessionStore) -> None:
    """What the application writes and what the session gets stand in one commit, and go with one rollback."""
    for commits in (True, False):
        with engine.connect() as conn:
            conn.execute(text("INSERT INTO orders VALUES ('tea')"))
            session = store.bind(conn).session("trip")
            session.append(Message.user("Tea, please."), Message.assistant("Ordered."))
            session.state["tea"] = 1
            assert [message.text for message in session.messages()][-2:] == ["Tea, please.", "Ordered."]
            (conn.commit if commits else conn.rollback)()
        assert [message.seq for message in store.session("trip").messages()] == [1, 2]
        assert (_orders(engine), store.session("trip").state.revision) == (1, 1)


def test_a_write_that_fails_leaves_the_transaction_whole(engine: Engine, store: SessionStore) -> None:
    """An error of ours takes nothing back but its own write: the caller decides about the rest."""
    with engine.connect() as conn:
        bound = store.bind(conn)
        session = bound.session("trip")
        session.append(Message.user("Tea", id="1"))
        conn.execute(text("INSERT INTO orders VALUES ('tea')"))
        with pytest.raises(InvalidInput):
            session.state["x"] = object()
        with pytest.raises(SessionNotFound):
            bound.session("other", create=False)
        conn.commit()
    assert _orders(engine) == 1
    assert [message.text for message in store.session("trip").messages()] == ["Tea"]


def test_others_see_nothing_before_the_commit(url: str, engine: Engine, store: SessionStore) -> None:
    """Until then the session is as it was for everybody else."""
    with engine.connect() as conn:
        store.bind(conn).session("trip").append(Message.user("Tea"))
        with pytest.raises(SessionNotFound):
            store.session("trip", create=False)
        conn.commit()
    assert store.session("trip", create=False).count() == 1


async def test_an_async_connection(url: str, store: SessionStore) -> None:
    """The async forms join the transaction of an AsyncConnection."""
    address = make_url(url)
    name = "sqlite+aiosqlite" if address.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    engine = create_async_engine(address.set(drivername=name))
    for commits in (True, False):
        async with engine.connect() as conn:
            session = await store.bind(conn).asession("trip")
            await session.aappend(Message.user("Tea"))
            with pytest.raises(InvalidInput, match="use the methods with the prefix a"):
                session.messages()
            await (conn.commit if commits else conn.rollback)()
        assert store.session("trip").count() == 1
    await engine.dispose()


@pytest.mark.parametrize("whose", ["session", "user"])
async def test_an_erasure_in_a_transaction(url: str, store: SessionStore, whose: str) -> None:
    """Its receipt is not complete before the commit, in either form; afterwards the store's own answer is."""
    address = make_url(url)
    name = "sqlite+aiosqlite" if address.get_backend_name() == "sqlite" else "postgresql+asyncpg"
    engine, async_engine = create_engine(address), create_async_engine(address.set(drivername=name))
    for number in range(2):
        store.session(f"trip {number}", user_id="ana").append(Message.user("Tea"))
    with engine.connect() as conn:
        bound = store.bind(conn)
        receipt = bound.session("trip 0").delete() if whose == "session" else bound.erase(user_id="ana")
        assert (receipt.complete, bound.receipt(receipt.id).complete) == (False, False)
        conn.commit()
    assert store.receipt(receipt.id).complete
    store.session("trip 1", user_id="ana")
    async with async_engine.connect() as aconn:
        bound = store.bind(aconn)
        session = await bound.asession("trip 1")
        receipt = await session.adelete() if whose == "session" else await bound.aerase(user_id="ana")
        assert (receipt.complete, (await bound.areceipt(receipt.id)).complete) == (False, False)
        await aconn.commit()
    assert (await store.areceipt(receipt.id)).complete
    assert len(store.sessions()) == 0
    engine.dispose()
    await async_engine.dispose()


def test_a_handle_of_what_was_rolled_back_reaches_nothing(engine: Engine, store: SessionStore) -> None:
    """SQLite gives its row's number to the next session: that one is nobody's but its own."""
    with engine.connect() as conn:
        lost = store.bind(conn).session("lost", user_id="ana")
        lost.append(Message.user("A"))
        conn.rollback()
        other = store.session("other", user_id="ana")
        other.append(Message.user("B"))
        other.state["b"] = 1
        other.tasks.add("b")
        other.files.put("b.txt", b"b")
        revision = other.revision
        with other.tool_call("b", id="b", idempotency_key="b") as call:
            call.succeed("b")
        reached: tuple[Callable[[], object], ...] = (
            *(lambda: lost.append(Message.user("A")), lambda: lost.append(Message.user("A", id="1"))),
            *(lambda: lost.replace([Message.user("A")]), lambda: lost.remove(last=1), lost.pop_turn, lost.touch),
            *(lost.messages, lost.count, lost.record, lost.close, lost.restart, lost.delete, lost.tool_calls),
            *(lambda: lost.update(title="A"), lambda: lost.fork("A"), lambda: lost.rewind(to=0), lost.undo_rewind),
            *(lost.state.all, lost.state.history, lambda: lost.state.get("b"), lambda: lost.state.at(1)),
            *(lambda: lost.state.update(b=2), lambda: lost.state.pop("b"), lost.state.clear),
            *(lambda: lost.tasks.add("A"), lost.tasks.records, lost.files.list, lambda: lost.files.get("b.txt")),
            *(lambda: lost.files.put("A", b"A"), lambda: lost.files.delete("b.txt"), lost.open_work),
            lambda: lost.settle_tool_call("b", error="A"),
        )
        for reach in reached:
            with pytest.raises(SessionNotFound):
                reach()
        conn.commit()
    assert ([message.text for message in other.messages()], other.state.all()) == (["B"], {"b": 1})
    assert other.revision == revision + 2  # the call, begun and ended
    assert len(store.sessions()) == 1


def test_what_cannot_be_bound(engine: Engine, store: SessionStore) -> None:
    """Anything but an open connection to the same database is refused, and so is what outlives a transaction."""
    with pytest.raises(InvalidInput, match="expected a SQLAlchemy Connection"):
        store.bind(engine)  # type: ignore[arg-type]  # a mistake
    with engine.connect() as conn:
        pass
    with pytest.raises(InvalidInput, match="it is closed"):
        store.bind(conn)
    other = create_engine("sqlite://")
    with other.connect() as conn, pytest.raises(InvalidInput, match=r"no sessions|is of sqlite"):
        store.bind(conn).session("trip")
    other.dispose()
    with engine.connect() as conn:
        session = store.bind(conn).session("trip")
        with pytest.raises(InvalidInput, match="cannot be held inside a transaction"), session.turn():
            pass
        with pytest.raises(InvalidInput, match="cannot be held inside a transaction"), session.tool_call("f"):
            pass
