"""LangChain tools that record their calls in a session's ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import InjectedState, ToolRuntime
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, ToolException, tool
from pydantic import ValidationError

from agent_session_core import InvalidInput, SessionStore
from agent_session_core.errors import ToolCallUnsettled
from langchain_sessions import SessionChatMessageHistory, recorded_tool

ACTED: list[str] = []


class Broken(BaseException):
    """In place of what ends a process."""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Nothing has been done yet."""
    ACTED.clear()


@tool
def book(hotel: str, nights: int = 1) -> dict[str, Any]:
    """Book a room."""
    ACTED.append(hotel)
    return {"ref": f"{hotel}-{nights}"}


@tool(response_format="content_and_artifact")
def look(at: str) -> tuple[str, dict[str, str]]:
    """Look at something."""
    ACTED.append(at)
    return f"I see {at}", {"seen": at}


def call(name: str, number: int | str, **arguments: Any) -> dict[str, Any]:
    """A model's call."""
    return {"name": name, "args": arguments, "id": f"call_{number}", "type": "tool_call"}


def test_a_recorded_tool_is_the_same_to_a_model(store: SessionStore) -> None:
    """Name, description, schema, answers with and without a call's id, and errors of arguments."""
    recorded = recorded_tool(book, store, "trip")
    assert (recorded.name, recorded.description, recorded.args) == (book.name, book.description, book.args)
    assert recorded.tool_call_schema.model_json_schema() == book.tool_call_schema.model_json_schema()  # type: ignore[union-attr]  # both are models
    arguments = {"hotel": "Jasmim", "nights": 3}
    assert recorded.invoke(arguments) == book.invoke(arguments)
    assert recorded.invoke(call("book", 1, **arguments)) == book.invoke(call("book", 1, **arguments))
    with pytest.raises(ValidationError):
        recorded.invoke({"nights": 3})
    assert "sqlite" not in f"{recorded!r} {json.dumps(recorded.model_dump())}"


async def test_the_ledger_has_the_models_id(store: SessionStore) -> None:
    """One line for a call that was made, and is seen in the messages: sync and async, with what it was given."""
    session = store.session("trip", user_id="ana")
    recorded = recorded_tool(look, store, "trip", "ana")
    answers = [recorded.invoke(call("look", 1, at="sea")), await recorded.ainvoke(call("look", 2, at="sky"))]
    assert [(answer.text, answer.artifact) for answer in answers] == [
        ("I see sea", {"seen": "sea"}),
        ("I see sky", {"seen": "sky"}),
    ]
    asked = AIMessage("", tool_calls=[call("look", 1, at="sea"), call("look", 2, at="sky")])
    SessionChatMessageHistory("trip", store=store, user_id="ana").add_messages([HumanMessage("?"), asked, *answers])
    made = session.tool_calls()
    assert [(one.id, one.name, one.arguments, one.status, one.seq) for one in made] == [
        ("call_1", "look", {"at": "sea"}, "succeeded", 2),
        ("call_2", "look", {"at": "sky"}, "succeeded", 2),
    ]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_the_same_call_and_the_same_key_act_once(store: SessionStore, way: str) -> None:
    """As when a graph is taken up again: the earlier answer comes back whole, under the id of the call it answers."""
    by_id = recorded_tool(look, store, "by id")
    by_key = recorded_tool(look, store, "by key", idempotency_key=lambda at: f"look {at}")

    async def ask(recorded: BaseTool, number: int | str, at: str) -> ToolMessage:
        asked = call("look", number, at=at)
        answer = recorded.invoke(asked) if way == "sync" else await recorded.ainvoke(asked)
        assert isinstance(answer, ToolMessage)
        assert answer == ToolMessage(f"I see {at}", name="look", tool_call_id=f"call_{number}", artifact={"seen": at})
        return answer

    await ask(by_id, 1, "sea")
    await ask(by_id, 1, "sea")
    assert ACTED == ["sea"]
    await ask(by_id, 1, "sky")  # a model that gives every call the same id
    assert ACTED == ["sea", "sky"]
    await ask(by_key, 1, "sea")
    await ask(by_key, 2, "sea")
    assert ACTED == ["sea", "sky", "sea"]
    assert by_key.invoke({"at": "sea"}) == await by_key.ainvoke({"at": "sea"}) == "I see sea"


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_call_that_was_broken_off_is_told_to_the_model_until_it_is_settled(
    store: SessionStore, way: str
) -> None:
    """As the tool's error; then what it was settled with is the answer."""

    def act() -> str:
        """Act."""
        ACTED.append("act")
        raise Broken

    async def aact() -> str:
        """As the sync form."""
        return act()

    acting = recorded_tool(StructuredTool.from_function(act, aact), store, "trip", idempotency_key=lambda: "once")

    async def ask(number: int) -> ToolMessage:
        asked = call("act", number)
        answer = acting.invoke(asked) if way == "sync" else await acting.ainvoke(asked)
        assert isinstance(answer, ToolMessage)
        return answer

    with pytest.raises(Broken):
        await ask(1)
    again = await ask(2)
    assert again.status == "error"
    assert "may have acted" in again.text
    with pytest.raises(ToolCallUnsettled):
        acting.invoke({})
    session = store.session("trip")
    session.settle_tool_call("call_1", result={"ref": "A1"})
    settled = await ask(3)
    assert (settled.status, settled.text) == ("success", '{"ref": "A1"}')
    assert ACTED == ["act"]


def test_failures_are_failures(store: SessionStore) -> None:
    """An error that the tool answers with, and one it raises; both may be tried again."""

    @tool
    def refuse() -> str:
        """Refuse."""
        raise ToolException("not today")

    @tool
    def fall() -> str:
        """Fall."""
        raise ConnectionError("no line")

    refuse.handle_tool_error = True
    session = store.session("trip")
    answer = recorded_tool(refuse, store, "trip").invoke(call("refuse", 1))
    assert (answer.status, answer.text) == ("error", "not today")
    with pytest.raises(ConnectionError):
        recorded_tool(fall, store, "trip").invoke(call("fall", 2))
    assert [(one.name, one.status, one.error) for one in session.tool_calls()] == [
        ("refuse", "failed", "not today"),
        ("fall", "failed", "ConnectionError: no line"),
    ]


def test_a_tool_with_injected_arguments_gets_them_and_they_are_not_recorded(store: SessionStore) -> None:
    """State, runtime and the call's id are the agent's, not the model's."""

    @tool
    def count(
        what: str,
        state: Annotated[dict[str, Any], InjectedState],
        runtime: ToolRuntime,
        tool_call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Count."""
        return f"{len(state['messages'])} {what} in {tool_call_id}, {runtime.tool_call_id}"

    recorded = recorded_tool(count, store)
    script = iter([AIMessage("", tool_calls=[call("count", 1, what="messages")]), AIMessage("Two.")])
    agent: Any = create_agent(Scripted(messages=script), [recorded])
    state = agent.invoke({"messages": [HumanMessage("?")]}, {"configurable": {"thread_id": "trip", "user_id": "ana"}})
    assert state["messages"][2].text == "2 messages in call_1, call_1"
    session = store.session("trip", user_id="ana", create=False)
    assert [(one.id, one.arguments) for one in session.tool_calls()] == [("call_1", {"what": "messages"})]


class Scripted(GenericFakeChatModel):
    """A model that follows a script."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Tools are in the script."""
        return self


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_an_agents_tools_record_themselves(store: SessionStore, way: str) -> None:
    """Two calls of one message, at once; then a second run asks again, and nothing is booked twice."""
    recorded = recorded_tool(book, store, user_id_key="user_id", idempotency_key=lambda hotel, nights=1: hotel)
    script: list[BaseMessage] = [
        AIMessage("", tool_calls=[call("book", 1, hotel="Jasmim", nights=3), call("book", 2, hotel="Rosa")]),
        AIMessage("Both are booked."),
        AIMessage("", tool_calls=[call("book", 3, hotel="Jasmim", nights=3)]),
        AIMessage("It is booked."),
    ]
    agent: Any = create_agent(Scripted(messages=iter(script)), [recorded])
    config: Any = {"configurable": {"user_id": "ana", "thread_id": "trip"}}
    for question in ("Book both.", "Did you?"):
        given: Any = {"messages": [HumanMessage(question)]}
        state = agent.invoke(given, config) if way == "sync" else await agent.ainvoke(given, config)
    assert json.loads(state["messages"][-2].text) == {"ref": "Jasmim-3"}
    assert sorted(ACTED) == ["Jasmim", "Rosa"]
    ledger = store.session("trip", user_id="ana").tool_calls()
    assert sorted((one.id, one.status) for one in ledger) == [("call_1", "succeeded"), ("call_2", "succeeded")]


def test_what_is_no_tool_is_refused(store: SessionStore) -> None:
    """A function is to be made a tool first."""
    with pytest.raises(InvalidInput, match="tool: expected"):
        recorded_tool(len, store, "trip")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="store: expected"):
        recorded_tool(book, "sqlite://", "trip")  # type: ignore[arg-type]  # that is the test
