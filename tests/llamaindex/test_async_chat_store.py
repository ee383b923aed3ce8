"""``AsyncSessionChatStore`` keeps the contract of ``AsyncDBChatStore``, and ``Memory`` works on it."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from agent_session_core import InvalidInput, SessionNotFound, SessionStore
from llamaindex_sessions import AsyncSessionChatStore

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED


def said(*texts: str) -> list[ChatMessage]:
    """Messages by turns of the person and the agent."""
    return [ChatMessage(role=("user", "assistant")[number % 2], content=text) for number, text in enumerate(texts)]


def texts(messages: list[ChatMessage]) -> list[str | None]:
    """What the messages say."""
    return [message.content for message in messages]


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite"])
def chats(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncSessionChatStore]:
    """The chat store over both ways the store runs its async form: in threads, and natively."""
    with SessionStore.open(f"{request.param}:///{tmp_path / 'sessions.db'}", index="off") as store:
        yield AsyncSessionChatStore(store)


def test_every_method_of_the_base_class_is_there() -> None:
    """Each abstract method has its own, with the same arguments."""
    for name, method in inspect.getmembers(AsyncDBChatStore, inspect.iscoroutinefunction):
        ours = vars(AsyncSessionChatStore)[name]
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(method).parameters)


async def test_added_messages_are_active(chats: AsyncSessionChatStore) -> None:
    """One or several at once, they are read in order and counted."""
    await chats.add_message("trip", said("hello")[0])
    await chats.add_messages("trip", said("a", "b"))
    assert texts(await chats.get_messages("trip")) == ["hello", "a", "b"]
    assert await chats.count_messages("trip") == 3
    assert await chats.get_messages("trip", status=ARCHIVED) == []
    assert await chats.get_keys() == ["trip"]


async def test_no_messages_change_nothing(chats: AsyncSessionChatStore) -> None:
    """An empty list is no error, and makes no session."""
    await chats.add_messages("trip", [])
    await chats.set_messages("trip", [])
    assert await chats.get_keys() == []


async def test_a_key_that_is_not_there_answers_with_nothing(chats: AsyncSessionChatStore) -> None:
    """Every method takes an unknown key."""
    assert await chats.get_messages("no", status=None) == []
    assert await chats.count_messages("no") == 0
    assert await chats.delete_message("no", 0) is None
    await chats.delete_messages("no")
    assert await chats.delete_oldest_messages("no", 2) == []
    assert await chats.archive_oldest_messages("no", 2) == []
    assert await chats.get_keys() == []


@pytest.mark.parametrize("status", ["bogus", "ACTIVE", "", 5, True])
async def test_an_unknown_status_is_refused_and_changes_nothing(chats: AsyncSessionChatStore, status: Any) -> None:
    """No method takes what is no status for one of the two, also where the key is not there."""
    await chats.add_messages("trip", said("a", "b"))
    calls: list[Callable[[str], Coroutine[Any, Any, Any]]] = [
        lambda key: chats.delete_messages(key, status=status),
        lambda key: chats.add_message(key, said("c")[0], status=status),
        lambda key: chats.add_messages(key, said("c"), status=status),
        lambda key: chats.add_messages(key, [], status=status),
        lambda key: chats.set_messages(key, said("c"), status=status),
        lambda key: chats.get_messages(key, status=status),
        lambda key: chats.get_messages(key, status=status, limit=0),
        lambda key: chats.count_messages(key, status=status),
    ]
    for call in calls:
        for key in ("trip", "no"):
            with pytest.raises(InvalidInput, match=r"status: .* is not known; use 'active' or 'archived'"):
                await call(key)
    assert texts(await chats.get_messages("trip", status=None)) == ["a", "b"]
    assert await chats.count_messages("trip", status=ARCHIVED) == 0
    assert await chats.get_keys() == ["trip"]


async def test_a_message_is_added_with_one_status(chats: AsyncSessionChatStore) -> None:
    """No status means any where messages are read, and nothing where they are written; its plain word will do."""
    missing: Any = None
    for call in (chats.add_messages, chats.set_messages):
        with pytest.raises(InvalidInput, match="status: None is not known"):
            await call("trip", said("a"), missing)
    word: Any = "archived"
    await chats.add_messages("trip", said("a"), word)
    assert texts(await chats.get_messages("trip", word)) == ["a"]


@pytest.mark.parametrize("wrong", ["1", None, 1.0, True])
async def test_what_is_no_number_is_named(chats: AsyncSessionChatStore, wrong: Any) -> None:
    """Places and amounts are whole numbers."""
    await chats.add_messages("trip", said("a", "b"))
    with pytest.raises(InvalidInput, match="idx: expected a whole number"):
        await chats.delete_message("trip", wrong)
    for call in (chats.delete_oldest_messages, chats.archive_oldest_messages):
        with pytest.raises(InvalidInput, match="n: expected a whole number"):
            await call("trip", wrong)
    assert await chats.count_messages("trip") == 2


@pytest.mark.parametrize("wrong", [None, "abc", 5, ChatMessage(content="alone")])
async def test_what_is_no_list_of_messages_is_named(chats: AsyncSessionChatStore, wrong: Any) -> None:
    """A single message, a string or nothing at all."""
    for call in (chats.add_messages, chats.set_messages):
        with pytest.raises(InvalidInput, match="messages: expected a list"):
            await call("trip", wrong)
    assert await chats.get_keys() == []


async def test_pages_by_limit_and_offset(chats: AsyncSessionChatStore) -> None:
    """Limit and offset cut the list that is read without them."""
    await chats.add_messages("trip", said("1", "2", "3", "4", "5"))
    assert texts(await chats.get_messages("trip", limit=2)) == ["1", "2"]
    assert texts(await chats.get_messages("trip", offset=2)) == ["3", "4", "5"]
    assert texts(await chats.get_messages("trip", limit=2, offset=1)) == ["2", "3"]
    assert await chats.get_messages("trip", limit=0) == []
    assert await chats.get_messages("trip", offset=9) == []


async def test_the_oldest_are_deleted_or_archived(chats: AsyncSessionChatStore) -> None:
    """Both return what they moved; archived messages stay readable, in front of the active ones."""
    await chats.add_messages("trip", said("1", "2", "3", "4"))
    assert texts(await chats.delete_oldest_messages("trip", 1)) == ["1"]
    assert texts(await chats.archive_oldest_messages("trip", 2)) == ["2", "3"]
    assert texts(await chats.get_messages("trip")) == ["4"]
    assert texts(await chats.get_messages("trip", status=ARCHIVED)) == ["2", "3"]
    assert texts(await chats.get_messages("trip", status=None)) == ["2", "3", "4"]
    assert [await chats.count_messages("trip", status=status) for status in (ACTIVE, ARCHIVED, None)] == [1, 2, 3]
    assert texts(await chats.archive_oldest_messages("trip", 9)) == ["4"]
    assert await chats.get_keys() == ["trip"]


@pytest.mark.parametrize("n", [0, -1])
async def test_fewer_than_one_oldest_are_none(chats: AsyncSessionChatStore, n: int) -> None:
    """A number below one neither archives nor deletes everything."""
    await chats.add_messages("trip", said("1", "2"))
    assert await chats.archive_oldest_messages("trip", n) == []
    assert await chats.delete_oldest_messages("trip", n) == []
    assert await chats.count_messages("trip") == 2


async def test_messages_can_be_added_as_archived(chats: AsyncSessionChatStore) -> None:
    """A status is taken as given."""
    await chats.add_messages("trip", said("1", "2"), status=ARCHIVED)
    await chats.add_message("trip", said("3")[0])
    assert texts(await chats.get_messages("trip")) == ["3"]
    assert texts(await chats.get_messages("trip", status=ARCHIVED)) == ["1", "2"]


async def test_setting_the_active_leaves_the_archived(chats: AsyncSessionChatStore) -> None:
    """``set_messages`` replaces messages of its own status only."""
    await chats.add_messages("trip", said("1", "2", "3"))
    await chats.archive_oldest_messages("trip", 2)
    await chats.set_messages("trip", said("new"))
    assert texts(await chats.get_messages("trip", status=None)) == ["1", "2", "new"]
    await chats.set_messages("trip", said("old"), status=ARCHIVED)
    assert texts(await chats.get_messages("trip")) == ["new"]
    assert texts(await chats.get_messages("trip", status=ARCHIVED)) == ["old"]


async def test_messages_are_deleted_by_status(chats: AsyncSessionChatStore) -> None:
    """One status, or both where none is named."""
    await chats.add_messages("trip", said("1", "2", "3"))
    await chats.archive_oldest_messages("trip", 1)
    await chats.delete_messages("trip", status=ARCHIVED)
    assert texts(await chats.get_messages("trip", status=None)) == ["2", "3"]
    await chats.archive_oldest_messages("trip", 1)
    await chats.delete_messages("trip")
    assert await chats.get_messages("trip", status=None) == []
    assert await chats.get_keys() == []


@pytest.mark.parametrize("place", [0, 2, -1, -3])
async def test_one_message_is_deleted_by_its_place(chats: AsyncSessionChatStore, place: int) -> None:
    """The place in the active history, not the number of a row."""
    history = said("1", "2", "3")
    await chats.add_messages("other", said("x"))
    await chats.add_messages("trip", history)
    assert await chats.delete_message("trip", place) == history.pop(place)
    assert await chats.get_messages("trip") == history
    assert await chats.delete_message("trip", 5) is None
    assert await chats.delete_message("trip", -5) is None


async def test_two_stores_never_return_the_same_message(url: str) -> None:
    """Ten concurrent ``delete_oldest_messages`` from two stores: every message once."""
    with SessionStore.open(url, index="off") as one, SessionStore.open(url, index="off") as two:
        both = [AsyncSessionChatStore(one), AsyncSessionChatStore(two)]
        await both[0].add_messages("trip", said(*map(str, range(30))))
        taken = await asyncio.gather(*(both[number % 2].delete_oldest_messages("trip", 2) for number in range(10)))
        found = [text for messages in taken for text in texts(messages)]
        assert sorted(found, key=lambda text: int(text or -1)) == list(map(str, range(20)))
        assert texts(await both[1].get_messages("trip")) == list(map(str, range(20, 30)))


async def test_concurrent_first_use_of_a_database(tmp_path: Path) -> None:
    """Many first calls at once on a new file: no table is missing, no message lost."""
    with SessionStore.open(f"sqlite:///{tmp_path / 'new.db'}", index="off") as store:
        chats = AsyncSessionChatStore(store)
        await asyncio.gather(*(chats.get_messages("trip") for _ in range(8)))
        await asyncio.gather(*(chats.add_message("trip", message) for message in said(*map(str, range(16)))))
        assert await chats.count_messages("trip") == 16


async def test_users_do_not_see_each_other(store: SessionStore) -> None:
    """A key of another user answers like one that is not there, in every method."""
    anas, bens = (AsyncSessionChatStore(store, user_id=name) for name in ("ana", "ben"))
    await anas.add_messages("trip", said("1", "2", "3"))
    await anas.archive_oldest_messages("trip", 1)
    assert await bens.get_messages("trip", status=None) == []
    assert await bens.count_messages("trip", status=None) == 0
    assert await bens.delete_message("trip", 0) is None
    await bens.delete_messages("trip")
    assert await bens.delete_oldest_messages("trip", 1) == []
    assert await bens.archive_oldest_messages("trip", 1) == []
    assert await bens.get_keys() == []
    for write in (bens.add_messages, bens.set_messages):
        with pytest.raises(SessionNotFound):
            await write("trip", said("x"))
    assert await anas.count_messages("trip", status=None) == 3


def test_what_is_dumped_holds_no_address_and_no_client(store: SessionStore) -> None:
    """The dump tells the user alone, and loading it asks for a store."""
    chats = AsyncSessionChatStore(store, user_id="ana")
    assert chats.model_dump() == {"user_id": "ana"}
    assert repr(chats) == "AsyncSessionChatStore(user_id='ana')"
    assert AsyncSessionChatStore.class_name() == "AsyncSessionChatStore"
    assert bool(chats) is True
    assert copy.deepcopy(chats) == chats
    with pytest.raises(ValueError, match="store: give either"):
        AsyncSessionChatStore.model_validate(chats.model_dump())


def memory(chats: AsyncSessionChatStore, limit: int) -> Memory:
    """A memory that counts words."""
    return Memory.from_defaults(
        session_id="trip",
        chat_store=chats,
        token_limit=limit,
        chat_history_token_ratio=1.0,
        token_flush_size=1,
        tokenizer_fn=str.split,
    )


async def test_memory_uses_the_chat_store_it_is_given(chats: AsyncSessionChatStore) -> None:
    """``Memory.from_defaults`` keeps it, and seeds it with a history."""
    kept = memory(chats, 100)
    assert kept.sql_store is chats
    await kept.aput_messages(said("one", "two"))
    assert await kept.aget() == said("one", "two")
    await kept.aset(said("three"))
    assert await memory(chats, 100).aget_all() == said("three")
    await kept.areset()
    assert await kept.aget() == []


async def test_memory_flushes_what_is_over_its_limit_into_the_archive(chats: AsyncSessionChatStore) -> None:
    """Whole turns leave the active history, oldest first, and none is lost."""
    kept = memory(chats, 8)
    turns = []
    for number in range(5):
        call = ToolCallBlock(tool_call_id=f"c{number}", tool_name="find", tool_kwargs={})
        turn = [
            ChatMessage(role="user", content=f"question {number}"),
            ChatMessage(role="assistant", blocks=[call]),
            ChatMessage(role="tool", content="r", additional_kwargs={"tool_call_id": f"c{number}"}),
            ChatMessage(role="assistant", content=f"answer {number}"),
        ]
        turns += turn
        for message in turn:
            await kept.aput(message)
    active = await kept.aget()
    assert active[0].role == "user"
    assert await kept.aget_all(status=ARCHIVED) + active == turns
    assert await kept.aget_all() == turns


def test_the_sync_methods_of_memory_work_too(chats: AsyncSessionChatStore) -> None:
    """Each of them makes an event loop of its own."""
    kept = memory(chats, 100)
    kept.put(said("one")[0])
    kept.put_messages(said("two"))
    assert texts(kept.get_all()) == ["one", "two"]


async def test_the_sync_methods_of_memory_work_inside_a_running_loop(store: SessionStore) -> None:
    """LlamaIndex then moves to another thread, which the store does not mind."""
    kept = memory(AsyncSessionChatStore(store), 100)
    kept.put(said("one")[0])
    assert texts(kept.get()) == ["one"]
