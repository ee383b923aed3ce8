"""Agents of LlamaIndex on a session: what they say is kept, and they go on where they stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer, Memory

from agent_session_core import DataPart, Message, SessionStore, TextPart, ToolCallPart
from llamaindex_sessions import AsyncSessionChatStore, SessionChatStore

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
"""A workflow looks at all its attributes when it is made, deprecated ones among them."""

CALL = ToolCallBlock(tool_call_id="c1", tool_name="find_flight", tool_kwargs={"to": "Lisbon"})


class Script:
    """A model that says what it is told to say, and remembers what it was shown."""

    def __init__(self, *replies: ChatMessage) -> None:
        self.replies: Iterator[ChatMessage] = iter(replies)
        self.shown: list[list[ChatMessage]] = []
        self.llm = MockFunctionCallingLLM(response_generator=self.reply)

    def reply(self, messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        """The next line."""
        self.shown.append(list(messages))
        return next(self.replies)


def find_flight(to: str) -> str:
    """Find a flight."""
    return f"TP 123 to {to}"


def agent(script: Script) -> FunctionAgent:
    """An agent with one tool."""
    return FunctionAgent(name="planner", description="Plans.", tools=[find_flight], llm=script.llm, system_prompt="Hi.")


def memory(kind: str, store: SessionStore) -> BaseMemory:
    """A memory over the session ``trip``."""
    if kind == "Memory":
        return Memory.from_defaults(session_id="trip", chat_store=AsyncSessionChatStore(store), tokenizer_fn=str.split)
    return ChatMemoryBuffer.from_defaults(
        chat_store=SessionChatStore(store), chat_store_key="trip", tokenizer_fn=str.split
    )


def said(text: str) -> ChatMessage:
    """A line of the model."""
    return ChatMessage(role="assistant", content=text)


@pytest.mark.parametrize("kind", ["Memory", "ChatMemoryBuffer"])
def test_an_agent_goes_on_where_it_stopped(kind: str, store: SessionStore) -> None:
    """Two runs, each in an event loop of its own with a new memory: the second sees all of the first, in order."""

    async def run(script: Script, question: str) -> str:
        return str(await agent(script).run(question, memory=memory(kind, store)))

    first = Script(ChatMessage(role="assistant", blocks=[CALL]), said("TP 123 it is."))
    assert asyncio.run(run(first, "Find a flight to Lisbon")) == "TP 123 it is."
    records = store.session("trip").messages()
    assert [record.role for record in records] == ["user", "assistant", "tool", "assistant"]
    assert records[1].parts == (ToolCallPart("c1", "find_flight", {"to": "Lisbon"}),)
    assert (records[2].tool_call_id, records[2].text) == ("c1", "TP 123 to Lisbon")

    second = Script(said("On the 4th."))
    assert asyncio.run(run(second, "When?")) == "On the 4th."
    assert [message.content for message in second.shown[0]] == [
        *("Hi.", "Find a flight to Lisbon", None, "TP 123 to Lisbon", "TP 123 it is.", "When?")
    ]
    assert second.shown[0][2].blocks == [CALL]
    assert store.session("trip").count() == 6


async def test_a_workflow_of_agents_shares_the_session(store: SessionStore) -> None:
    """``AgentWorkflow`` keeps its history like a single agent."""
    script = Script(said("Hello Ana."))
    workflow = AgentWorkflow(agents=[agent(script)])
    await workflow.run("I am Ana", memory=memory("Memory", store))
    assert [record.text for record in store.session("trip").messages()] == ["I am Ana", "Hello Ana."]


async def test_what_another_program_wrote_is_shown_to_the_agent(store: SessionStore) -> None:
    """A message with parts that LlamaIndex has no block for goes through the agent and stays as it is stored."""
    written = Message(role="user", parts=(TextPart("My seat?"), DataPart("seat", {"row": 7})), metadata={"via": "app"})
    (before,) = store.session("trip").append(written)
    script = Script(said("Row 7."))
    await agent(script).run("Well?", memory=memory("Memory", store))
    assert [block.model_dump().get("text") for block in script.shown[0][1].blocks] == ["My seat?", 'seat: {"row": 7}']
    assert store.session("trip").messages()[0] == before
