"""The defects of other histories, each shown to be absent here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from agent_session_core import InvalidInput, SessionStore
from langchain_sessions import SessionChatMessageHistory


def test_a_resent_batch_is_not_stored_twice(store: SessionStore) -> None:
    """SQL histories store the same id twice: here a batch whose outcome was unknown can be sent again."""
    history = SessionChatMessageHistory("a", store=store)
    batch = [HumanMessage("one?", id="h1"), AIMessage("one", id="a1")]
    history.add_messages(batch)
    history.add_messages(batch)
    assert history.messages == batch
    history.add_messages([*batch, HumanMessage("two?", id="h2")])
    assert history.messages == [*batch, HumanMessage("two?", id="h2")]


def test_an_id_that_a_model_repeats_loses_nothing(store: SessionStore) -> None:
    """Cached and fake models repeat ids: every answer is kept, and reads back with the id it had."""
    history = SessionChatMessageHistory("a", store=store)
    for number in range(3):
        history.add_messages([HumanMessage(f"{number}?"), AIMessage("the same", id="cached")])
    history.add_messages([AIMessage("edited by a person", id="cached")])
    assert [message.id for message in history.messages] == [None, "cached"] * 3 + ["cached"]
    assert len({message.id for message in store.session("a").messages()}) == 7


def test_no_id_is_never_the_same_message(store: SessionStore) -> None:
    """A person may say the same thing twice."""
    history = SessionChatMessageHistory("a", store=store)
    for _ in range(3):
        history.add_messages([HumanMessage("yes")])
    assert history.messages == [HumanMessage("yes")] * 3


def test_hundreds_added_at_once_keep_their_order(store: SessionStore) -> None:
    """Histories ordered by a clock mix up what came in one millisecond, or stop at ten hits: here all, in order."""
    history = SessionChatMessageHistory("a", store=store)
    batch = [HumanMessage(str(number)) for number in range(300)]
    history.add_messages(batch)
    assert history.messages == batch
    assert SessionChatMessageHistory("a", store=store, last=20).messages == batch[-20:]


def test_a_failed_write_breaks_nothing(store: SessionStore) -> None:
    """One shared connection stays broken elsewhere after a failed insert: here the next write and read go on."""
    history = SessionChatMessageHistory("a", store=store)
    with pytest.raises(InvalidInput):
        history.add_messages([HumanMessage("fine"), HumanMessage("named too long", name="x" * 5_000)])
    history.add_messages([HumanMessage("fine")])
    assert history.messages == [HumanMessage("fine")]


@pytest.mark.parametrize("session_id", ["42", "user/7#chat", "Zürich 日本", "a'; DROP TABLE messages; --", "%_*"])
def test_any_string_names_a_session(session_id: str, store: SessionStore) -> None:
    """Some take only UUIDs: here any string is an id, and it means itself and nothing like it."""
    SessionChatMessageHistory(session_id, store=store).add_messages([HumanMessage("mine")])
    SessionChatMessageHistory(f"{session_id}x", store=store).add_messages([HumanMessage("other")])
    assert SessionChatMessageHistory(session_id, store=store).messages == [HumanMessage("mine")]


def test_nothing_of_a_message_is_dropped(store: SessionStore) -> None:
    """Some keep only the text: here calls, ids, names, usage and artifacts come back."""
    history = SessionChatMessageHistory("a", store=store)
    messages = [
        AIMessage(
            "",
            id="run-1",
            name="planner",
            tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        ),
        ToolMessage("done", tool_call_id="c", artifact={"rows": [1]}, status="error", name="f"),
    ]
    history.add_messages(messages)
    assert history.messages == messages


def test_stored_data_is_never_made_into_objects(store: SessionStore) -> None:
    """A dict in the shape of LangChain's serialised objects comes back as a dict."""
    bomb = {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"], "kwargs": {}}
    history = SessionChatMessageHistory("a", store=store)
    history.add_messages(
        [HumanMessage("x", additional_kwargs=bomb), ToolMessage([bomb], tool_call_id="c", artifact=bomb)]
    )
    [human, tool] = history.messages
    assert human.additional_kwargs == bomb
    assert isinstance(tool, ToolMessage)
    assert tool.artifact == bomb
    assert tool.content == [bomb]


def test_messages_survive_the_process(url: str) -> None:
    """What one process added another reads."""
    code = (
        "import sys; from agent_session_core import SessionStore; from langchain_core.messages import HumanMessage;"
        "from langchain_sessions import SessionChatMessageHistory;"
        "store = SessionStore.open(sys.argv[1], index='off');"
        "SessionChatMessageHistory('a', store=store).add_messages([HumanMessage('kept')]); import os; os._exit(0)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code, url], check=True, env={**os.environ, "PYTHONPATH": path})
    with SessionStore.open(url, index="off") as store:
        assert SessionChatMessageHistory("a", store=store).messages == [HumanMessage("kept")]
