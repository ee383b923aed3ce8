"""The tools with which an agent works on its session, by themselves and in the hands of agents of LlamaIndex."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode
from llama_index.core.workflow import Context

from agent_session_core import InvalidInput, Message, SessionNotFound, SessionStore
from agent_session_core.tools import SESSION_TOOLS
from llamaindex_sessions import (
    AsyncSessionChatStore,
    SessionChatStore,
    SessionRetriever,
    SessionVectorStore,
    create_session_tools,
)

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
"""A workflow looks at all its attributes when it is made, deprecated ones among them."""


@pytest.fixture
def indexed() -> Iterator[SessionStore]:
    """A store in memory with its index, and something that Ana and Bob said before."""
    with SessionStore.open("sqlite://") as store:
        store.session("trip", user_id="ana").append(Message.user("We fly to Lisbon on the fourth of May."))
        store.session("bobs", user_id="bob").append(Message.user("My own flight to Lisbon is a secret canary."))
        yield store


def desk(tools: Sequence[FunctionTool]) -> dict[str, FunctionTool]:
    """The tools by name."""
    return {tool.metadata.get_name(): tool for tool in tools}


def test_the_tools_are_those_of_the_other_framework(indexed: SessionStore) -> None:
    """The core's, with its names and words; a model may give what the core takes and nothing else."""
    tools = create_session_tools(indexed, "now", "ana")
    assert [tool.metadata.name for tool in tools] == [tool.name for tool in SESSION_TOOLS]
    for tool, known in zip(tools, SESSION_TOOLS, strict=True):
        assert tool.metadata.description == known.description
        offered = tool.metadata.get_parameters_dict()["properties"]
        assert offered.keys() == known.parameters.keys()
        assert all(given["description"] for given in offered.values())
        assert tool.metadata.to_openai_tool()["function"]["name"] == known.name


async def test_each_works_sync_and_async(indexed: SessionStore) -> None:
    """What is written by one tool is there for the program and for another tool."""
    tools = desk(create_session_tools(indexed, "now", "ana"))
    assert str(tools["set_state"](name="budget", value=900)) == "Kept."
    assert str(await tools["read_state"].acall(name="budget")) == '{"budget": 900}'
    task = json.loads(str(await tools["add_task"].acall(title="Trip")))
    assert json.loads(str(tools["update_task"](task_id=task["id"], progress=0.5)))["progress"] == 0.5
    assert str(tools["list_tasks"]()) == str(await tools["list_tasks"].acall())
    assert str(tools["save_file"]("plan.md", "Sleep in a windmill.")).startswith('{"name": "plan.md"')
    assert str(await tools["read_file"].acall(name="plan.md")).endswith("\nSleep in a windmill.")
    assert "plan.md" in str(tools["list_files"]())
    found = str(await tools["search_past"].acall(query="When do we fly to Lisbon?"))
    assert "fourth of May" in found
    assert "canary" not in found
    session = indexed.session("now", user_id="ana", create=False)
    assert (dict(session.state), session.files.get("plan.md").data) == ({"budget": 900}, b"Sleep in a windmill.")


async def test_llamaindexs_own_ways_to_call_a_tool_work(indexed: SessionStore) -> None:
    """Also those that hand over a single argument by its place, and its function alone."""
    tools = desk(create_session_tools(indexed, "now", "ana"))
    assert not call_tool(tools["save_file"], {"name": "plan.md", "text": "Windmill."}).is_error
    assert "Windmill." in call_tool(tools["read_file"], {"name": "plan.md"}).content
    assert "Windmill." in (await acall_tool(tools["read_file"], {"name": "plan.md"})).content
    assert "Lisbon" in (await acall_tool(tools["search_past"], {"query": "Lisbon"})).content
    assert tools["list_tasks"].fn() == await tools["list_tasks"].async_fn() == "There are no tasks."


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("set_state", {"name": "", "value": 1}, "empty"),
        ("set_state", {"name": "x"}, "value: Field required"),
        ("set_state", {"name": "x", "value": 1, "scope": "app"}, "scope: Input should be"),
        ("update_task", {"task_id": "none", "status": "completed"}, "list_tasks tells"),
        ("update_task", {"task_id": "none", "progress": "half"}, "progress: Input should be"),
        ("read_file", {"name": "none"}, "list_files"),
        ("search_past", {"query": ""}, "query"),
    ],
)
async def test_what_the_model_does_wrong_comes_back_to_it(
    indexed: SessionStore, name: str, arguments: dict[str, Any], said: str
) -> None:
    """As an output that is marked as an error, in one short line."""
    tool = desk(create_session_tools(indexed, "now", "ana"))[name]
    for output in (tool.call(**arguments), await tool.acall(**arguments)):
        assert output.is_error
        assert output.exception is not None
        assert said in output.content
        assert len(output.content.splitlines()) == 1


async def test_the_context_of_a_workflow_names_session_and_user(indexed: SessionStore) -> None:
    """Where they are not settled; whatever a model sends beside its arguments changes nothing."""
    tool = desk(create_session_tools(indexed))["set_state"]
    assert tool.requires_context
    context: Context[Any] = Context(agent(Script()))
    with pytest.raises(InvalidInput, match="names no session"):
        await tool.acall(name="x", value=1, session_context=context)
    with pytest.raises(InvalidInput, match="names no session"):
        tool.call(name="x", value=1)
    await context.store.set("session_id", "mine")
    await context.store.set("user_id", "ana")
    await tool.acall(name="x", value=1, session_context=context, session_id="bobs", user_id="bob")
    assert indexed.session("mine").user_id == "ana"
    assert dict(indexed.session("mine").state) == {"x": 1}
    await context.store.set("session_id", "bobs")
    with pytest.raises(SessionNotFound):
        await tool.acall(name="x", value=1, session_context=context)
    assert not desk(create_session_tools(indexed, "now"))["set_state"].requires_context


def test_what_cannot_be_is_not_made(indexed: SessionStore) -> None:
    """A store that is none, another's user, a limit out of range, a prefix that is no text."""
    with pytest.raises(InvalidInput, match="store: expected"):
        create_session_tools("sqlite://")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="bound"):
        create_session_tools(indexed.for_user("ana"), "now", "bob")
    for wrong in (10, True, "many"):
        with pytest.raises(InvalidInput, match="max_characters"):
            create_session_tools(indexed, "now", max_characters=wrong)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="prefix"):
        create_session_tools(indexed, "now", prefix=5)  # type: ignore[arg-type]  # that is the test
    assert create_session_tools(indexed, "now", prefix="session_")[0].metadata.name == "session_read_state"


class Script:
    """A model that says what it is told to say."""

    def __init__(self, *replies: ChatMessage) -> None:
        self.replies = iter(replies)
        self.llm = MockFunctionCallingLLM(response_generator=self.reply)

    def reply(self, messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        """The next line."""
        return next(self.replies)


def calling(tool: str, number: int, /, **arguments: Any) -> ChatMessage:
    """A line of the script: a call of a tool."""
    block = ToolCallBlock(tool_call_id=f"call_{number}", tool_name=tool, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


def agent(script: Script, tools: Sequence[FunctionTool] = ()) -> FunctionAgent:
    """An agent with these tools."""
    return FunctionAgent(name="planner", description="Plans.", tools=list(tools), llm=script.llm)


@pytest.mark.parametrize("settled", [True, False])
async def test_an_agent_works_on_its_session(indexed: SessionStore, settled: bool) -> None:
    """It keeps a fact, sets itself a task, saves a file, looks things up, and survives a mistake.

    The session is settled when the tools are made, or named by the context of the run. Memory, chat stores, vector
    store and retriever keep working on a session with all this in it, and show no passage of a file as a message.
    """
    script = Script(
        calling("set_state", 1, name="destination", value="Lisbon"),
        calling("add_task", 2, title="Book a hotel"),
        calling("update_task", 3, task_id="a task that is not there", status="completed"),
        calling("save_file", 4, name="plan.md", text="Sleep in a windmill."),
        calling("search_past", 5, query="When do we fly to Lisbon?"),
        ChatMessage(role="assistant", content="On the fourth of May."),
    )
    hers = indexed.for_user("ana")
    planner = agent(script, create_session_tools(hers, "now") if settled else create_session_tools(indexed))
    context: Context[Any] = Context(planner)
    await context.store.set("session_id", "now")
    await context.store.set("user_id", "ana")
    memory = Memory.from_defaults(session_id="now", chat_store=AsyncSessionChatStore(hers), tokenizer_fn=str.split)
    answer: Any = await planner.run("When is our flight?", memory=memory, ctx=context)
    assert str(answer) == "On the fourth of May."
    outputs: list[ToolOutput] = [call.tool_output for call in answer.tool_calls]
    assert [output.is_error for output in outputs] == [False, False, True, False, False]
    assert "fourth of May" in outputs[-1].content
    assert "canary" not in outputs[-1].content

    session = hers.session("now", create=False)
    assert session.state["destination"] == "Lisbon"
    assert [task.title for task in session.tasks.list()] == ["Book a hotel"]
    assert session.files.get("plan.md").data == b"Sleep in a windmill."
    with session.tool_call("pay", {"euros": 3}, idempotency_key="k") as call:
        call.succeed("paid")

    chats = SessionChatStore(hers)
    messages = chats.get_messages("now")
    assert len(messages) == session.count() == 12
    assert [message.content for message in await memory.aget()] == [message.content for message in messages]
    assert [message.content for message in messages].count("Sleep in a windmill.") == 0
    assert {f"call_{number}" for number in range(1, 6)} <= {call.id for call in session.tool_calls("succeeded")}
    chats.set_messages("now", messages[:-1])
    assert [message.content for message in chats.get_messages("now")] == [message.content for message in messages[:-1]]

    (best,) = SessionRetriever(hers, similarity_top_k=1).retrieve("sleep in a windmill")
    assert (best.node.metadata["file"], best.node.metadata["version"]) == ("plan.md", 1)
    vectors = SessionVectorStore(hers, collection="messages")
    asked = VectorStoreQuery(query_str="windmill", mode=VectorStoreQueryMode.TEXT_SEARCH, similarity_top_k=1)
    (node,) = vectors.query(asked).nodes or ()
    assert (node.metadata["file"], node.metadata["version"]) == ("plan.md", 1)
    assert not [node for node in vectors.get_nodes() if node.metadata.get("file")]
    chats.delete_messages("now")
    assert chats.get_messages("now") == []
    assert session.files.get("plan.md").data == b"Sleep in a windmill."
