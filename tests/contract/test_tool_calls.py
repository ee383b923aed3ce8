"""What the ledger of tool calls promises, however the store is driven."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent_session_core import (
    InvalidInput,
    Message,
    Session,
    SessionNotActive,
    SessionNotFound,
    SessionStore,
    ToolCallPart,
    ToolCallUnsettled,
)
from agent_session_core.sql.tables import leases
from agent_session_core.tool_calls import ToolCalls
from tests.contract.drivers import Opened, bare


def _end_leases(session: Session) -> None:
    """What happens when the process is gone that renewed them."""
    session._services.keeper._holds.clear()
    statement = leases.update().where(leases.c.session == session._plain_key.session).values(expires_at=0)
    session._database.write(lambda conn: int(conn.execute(statement).rowcount))


@pytest.fixture
def gone(session: Session) -> Iterator[str]:
    """The id of a call whose process is gone."""
    session._services.keeper.lease = 3_600.0  # nobody renews it again
    call = session.tool_call("book", {"n": 1}, idempotency_key="booking")
    call.__enter__()
    _end_leases(session)
    yield call.id
    call.target._calls.let_go(call.id, call.target._token)  # type: ignore[attr-defined]  # the driver's view of it


def test_a_call_is_recorded_while_it_runs_and_when_it_has_ended(session: Session, store: SessionStore) -> None:
    """Others see it running, then with its result; a call that says nothing has succeeded with None."""
    with session.tool_call("search", {"city": "Lisbon", "nights": 7}) as call:
        (running,) = store.session(session.id).tool_calls()
        assert (running.id, running.name, running.status) == (call.id, "search", "running")
        assert (running.arguments, running.finished_at) == ({"city": "Lisbon", "nights": 7}, None)
        call.succeed([{"price": 104.5}])
    with session.tool_call("nothing"):
        pass
    found, nothing = session.tool_calls(status="succeeded")
    assert (found.result, call.result, nothing.result, nothing.arguments) == (
        [{"price": 104.5}],
        found.result,
        None,
        {},
    )
    assert found.started_at is not None
    assert found.finished_at is not None
    assert running.started_at == found.started_at <= found.finished_at
    assert session.tool_calls(status="running") == []


def test_a_failure_is_recorded_and_goes_on_its_way(session: Session) -> None:
    """An exception is the call's failure; one can also be told without an exception."""
    with pytest.raises(ValueError, match="sold out"), session.tool_call("book"):
        raise ValueError("sold out")
    with session.tool_call("book") as call:
        call.fail("no answer")
    assert [(call.status, call.error) for call in session.tool_calls()] == [
        ("failed", "ValueError: sold out"),
        ("failed", "no answer"),
    ]


def test_what_breaks_a_call_off_leaves_it_unknown(session: Session) -> None:
    """After an interrupt nobody knows how far the tool came."""
    with pytest.raises(KeyboardInterrupt), session.tool_call("book"):
        raise KeyboardInterrupt
    assert [call.status for call in session.tool_calls()] == ["unknown"]


def test_a_result_that_cannot_be_recorded_leaves_it_unknown(session: Session) -> None:
    """The tool has acted: the call is no failure that may be tried again. The error names the result."""
    with pytest.raises(InvalidInput, match="result: not JSON"), session.tool_call("book", idempotency_key="k") as call:
        call.succeed(object())
    assert [call.status for call in session.tool_calls()] == ["unknown"]
    with pytest.raises(ToolCallUnsettled, match="was broken off and may have acted"):
        session.tool_call("book", idempotency_key="k").__enter__()


def test_an_idempotency_key_gives_back_the_earlier_result(session: Session) -> None:
    """A second call with the key does not act: it is handed the first's result; another key, or none, acts."""
    acted = []
    for key in ("k", "k", "other", None, None):
        with session.tool_call("book", {"n": 1}, idempotency_key=key) as call:
            if call.earlier is None:
                acted.append(key)
                call.succeed(len(acted))
            assert call.result == {"k": 1, "other": 2}.get(key or "", len(acted))
    assert acted == ["k", "other", None, None]
    assert [call.result for call in session.tool_calls()] == [1, 2, 3, 4]


def test_a_failed_call_may_be_tried_again(session: Session) -> None:
    """Its key is free, and then the key of the one that succeeded."""
    for outcome in ("fail", "succeed", "neither"):
        with session.tool_call("book", idempotency_key="k") as call:
            if outcome == "fail":
                call.fail("no")
            elif call.earlier is None:
                call.succeed("yes")
            else:
                assert call.result == "yes"
    assert [call.status for call in session.tool_calls()] == ["failed", "succeeded"]


def test_a_key_that_runs_or_is_unknown_is_not_free(session: Session, store: SessionStore) -> None:
    """Nobody acts a second time while the first runs, nor after its process is gone, until it is said how it ended."""
    with session.tool_call("book", idempotency_key="k") as call:
        with pytest.raises(ToolCallUnsettled, match="is running elsewhere; wait until it has ended"):
            store.session(session.id).tool_call("book", idempotency_key="k").__enter__()
        call.succeed("done")
    with session.tool_call("book", idempotency_key="k") as call:
        assert call.result == "done"


def test_a_process_that_is_gone_leaves_unknown(session: Session, gone: str) -> None:
    """The call is found as unknown when its lease has ended, its key is not free, and it can be settled once."""
    assert [call.id for call in session.tool_calls(status="unknown")] == [gone]
    assert [call.id for call in session.open_work().unknown] == [gone]
    with pytest.raises(
        ToolCallUnsettled, match=r"may have acted; find out, then say so with session.settle_tool_call\(\)"
    ):
        session.tool_call("book", {"n": 2}, idempotency_key="booking").__enter__()
    session.settle_tool_call(gone, result={"booked": True})
    (call,) = session.tool_calls()
    assert (call.status, call.result) == ("succeeded", {"booked": True})
    with session.tool_call("book", {"n": 1}, idempotency_key="booking") as again:
        assert again.result == {"booked": True}
    with pytest.raises(InvalidInput, match="has ended already: it succeeded; leave it so"):
        session.settle_tool_call(gone, error="no")
    assert session.open_work().unknown == ()


def test_a_late_outcome_does_not_overwrite_what_was_found_out(session: Session) -> None:
    """A worker that stood still past its lease, and was settled by hand, is told so when it wakes."""
    session._services.keeper.lease = 3_600.0
    with (  # noqa: PT012  # it is told on leaving
        pytest.raises(InvalidInput, match="has ended already: it failed"),
        session.tool_call("book") as call,
    ):
        _end_leases(session)
        session.settle_tool_call(call.id, error="it had not acted")
        call.succeed("late")
    assert [(call.status, call.error) for call in session.tool_calls()] == [("failed", "it had not acted")]


def test_a_running_call_is_not_settled_by_others(session: Session) -> None:
    """Its own process tells."""
    with session.tool_call("book") as call:
        with pytest.raises(ToolCallUnsettled, match="is running elsewhere"):
            session.settle_tool_call(call.id, result="mine")
        call.succeed("its own")
    assert [call.result for call in session.tool_calls()] == ["its own"]


def test_calls_of_messages_are_in_the_same_ledger(session: Session) -> None:
    """Calls that a model asks for are requested, then as their answers say, in the order of the messages."""
    session.append(
        Message.user("Book it."),
        Message.assistant(
            parts=(
                ToolCallPart("c1", "hotel", {"n": 1}),
                ToolCallPart("c2", "train", "{broken"),
                ToolCallPart("c3", "x"),
            )
        ),
        Message.tool("104 euros", "c1"),
        Message.tool("no such train", "c2", is_error=True),
    )
    calls = session.tool_calls()
    assert [(call.id, call.name, call.status, call.result, call.error) for call in calls] == [
        ("c1", "hotel", "succeeded", "104 euros", None),
        ("c2", "train", "failed", None, "no such train"),
        ("c3", "x", "requested", None, None),
    ]
    assert [(call.arguments, call.seq) for call in calls] == [({"n": 1}, 2), ("{broken", 2), ({}, 2)]
    assert [call.id for call in session.open_work().requested] == ["c3"]


def test_a_call_asked_for_and_made_is_one(session: Session) -> None:
    """Under the model's id the record of the call stands in the message's place."""
    session.append(Message.user("Book it."), Message.assistant(parts=(ToolCallPart("c1", "hotel", {"n": 1}),)))
    with session.tool_call("first"):
        pass
    with session.tool_call("hotel", {"n": 1}, id="c1") as call:
        call.succeed({"euros": 104})
    session.append(Message.tool("104 euros", "c1"))
    assert next((call.id, call.seq, call.result) for call in session.tool_calls()) == ("c1", 2, {"euros": 104})
    assert [call.name for call in session.tool_calls()] == ["hotel", "first"]
    with session.tool_call("hotel", {"n": 1}, id="c1") as again:
        assert again.earlier is not None
        assert again.result == {"euros": 104}


def test_an_id_or_key_of_another_call_is_refused(session: Session) -> None:
    """The same id with other arguments, and the same key with another tool, are slips; loose ids give another id."""
    with session.tool_call("hotel", {"n": 1}, id="c1", idempotency_key="k") as call:
        call.succeed(1)
    with pytest.raises(InvalidInput, match="id: 'c1' is another call's; leave it out, or give a new one"):
        session.tool_call("hotel", {"n": 2}, id="c1").__enter__()
    with pytest.raises(InvalidInput, match="idempotency_key: 'k' is a call's of 'hotel'; give this one another"):
        session.tool_call("train", idempotency_key="k").__enter__()
    with session.tool_call("hotel", {"n": 2}, id="c1", ids="loose") as loose:
        assert loose.id != "c1"
    assert [call.arguments for call in session.tool_calls()] == [{"n": 1}, {"n": 2}]


def test_a_rewind_does_not_forget_what_has_acted(session: Session) -> None:
    """A call that a rewind took back is not in the ledger; its key still gives its result; a late end is recorded."""
    session.append(Message.user("one"))
    with session.tool_call("book", idempotency_key="k") as early:
        session.append(Message.assistant("two"), Message.user("three"))
        early.succeed("booked")
    with session.tool_call("pay", idempotency_key="p") as late:
        session.rewind(to=2)
        assert [(call.name, call.status) for call in session.tool_calls()] == [("book", "succeeded")]
        late.succeed("paid")
    for name, key, result in (("book", "k", "booked"), ("pay", "p", "paid")):
        with session.tool_call(name, idempotency_key=key) as again:
            assert again.result == result


def test_calls_of_others_do_not_exist(session: Session, store: SessionStore, opened: Opened, gone: str) -> None:
    """Ids and keys mean nothing in another session, for another user or another tenant."""
    for other in (store.session("other"), store.session("ana's", user_id="ana"), opened.store().session("trip")):
        assert other.tool_calls() == []
        with pytest.raises(InvalidInput, match="is no call made through this session"):
            other.settle_tool_call(gone, result=1)
        with other.tool_call("book", {"n": 1}, idempotency_key="booking") as call:
            assert call.earlier is None
    assert [call.status for call in session.tool_calls()] == ["unknown"]


def test_an_ended_or_deleted_session_takes_no_calls(session: Session) -> None:
    """A call that ends after its session has closed says so, and is unknown until it is settled in the restored one."""
    session._services.keeper.lease = 3_600.0
    with pytest.raises(SessionNotActive), session.tool_call("book", idempotency_key="k") as call:  # noqa: PT012  # on leaving
        session.close()
        call.succeed("done")
    with pytest.raises(SessionNotActive):
        session.tool_call("more").__enter__()
    assert not session._services.keeper._holds
    _end_leases(session)
    assert [call.status for call in session.tool_calls()] == ["unknown"]
    session.restore()
    session.settle_tool_call(call.id, result="done")
    session.delete()
    for refused in (session.tool_calls, session.open_work, lambda: session.settle_tool_call(call.id)):
        with pytest.raises(SessionNotFound):
            refused()


def test_leases_are_renewed_while_calls_run(session: Session) -> None:
    """A call that takes longer than its lease is still running, also right after another one has ended."""
    keeper = session._services.keeper
    keeper.lease = 0.4
    try:
        for _ in range(5):
            with session.tool_call("short"):
                pass
        with session.tool_call("long"):
            time.sleep(0.7)
            assert [call.status for call in session.tool_calls()][-1] == "running"
    finally:
        keeper.lease = 30.0


def nested(levels: int) -> Any:
    """A value of so many levels."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_whatever_is_within_the_limits_can_be_recorded(main_session: Session) -> None:
    """Arguments and results of the size and the depth allowed, both at once: the record that holds them adds none."""
    deep, long = nested(99), "x" * (4 * 1024 * 1024 - 100)
    with main_session.tool_call("f", {"deep": deep}) as call:
        call.succeed([deep])
    with main_session.tool_call("f", {"long": long}) as call:
        call.succeed(long)
    assert [call.result for call in main_session.tool_calls("succeeded")] == [[deep], long]


def test_calls_within_the_limits_can_be_moved(main_opened: Opened) -> None:
    """What can be recorded is exported, and loaded elsewhere."""
    store, another = main_opened.store(), main_opened.store()
    with store.session("trip").tool_call("f", {"deep": nested(99), "long": "x" * 4_000_000}) as call:
        call.succeed([nested(99), "y" * 4_000_000])
    assert another.load(list(store.export())).problem_count == 0
    assert another.session("trip").tool_calls() == store.session("trip").tool_calls()


def test_one_call_object_may_be_entered_again(session: Session) -> None:
    """As in a loop that tries again: each attempt records its own outcome, and is handed that of one that succeeded."""
    call = session.tool_call("book", {"n": 1})
    outcomes: list[Any] = []
    for attempt in range(3):
        with call:
            if attempt == 0:
                call.fail("no line")
            elif call.earlier is None:
                call.succeed("booked")
        outcomes += [(told.status, told.result) for told in session.tool_calls()]
    assert outcomes == [("failed", None), ("succeeded", "booked"), ("succeeded", "booked")]
    assert call.earlier is not None


def test_an_outcome_needs_a_call_that_has_begun(session: Session) -> None:
    """Outside of its block a call has not begun; the error says to enter it."""
    call = session.tool_call("book")
    for outcome in (call.succeed, call.fail):
        with pytest.raises(InvalidInput, match="'book': it has not begun; enter it by 'with'"):
            outcome("done")
    assert session.tool_calls() == []


def test_an_id_is_the_same_call_whether_its_key_is_given_again_or_not(session: Session) -> None:
    """Left out, it is the earlier call's; another one is refused, and the error tells the earlier one."""
    with session.tool_call("pay", {"n": 1}, id="c1", idempotency_key="k") as call:
        call.fail("no line")
    with session.tool_call("pay", {"n": 1}, id="c1") as call:
        call.succeed("paid")
    for repeated in (session.tool_call("pay", {"n": 1}, id="c1"), session.tool_call("pay", idempotency_key="k")):
        with repeated as again:
            assert again.result == "paid"
            assert again.earlier is not None
    with pytest.raises(InvalidInput, match="id: 'c1' is a call's that was made with idempotency_key 'k'; make this"):
        session.tool_call("pay", {"n": 1}, id="c1", idempotency_key="other").__enter__()
    with session.tool_call("pay", {"n": 2}, id="c2"):
        pass
    with pytest.raises(InvalidInput, match="id: 'c2' is a call's that was made without an idempotency_key; make"):
        session.tool_call("pay", {"n": 2}, id="c2", idempotency_key="new").__enter__()
    with pytest.raises(InvalidInput, match="error: cannot go with a result"):
        session.settle_tool_call("c2", result=1, error="no")


def test_a_key_is_anothers_only_where_it_is(session: Session) -> None:
    """An id whose call failed may be used by another tool; a key nobody had is not that call's."""
    with session.tool_call("first", id="c1") as call:
        call.fail("no")
    with session.tool_call("second", id="c1", idempotency_key="new") as call:
        call.succeed("done")
    assert [(told.name, told.status) for told in session.tool_calls()] == [("second", "succeeded")]


def test_an_exception_that_cannot_be_shown_is_recorded_by_its_kind(session: Session) -> None:
    """And comes through as it is."""

    class UnwillingError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(UnwillingError), session.tool_call("book"):
        raise UnwillingError
    assert [(call.status, call.error) for call in session.tool_calls()] == [("failed", "UnwillingError")]


async def test_a_call_cancelled_before_it_began_is_known_not_to_have_acted(main_opened: Opened) -> None:
    """It is never left running or unknown, and its key is free."""
    session = await bare(main_opened.store()).asession("cancelled")
    entered: set[str] = set()

    async def act(name: str) -> None:
        async with session.tool_call("act", id=name, idempotency_key=name) as call:
            if call.earlier is None:
                entered.add(name)

    for moment in range(100):
        task = asyncio.create_task(act(str(moment)))
        await asyncio.sleep(moment % 40 / 10_000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    calls = await session.atool_calls()
    never = [call for call in calls if call.id not in entered]
    assert {call.error for call in never} <= {"cancelled before it began"}
    for call in never:
        await act(call.id)
    assert {call.status for call in await session.atool_calls() if call in never} <= {"succeeded"}


async def test_a_cancellation_goes_on_its_way(main_opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that comes when the result is recorded already, which stays; an interrupt of the sync form too."""
    session = await bare(main_opened.store()).asession("cancelled")
    settle, asettle = ToolCalls.settle, ToolCalls.asettle

    def interrupted(calls: ToolCalls, *given: Any, **options: Any) -> None:
        settle(calls, *given, **options)
        raise KeyboardInterrupt

    async def cancelled(calls: ToolCalls, *given: Any, **options: Any) -> None:
        await asettle(calls, *given, **options)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):  # noqa: PT012  # the context's end is what is asked
        async with session.tool_call("act", id="async") as call:
            with monkeypatch.context() as patched:
                patched.setattr(ToolCalls, "asettle", cancelled)
                await call.asucceed(1)
    monkeypatch.setattr(ToolCalls, "settle", interrupted)
    with pytest.raises(KeyboardInterrupt), session.tool_call("act", id="sync") as call:
        call.succeed(1)
    assert [(call.id, call.status, call.result) for call in await session.atool_calls()] == [
        ("async", "succeeded", 1),
        ("sync", "succeeded", 1),
    ]


def test_what_goes_wrong_counts_more_than_that_it_cannot_be_recorded(session: Session) -> None:
    """Where the session has ended meanwhile, the tool's own exception comes through; without one, ours tells."""
    with pytest.raises(ZeroDivisionError), session.tool_call("act"):  # noqa: PT012  # as above
        session.close()
        raise ZeroDivisionError
    session.restore()
    with pytest.raises(SessionNotActive), session.tool_call("act"):
        session.close()


def test_what_is_no_call_is_refused(main_session: Session) -> None:
    """Every argument is named where it cannot be used; nothing is recorded."""
    session = main_session
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    ids: list[Any] = ["", "x" * 513, "a\nb", "\ud800", 5, b"x"]
    calls: list[tuple[str, Any]] = [
        *(("name", lambda bad=bad: session.tool_call(bad)) for bad in (*ids, None)),
        *(("id", lambda bad=bad: session.tool_call("t", id=bad)) for bad in ids),
        *(("idempotency_key", lambda bad=bad: session.tool_call("t", idempotency_key=bad)) for bad in ids),
        *(("arguments", lambda bad=bad: session.tool_call("t", bad)) for bad in (5, "text", [1], [("a", 1)], b"x")),
        *(
            ("arguments", lambda bad=bad: session.tool_call("t", {"a": bad}))
            for bad in (object(), {1}, deep, "x" * 5 * 10**6, float("nan"), [{1: 2}])
        ),
        *(("ids", lambda bad=bad: session.tool_call("t", ids=bad)) for bad in ("lax", 5)),
        *(("status", lambda bad=bad: session.tool_calls(status=bad)) for bad in ("done", 5, "", ["failed"])),
        *(("id", lambda bad=bad: session.settle_tool_call(bad)) for bad in (*ids, None, "nowhere")),
        *(("error", lambda bad=bad: session.settle_tool_call("x", error=bad)) for bad in (5, ValueError("x"))),
        ("error", lambda: session.settle_tool_call("x", error="no", result="yes")),
        *(
            ("result", lambda bad=bad: session.settle_tool_call("x", result=bad))
            for bad in (object(), deep, float("inf"))
        ),
    ]
    before = session.revision
    for argument, call in calls:
        with pytest.raises(InvalidInput, match=rf"^{argument}: ") as caught:
            call()
        assert len(str(caught.value)) < 400
    assert session.revision == before
    assert session.tool_calls() == []
