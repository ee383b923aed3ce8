"""The chat message history: what LangChain asks of one, and what a session gives on top."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage

from agent_session_core import InvalidInput, Message, SessionNotFound, SessionStore
from langchain_sessions import SessionChatMessageHistory

TALK = [HumanMessage("Where do we fly?"), AIMessage("To Lisbon.", id="run-1")]
CALLS = [
    HumanMessage("And when?"),
    AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c"}]),
    ToolMessage("The 4th", tool_call_id="c"),
    AIMessage("On the 4th."),
]


def test_it_is_a_history_and_overrides_every_method() -> None:
    """Nothing falls back on the base class's executor or on one write for each message."""
    assert issubclass(SessionChatMessageHistory, BaseChatMessageHistory)
    for name in ("messages", "aget_messages", "add_messages", "aadd_messages", "clear", "aclear"):
        assert inspect.getattr_static(SessionChatMessageHistory, name) is not getattr(
            BaseChatMessageHistory, name, None
        )


def test_messages_are_added_read_and_taken_back(store: SessionStore) -> None:
    """Every sync method does what LangChain says of it."""
    history = SessionChatMessageHistory("a", store=store)
    assert history.messages == []
    history.add_messages(TALK)
    history.add_message(HumanMessage("Thanks."))
    history.add_user_message("By night?")
    history.add_ai_message("By day.")
    expected = [*TALK, HumanMessage("Thanks."), HumanMessage("By night?"), AIMessage("By day.")]
    assert history.messages == expected
    assert "Human: Where do we fly?" in str(history)
    history.clear()
    assert history.messages == []
    history.add_messages([HumanMessage("Again.")])
    assert history.messages == [HumanMessage("Again.")]


async def test_the_same_asynchronously(store: SessionStore) -> None:
    """Every async method does the same, on the same object."""
    history = SessionChatMessageHistory("a", store=store)
    assert await history.aget_messages() == []
    await history.aclear()
    await history.aadd_messages(TALK)
    assert await history.aget_messages() == history.messages == TALK
    await history.aclear()
    assert await history.aget_messages() == []


async def test_the_same_natively(tmp_path: Path) -> None:
    """A URL with an async driver runs the async methods on it; both forms see the same."""
    async with SessionChatMessageHistory("a", url=f"sqlite+aiosqlite:///{tmp_path / 'native.db'}") as history:
        await history.aadd_messages(TALK)
        history.add_messages(CALLS)
        assert await history.aget_messages() == history.messages == [*TALK, *CALLS]
        await history.aclear()
        assert history.messages == []


def test_the_session_is_made_by_the_first_message(store: SessionStore) -> None:
    """Reading and clearing an unknown session make nothing; writing does, with what it was given."""
    history = SessionChatMessageHistory(
        "a", store=store, user_id="ana", title="Trip", agent_id="planner", metadata={"k": 1}
    )
    history.clear()
    history.add_messages([])
    assert history.messages == []
    with pytest.raises(SessionNotFound):
        store.session("a", create=False)
    history.add_messages(TALK)
    record = store.session("a", create=False).record()
    assert (record.user_id, record.title, record.agent_id, record.metadata) == ("ana", "Trip", "planner", {"k": 1})


def test_the_last_n_never_begin_with_a_tools_result(store: SessionStore) -> None:
    """``last`` gives the newest messages, oldest first, and reaches back to the call of a result."""
    SessionChatMessageHistory("a", store=store).add_messages([*TALK, *CALLS])
    assert SessionChatMessageHistory("a", store=store, last=1).messages == CALLS[3:]
    assert SessionChatMessageHistory("a", store=store, last=2).messages == CALLS[1:]
    assert SessionChatMessageHistory("a", store=store, last=100).messages == [*TALK, *CALLS]


async def test_a_history_can_be_set_whole(store: SessionStore) -> None:
    """Setting ``messages`` keeps the equal beginning as it is stored, and replaces the rest in one step."""
    history = SessionChatMessageHistory("a", store=store)
    history.add_messages([*TALK, *CALLS])
    before = store.session("a").messages()
    history.messages = [*TALK, HumanMessage("Summary.")]
    after = store.session("a").messages()
    assert history.messages == [*TALK, HumanMessage("Summary.")]
    assert [message.seq for message in after] == [1, 2, 7]
    assert after[:2] == before[:2]
    with pytest.raises(InvalidInput, match="only the last 2"):
        SessionChatMessageHistory("a", store=store, last=2).messages = []


def test_a_deleted_session_is_begun_anew(store: SessionStore) -> None:
    """A history that knew a session which was deleted reads nothing, and writes into a new one."""
    history = SessionChatMessageHistory("a", store=store)
    history.add_messages(TALK)
    store.session("a").delete()
    assert history.messages == []
    history.add_messages(TALK)
    store.session("a").delete()
    history.add_messages(TALK[:1])
    assert history.messages == TALK[:1]


def test_messages_of_others_are_out_of_reach(store: SessionStore) -> None:
    """Another user's history answers like an empty one; only taking the id is refused, and nothing is touched."""
    SessionChatMessageHistory("a", store=store, user_id="ana").add_messages(TALK)
    SessionChatMessageHistory("nobodys", store=store).add_messages(TALK)
    for session_id in ("a", "nobodys"):
        bobs = SessionChatMessageHistory(session_id, store=store, user_id="bob")
        assert bobs.messages == []
        bobs.clear()
        with pytest.raises(SessionNotFound) as caught:
            bobs.add_messages([HumanMessage("mine")])
        assert "Lisbon" not in str(caught.value)
        assert SessionChatMessageHistory(session_id, store=store).messages == TALK
    with pytest.raises(InvalidInput, match="bound to"):
        SessionChatMessageHistory("a", store=store.for_user("ana"), user_id="bob")


@pytest.mark.parametrize("session_id", ["", "x" * 513, "a\x00b", "\ud800"])
async def test_an_odd_session_id_is_refused_by_name(session_id: str, store: SessionStore) -> None:
    """Every method refuses it the same way, and nothing is stored."""
    history = SessionChatMessageHistory(session_id, store=store)
    for call in (lambda: history.messages, lambda: history.add_messages(TALK), history.clear):
        with pytest.raises(InvalidInput, match="session_id"):
            call()
    with pytest.raises(InvalidInput, match="session_id"):
        await history.aadd_messages(TALK)
    assert not store.sessions().items


@pytest.mark.parametrize("session_id", [5, None, b"a"])
def test_a_session_id_that_is_no_string_is_refused_by_name(session_id: object, store: SessionStore) -> None:
    """It is refused at once: no session is ever made under an id that nobody chose."""
    with pytest.raises(InvalidInput, match="session_id: expected a string"):
        SessionChatMessageHistory(session_id, store=store)  # type: ignore[arg-type]  # the mistakes under test


@pytest.mark.parametrize("last", [0, -1, True, 1.5, "3"])
def test_an_odd_last_is_refused_by_name(last: object, store: SessionStore) -> None:
    """Only a whole number from 1 on can be the number of messages."""
    with pytest.raises(InvalidInput, match="last"):
        SessionChatMessageHistory("a", store=store, last=last)  # type: ignore[arg-type]  # the mistakes under test


def test_a_batch_with_a_bad_message_is_not_stored_in_part(store: SessionStore) -> None:
    """All or nothing: an order to remove among the messages leaves the history as it was."""
    history = SessionChatMessageHistory("a", store=store)
    with pytest.raises(InvalidInput, match="RemoveMessage"):
        history.add_messages([*TALK, RemoveMessage(id="x")])
    assert history.messages == []


def test_exactly_one_of_store_and_url(store: SessionStore, url: str) -> None:
    """Neither, both and something else are refused, and a URL is never shown."""
    wrong: list[dict[str, Any]] = [{}, {"store": store, "url": url}, {"store": "sqlite://"}, {"url": 5}]
    for given in wrong:
        with pytest.raises(InvalidInput, match=r"store|url") as caught:
            SessionChatMessageHistory("a", **given)
        assert url not in str(caught.value)


async def test_what_a_url_opened_is_closed_and_a_store_is_not(store: SessionStore, url: str) -> None:
    """``close()`` closes what the history opened, twice without harm, and nothing that was handed over."""
    with SessionChatMessageHistory("a", url=url) as history:
        history.add_messages(TALK)
    history.close()
    async with SessionChatMessageHistory("a", url=url) as other:
        assert await other.aget_messages() == TALK
    lent = SessionChatMessageHistory("a", store=store)
    lent.close()
    await lent.aclose()
    assert lent.messages == TALK
    del history, other
    gc.collect()  # a connection left open would warn here


async def test_many_at_once_lose_nothing(store: SessionStore) -> None:
    """Threads and tasks that write one session together keep every message, each batch in its order."""

    def write(worker: int) -> None:
        history = SessionChatMessageHistory("a", store=store)
        for number in range(10):
            history.add_messages([HumanMessage(f"{worker} {number}"), AIMessage(f"{worker} {number}")])

    async def awrite(worker: int) -> None:
        history = SessionChatMessageHistory("a", store=store)
        for number in range(10):
            await history.aadd_messages([HumanMessage(f"{worker} {number}"), AIMessage(f"{worker} {number}")])

    with ThreadPoolExecutor(4) as pool:
        threads = [asyncio.wrap_future(pool.submit(write, worker)) for worker in range(4)]
        await asyncio.gather(*threads, *(awrite(worker) for worker in range(4, 8)))
    texts = [str(message.content) for message in SessionChatMessageHistory("a", store=store).messages]
    assert len(texts) == 160
    assert texts[::2] == texts[1::2]
    for worker in range(8):
        mine = [text for text in texts[::2] if text.startswith(f"{worker} ")]
        assert mine == [f"{worker} {number}" for number in range(10)]


async def test_nothing_said_is_logged(store: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    """No log of any level holds a word of the messages, and neither does a repr."""
    caplog.set_level(logging.DEBUG)
    history = SessionChatMessageHistory("a", store=store, user_id="ana")
    history.add_messages([HumanMessage("the canary sings"), AIMessage("canary", id="1")])
    await history.aadd_messages([HumanMessage("the canary sings")])
    assert len(await history.aget_messages()) == 3
    history.clear()
    assert "canary" not in caplog.text
    assert repr(history) == "SessionChatMessageHistory('a', user_id='ana')"


def test_a_core_message_is_read_as_langchains(store: SessionStore) -> None:
    """What was written past LangChain stands in the history too."""
    store.session("a").append(Message.user("By hand", id="m1"))
    assert SessionChatMessageHistory("a", store=store).messages == [HumanMessage("By hand", id="m1")]
