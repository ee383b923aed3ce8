"""LlamaIndex tools that record their calls in a session's ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ContentBlock, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import Memory
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.workflow import Context

from agent_session_core import InvalidInput, SessionStore
from agent_session_core.errors import ToolCallUnsettled
from llamaindex_sessions import AsyncSessionChatStore, recorded_tool

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
"""A workflow looks at all its attributes when it is made, deprecated ones among them."""

ACTED: list[str] = []


class Broken(BaseException):
    """In place of what ends a process."""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    """Nothing has been done yet."""
    ACTED.clear()


def book(hotel: str, nights: int = 1) -> dict[str, Any]:
    """Book a room."""
    ACTED.append(hotel)
    return {"ref": f"{hotel}-{nights}"}


async def abook(hotel: str, nights: int = 1) -> dict[str, Any]:
    """Book a room."""
    return book(hotel, nights)


def tool(**options: Any) -> FunctionTool:
    """The function as a tool."""
    return FunctionTool.from_defaults(book, async_fn=abook, **options)


async def test_a_recorded_tool_is_the_same_to_a_model(store: SessionStore) -> None:
    """Metadata and answers, however it is called."""
    plain = tool()
    recorded = recorded_tool(plain, store, "trip")
    assert recorded.metadata == plain.metadata
    for output in (
        recorded(hotel="Jasmim", nights=3),
        recorded.call("Jasmim", nights=3),
        await recorded.acall("Jasmim", 3),
        call_tool(recorded, {"hotel": "Jasmim", "nights": 3}),
        await acall_tool(recorded, {"hotel": "Jasmim", "nights": 3}),
    ):
        assert (output.content, output.raw_output, output.is_error) == (
            "{'ref': 'Jasmim-3'}",
            {"ref": "Jasmim-3"},
            False,
        )
    made = store.session("trip").tool_calls()
    assert [(call.name, call.arguments, call.status, call.result) for call in made] == [
        ("book", {"hotel": "Jasmim", "nights": 3}, "succeeded", {"ref": "Jasmim-3"})
    ] * 5


@pytest.mark.parametrize(
    "answer",
    [
        "in words",
        {"in": ["JSON", 1, None]},
        ("a", "tuple"),
        {"blocks": []},
        object,
        TextBlock(text="a block"),
        [TextBlock(text="two"), ImageBlock(url="https://example.org/a.png")],
    ],
    ids=repr,
)
def test_an_earlier_answer_comes_back_with_its_blocks(store: SessionStore, answer: Any) -> None:
    """To the model it is what it was, whatever the tool gave."""

    def act() -> Any:
        """Act."""
        ACTED.append("act")
        return answer

    acting = recorded_tool(FunctionTool.from_defaults(act), store, "trip", idempotency_key=lambda: "once")
    first: list[ContentBlock] = acting.call().blocks
    assert acting.call().blocks == first
    assert ACTED == ["act"]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_call_that_was_broken_off_is_refused_until_it_is_settled(store: SessionStore, way: str) -> None:
    """Then what it was settled with is the answer."""

    def act() -> str:
        """Act."""
        ACTED.append("act")
        raise Broken

    async def aact() -> str:
        """As the sync form."""
        return act()

    plain = FunctionTool.from_defaults(act, async_fn=aact)
    acting = recorded_tool(plain, store, "trip", idempotency_key=lambda: "once")

    async def ask() -> ToolOutput:
        return acting.call() if way == "sync" else await acting.acall()

    with pytest.raises(Broken):
        await ask()
    with pytest.raises(ToolCallUnsettled, match="may have acted"):
        await ask()
    session = store.session("trip")
    (unknown,) = session.tool_calls("unknown")
    session.settle_tool_call(unknown.id, result={"ref": "A1"})
    assert (await ask()).raw_output == {"ref": "A1"}
    assert ACTED == ["act"]


def test_failures_are_failures(store: SessionStore) -> None:
    """An output that is marked as an error, and an exception; both may be tried again. Tools of other kinds do too."""

    class Refusing(BaseTool):
        @property
        def metadata(self) -> ToolMetadata:
            return ToolMetadata("Refuses.", name="refuse")

        def __call__(self, input: Any) -> ToolOutput:
            return ToolOutput("refuse", content=f"not {input}", raw_input={}, is_error=True)

    def fall() -> str:
        """Fall."""
        raise ConnectionError("no line")

    assert recorded_tool(Refusing(), store, "trip").call("today").content == "not today"
    with pytest.raises(ConnectionError):
        recorded_tool(FunctionTool.from_defaults(fall), store, "trip").call()
    made = store.session("trip").tool_calls()
    assert [(call.name, call.arguments, call.status, call.error) for call in made] == [
        ("refuse", {"input": "today"}, "failed", "not today"),
        ("fall", {}, "failed", "ConnectionError: no line"),
    ]


class Script:
    """A model that says what it is told to say."""

    def __init__(self, *replies: ChatMessage) -> None:
        self.replies = iter(replies)
        self.llm = MockFunctionCallingLLM(response_generator=self.reply)

    def reply(self, messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
        """The next line."""
        return next(self.replies)


def calling(*calls: tuple[str, str, dict[str, Any]]) -> ChatMessage:
    """A line of the script: calls of tools, each with its id, name and arguments."""
    blocks = [ToolCallBlock(tool_call_id=number, tool_name=name, tool_kwargs=given) for number, name, given in calls]
    return ChatMessage(role="assistant", blocks=blocks)


@pytest.mark.parametrize("several", [False, True])
async def test_an_agents_tools_record_themselves_under_the_models_ids(store: SessionStore, several: bool) -> None:
    """Two calls of one message; then a second run asks again, and nothing is booked twice.

    The ledger has one line for each call that was made and is seen in the messages: in a workflow of several agents
    too. A tool that wants the context gets it.
    """

    async def count(ctx: Context[Any], what: str) -> str:
        """Count."""
        return f"{await ctx.store.get('session_id')} has no {what}"

    count.__annotations__["ctx"] = Context[Any]  # LlamaIndex looks for the type, not its name
    key = lambda hotel, nights=1: hotel  # noqa: E731  # one line is enough
    tools = [
        recorded_tool(tool(), store, idempotency_key=key),
        recorded_tool(FunctionTool.from_defaults(async_fn=count), store, "trip", "ana"),
    ]
    script = Script(
        calling(("c1", "book", {"hotel": "Jasmim", "nights": 3}), ("c2", "book", {"hotel": "Rosa"})),
        calling(("c3", "count", {"what": "bags"})),
        ChatMessage(role="assistant", content="Both are booked."),
        calling(("c4", "book", {"hotel": "Jasmim", "nights": 3})),
        ChatMessage(role="assistant", content="It is booked."),
    )
    planner = FunctionAgent(name="planner", description="Plans.", tools=list(tools), llm=script.llm)
    runner = AgentWorkflow(agents=[planner]) if several else planner
    hers = store.for_user("ana")
    memory = Memory.from_defaults(session_id="trip", chat_store=AsyncSessionChatStore(hers), tokenizer_fn=str.split)
    contents = []
    for question in ("Book both.", "Did you?"):
        context: Context[Any] = Context(runner)
        await context.store.set("session_id", "trip")
        await context.store.set("user_id", "ana")
        answer: Any = await runner.run(question, memory=memory, ctx=context)
        contents += [call.tool_output.content for call in answer.tool_calls]
    assert set(contents) == {"{'ref': 'Jasmim-3'}", "{'ref': 'Rosa-1'}", "trip has no bags"}
    assert sorted(ACTED) == ["Jasmim", "Rosa"]
    ledger = store.session("trip", user_id="ana").tool_calls()
    assert [(call.id, call.name, call.status, call.seq) for call in ledger] == [
        ("c1", "book", "succeeded", 2),
        ("c2", "book", "succeeded", 2),
        ("c3", "count", "succeeded", 5),
        ("c4", "book", "succeeded", 9),
    ]


async def test_a_broken_off_call_is_the_tools_error_to_an_agents_model(store: SessionStore) -> None:
    """The agent goes on and tells the user."""
    session = store.session("trip")
    with pytest.raises(Broken), session.tool_call("book", {"hotel": "Jasmim"}, idempotency_key="Jasmim"):
        raise Broken
    recorded = recorded_tool(tool(), store, "trip", idempotency_key=lambda hotel: hotel)
    script = Script(
        calling(("c1", "book", {"hotel": "Jasmim"})), ChatMessage(role="assistant", content="Please look whether...")
    )
    planner = FunctionAgent(name="planner", description="Plans.", tools=[recorded], llm=script.llm)
    answer: Any = await planner.run("Book it.")
    (called,) = answer.tool_calls
    assert called.tool_output.is_error
    assert "may have acted" in called.tool_output.content
    assert ACTED == []


def test_what_is_no_tool_is_refused(store: SessionStore) -> None:
    """A function is to be made a tool first; a run must name a session."""
    with pytest.raises(InvalidInput, match="tool: expected"):
        recorded_tool(len, store, "trip")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="store: expected"):
        recorded_tool(tool(), "sqlite://", "trip")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="names no session"):
        recorded_tool(tool(), store).call(hotel="Jasmim")
