"""``SessionChatStore`` keeps the contract of ``BaseChatStore``, sync and async alike."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer, ChatSummaryMemoryBuffer
from llama_index.core.storage.chat_store.base import BaseChatStore

from agent_session_core import InvalidInput, Message, SessionNotFound, SessionStore
from llamaindex_sessions import SessionChatStore


def user(text: str) -> ChatMessage:
    """What a person says."""
    return ChatMessage(role="user", content=text)


def agent(text: str) -> ChatMessage:
    """What the agent says."""
    return ChatMessage(role="assistant", content=text)


TURN = [
    user("find a flight"),
    ChatMessage(
        role="assistant", blocks=[ToolCallBlock(tool_call_id="c1", tool_name="find", tool_kwargs={"to": "Lisbon"})]
    ),
    ChatMessage(role="tool", content="TP 123", additional_kwargs={"tool_call_id": "c1", "name": "find"}),
    agent("TP 123 flies on the 4th"),
]

ASYNC = {
    "set_messages": "aset_messages",
    "get_messages": "aget_messages",
    "add_message": "async_add_message",
    "delete_messages": "adelete_messages",
    "delete_message": "adelete_message",
    "delete_last_message": "adelete_last_message",
    "get_keys": "aget_keys",
}


class Sync:
    """Calls the store's sync methods."""

    def __init__(self, store: SessionStore) -> None:
        self.chats = SessionChatStore(store)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self.chats, name)  # type: ignore[no-any-return]  # one of the methods above


class FreshLoops(Sync):
    """Calls the async methods, each in an event loop of its own."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given: asyncio.run(getattr(self.chats, ASYNC[name])(*given))


class InsideALoop(Sync):
    """Calls the sync methods while an event loop is running in the same thread."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*given: Any) -> Any:
            return getattr(self.chats, name)(*given)

        return lambda *given: asyncio.run(call(*given))


@pytest.fixture(params=[Sync, FreshLoops, InsideALoop])
def chats(request: pytest.FixtureRequest, store: SessionStore) -> SessionChatStore:
    """The chat store, driven in one of the ways; each has the sync names."""
    return request.param(store)  # type: ignore[no-any-return]  # stands in for the store


def test_every_method_of_the_base_class_is_the_stores_own() -> None:
    """Nothing falls back on the base class's threads."""
    for name in (*ASYNC, *ASYNC.values()):
        ours, theirs = vars(SessionChatStore)[name], vars(BaseChatStore)[name]
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


def test_added_messages_come_back_in_order(chats: SessionChatStore) -> None:
    """What is added is read in the order of adding, by key."""
    for message in TURN:
        chats.add_message("trip", message)
    chats.add_message("other", user("hello"))
    assert chats.get_messages("trip") == TURN
    assert chats.get_messages("other") == [user("hello")]
    assert chats.get_keys() == ["other", "trip"]


def test_the_same_message_twice_is_two_messages(chats: SessionChatStore) -> None:
    """Messages have no id in LlamaIndex: saying a thing again is another message."""
    chats.add_message("trip", user("hello"))
    chats.add_message("trip", user("hello"))
    (read, _) = chats.get_messages("trip")
    chats.add_message("trip", read)
    assert chats.get_messages("trip") == [user("hello")] * 3


def test_a_key_that_is_not_there_answers_with_nothing(chats: SessionChatStore) -> None:
    """Reading and deleting an unknown key neither fails nor makes a session."""
    assert chats.get_messages("no") == []
    assert chats.delete_messages("no") is None
    assert chats.delete_message("no", 0) is None
    assert chats.delete_message("no", -3) is None
    assert chats.delete_last_message("no") is None
    chats.set_messages("no", [])
    assert chats.get_keys() == []


def test_setting_messages_replaces_all_of_them(chats: SessionChatStore) -> None:
    """``set_messages`` leaves exactly what it was given."""
    chats.set_messages("trip", TURN)
    assert chats.get_messages("trip") == TURN
    chats.set_messages("trip", [user("new"), *TURN[1:2]])
    assert chats.get_messages("trip") == [user("new"), TURN[1]]
    chats.set_messages("trip", [])
    assert chats.get_messages("trip") == []


def test_deleting_messages_returns_them_and_forgets_the_key(chats: SessionChatStore) -> None:
    """``delete_messages`` gives back the history; the key can be used again."""
    chats.set_messages("trip", TURN)
    assert chats.delete_messages("trip") == TURN
    assert chats.get_messages("trip") == []
    assert chats.get_keys() == []
    assert chats.delete_messages("trip") is None
    chats.add_message("trip", user("again"))
    assert chats.get_messages("trip") == [user("again")]


@pytest.mark.parametrize("place", [0, 1, 2, -1, -2, -3])
def test_deleting_by_place_counts_as_lists_do(chats: SessionChatStore, place: int) -> None:
    """``delete_message`` takes the place in the list that ``get_messages`` gives, from either end."""
    history = [user("a"), agent("b"), user("c")]
    chats.set_messages("trip", history)
    assert chats.delete_message("trip", place) == history.pop(place)
    assert chats.get_messages("trip") == history


@pytest.mark.parametrize("place", [3, -4, 10_000])
def test_a_place_that_is_not_there_deletes_nothing(chats: SessionChatStore, place: int) -> None:
    """Out of range is None, at both ends."""
    chats.set_messages("trip", [user("a"), agent("b"), user("c")])
    assert chats.delete_message("trip", place) is None
    assert len(chats.get_messages("trip")) == 3


@pytest.mark.parametrize("place", ["1", None, 1.0, True])
def test_a_place_that_is_no_number_is_named(chats: SessionChatStore, place: Any) -> None:
    """Nothing is deleted then."""
    chats.set_messages("trip", [user("a"), agent("b")])
    with pytest.raises(InvalidInput, match="idx: expected a whole number"):
        chats.delete_message("trip", place)
    assert len(chats.get_messages("trip")) == 2


@pytest.mark.parametrize("given", [None, "abc", 5, ChatMessage(content="alone")])
def test_what_is_no_list_of_messages_is_named(chats: SessionChatStore, given: Any) -> None:
    """A single message, a string or nothing at all: what was there stays."""
    chats.set_messages("trip", TURN)
    with pytest.raises(InvalidInput, match="messages: expected a list"):
        chats.set_messages("trip", given)
    assert chats.get_messages("trip") == TURN


def test_the_last_message_can_be_deleted_until_none_is_left(chats: SessionChatStore) -> None:
    """``delete_last_message`` gives the newest, then None, and never fails."""
    chats.set_messages("trip", [user("a"), agent("b")])
    assert chats.delete_last_message("trip") == agent("b")
    assert chats.delete_last_message("trip") == user("a")
    assert chats.delete_last_message("trip") is None


def test_the_list_that_is_read_is_the_readers_own(chats: SessionChatStore) -> None:
    """Changing what was read changes nothing that is stored."""
    chats.set_messages("trip", TURN)
    read = chats.get_messages("trip")
    read[0].blocks = [TextBlock(text="changed")]
    read.clear()
    assert chats.get_messages("trip") == TURN


def test_a_batch_of_thousands_is_one_call(chats: SessionChatStore) -> None:
    """No limit of bound values is met."""
    history = [user(f"message {number}") for number in range(7_000)]
    chats.set_messages("trip", history)
    assert chats.get_messages("trip") == history


def test_a_message_that_cannot_be_stored_changes_nothing(chats: SessionChatStore) -> None:
    """The error comes before anything is written."""
    chats.set_messages("trip", TURN)
    with pytest.raises(InvalidInput):
        chats.set_messages("trip", [user("new"), "no message"])  # type: ignore[list-item]  # the mistake under test
    assert chats.get_messages("trip") == TURN


def test_a_session_stays_readable_when_the_file_of_a_picture_is_gone(chats: SessionChatStore, tmp_path: Path) -> None:
    """A path is data: neither storing nor reading needs the file."""
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    message = ChatMessage(blocks=[ImageBlock(path=path), ThinkingBlock(additional_information={"sealed": b"\x00"})])
    chats.add_message("trip", message)
    path.unlink()
    assert chats.get_messages("trip") == [message]


def test_replacing_keeps_the_rows_of_the_equal_beginning(store: SessionStore) -> None:
    """Ids, numbers and times of messages that did not change stay what they were."""
    chats = SessionChatStore(store)
    chats.set_messages("trip", TURN)
    before = store.session("trip").messages()
    chats.set_messages("trip", [*chats.get_messages("trip"), user("and back?")])
    assert store.session("trip").messages()[:4] == before


def test_concurrent_replacing_leaves_one_of_the_histories(store: SessionStore) -> None:
    """Eight threads set eight histories: one of them is left, whole, never a mixture."""
    chats = SessionChatStore(store)
    histories = [[user(f"{number} {place}") for place in range(20)] for number in range(8)]
    threads = [threading.Thread(target=chats.set_messages, args=("trip", history)) for history in histories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chats.get_messages("trip") in histories


def test_two_event_loops_in_turn_share_one_store(store: SessionStore) -> None:
    """``asyncio.run`` twice on one chat store: it holds nothing of the first loop."""
    chats = SessionChatStore(store)

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(work)

    run(chats.async_add_message("trip", user("one")))
    run(chats.async_add_message("trip", user("two")))
    assert run(chats.aget_messages("trip")) == [user("one"), user("two")]


def test_users_do_not_see_each_other(store: SessionStore) -> None:
    """A key of another user answers like one that is not there, in every method."""
    anas, bens, everybodys = (SessionChatStore(store, user_id=name) for name in ("ana", "ben", None))
    anas.set_messages("trip", TURN)
    assert bens.get_messages("trip") == []
    assert bens.delete_messages("trip") is None
    assert bens.delete_message("trip", 0) is None
    assert bens.delete_last_message("trip") is None
    assert bens.get_keys() == []
    bens.set_messages("trip", [])
    with pytest.raises(SessionNotFound):
        bens.add_message("trip", user("hello"))
    with pytest.raises(SessionNotFound):
        bens.set_messages("trip", [user("hello")])
    assert anas.get_messages("trip") == everybodys.get_messages("trip") == TURN


def test_a_store_that_is_bound_binds_the_chat_store(store: SessionStore) -> None:
    """``for_user`` and ``user_id=`` are the same, and cannot contradict each other."""
    assert SessionChatStore(store.for_user("ana")).user_id == "ana"
    with pytest.raises(InvalidInput):
        SessionChatStore(store.for_user("ana"), user_id="ben")


def test_what_is_dumped_holds_no_address_and_no_client(tmp_path: Path) -> None:
    """``model_dump``, ``to_dict``, ``to_json`` and ``repr`` tell the class and the user, no more."""
    chats = SessionChatStore(url=f"sqlite:///{tmp_path / 'secret-place.db'}", user_id="ana")
    expected = {"user_id": "ana", "class_name": "SessionChatStore"}
    assert chats.model_dump() == chats.to_dict() == expected
    for shown in (chats.to_json(), chats.model_dump_json(), repr(chats), str(chats)):
        assert "secret" not in shown
        assert "sqlite" not in shown
    assert repr(ChatMemoryBuffer.from_defaults(chat_store=chats).to_dict()).count("secret") == 0
    chats.close()


def test_a_store_or_an_address_must_be_given(store: SessionStore) -> None:
    """Neither and both are refused, also when a dump is loaded: no other database is opened in silence."""
    with pytest.raises(InvalidInput, match="store: give either"):
        SessionChatStore()
    with pytest.raises(InvalidInput, match="store: give either"):
        SessionChatStore(store, url="sqlite://")
    with pytest.raises(InvalidInput, match="store: give either"):
        SessionChatStore.from_dict(SessionChatStore(store).to_dict())


def test_only_what_was_opened_here_is_closed(store: SessionStore, url: str) -> None:
    """A store that was handed over stays open; an address opens a store that ``close`` closes."""
    SessionChatStore(store).close()
    SessionChatStore(store).add_message("trip", user("hello"))
    own = SessionChatStore(url=url)
    assert own.get_messages("trip") == [user("hello")]
    own.close()
    with pytest.raises(Exception, match="clos"):
        own.get_messages("trip")


def test_a_database_in_memory_is_one_for_sync_and_async() -> None:
    """What one way writes the other reads, from any event loop, and two such stores share nothing."""
    one, two = SessionChatStore(url="sqlite://"), SessionChatStore(url="sqlite://")
    one.add_message("trip", user("hello"))
    assert asyncio.run(one.aget_messages("trip")) == [user("hello")]
    assert two.get_messages("trip") == []
    one.close()
    asyncio.run(two.aclose())


def test_a_chat_store_is_never_falsy_and_can_be_copied(store: SessionStore) -> None:
    """LlamaIndex replaces a falsy store by its own; a copy is another handle of the same database."""
    chats = SessionChatStore(store)
    assert bool(chats) is True
    copy.deepcopy(chats).add_message("trip", user("hello"))
    assert chats.get_messages("trip") == [user("hello")]


def test_a_memory_buffer_works_on_it(chats: SessionChatStore, store: SessionStore) -> None:
    """``ChatMemoryBuffer`` puts, cuts by tokens and resets."""
    buffer = ChatMemoryBuffer.from_defaults(
        chat_store=SessionChatStore(store), chat_store_key="trip", token_limit=6, tokenizer_fn=str.split
    )
    for message in (user("one two three"), agent("four"), user("five six"), agent("seven")):
        buffer.put(message)
    assert [message.content for message in buffer.get()] == ["five six", "seven"]
    assert len(chats.get_messages("trip")) == 4
    buffer.reset()
    assert chats.get_messages("trip") == []


def test_a_summary_buffer_that_rewrites_on_every_read_changes_no_row(store: SessionStore) -> None:
    """``ChatSummaryMemoryBuffer.get`` deletes and sets everything: equal messages keep their rows."""
    chats = SessionChatStore(store)
    chats.set_messages("trip", TURN)
    before = store.session("trip").messages()
    buffer = ChatSummaryMemoryBuffer.from_defaults(
        chat_store=chats, chat_store_key="trip", token_limit=1_000, tokenizer_fn=str.split
    )
    assert [buffer.get(), buffer.get()] == [TURN, TURN]
    assert store.session("trip").messages() == before


def test_what_is_deleted_can_be_seen_in_no_read(store: SessionStore) -> None:
    """Deleting a call by its place leaves its result out too, rather than an orphan."""
    chats = SessionChatStore(store)
    chats.set_messages("trip", TURN)
    assert chats.delete_message("trip", 1) == TURN[1]
    assert chats.get_messages("trip") == [TURN[0], TURN[3]]


def test_messages_of_the_core_are_read_too(store: SessionStore) -> None:
    """A session that was not written by LlamaIndex is a history like any other."""
    store.session("trip").append(Message.user("hello", name="Ana"), Message.assistant("hi"))
    assert SessionChatStore(store).get_messages("trip") == [
        ChatMessage(role="user", content="hello", additional_kwargs={"name": "Ana"}),
        agent("hi"),
    ]
