"""The tools with which an agent works on its session, by themselves and in the hands of an agent of LangChain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ValidationError

from agent_session_core import InvalidInput, Message, SessionNotFound, SessionStore
from agent_session_core.tools import SESSION_TOOLS
from langchain_sessions import SessionChatMessageHistory, SessionRetriever, create_session_tools

NAMES = [
    *("read_state", "set_state", "add_task", "update_task", "list_tasks"),
    *("save_file", "list_files", "read_file", "search_past"),
]


class Desk:
    """The tools at work, each called as an agent calls it."""

    def __init__(self, tools: Sequence[BaseTool], config: Any = None) -> None:
        self.tools = {tool.name: tool for tool in tools}
        self.config = config
        self.calls = 0

    def call(self, tool: str, /, **arguments: Any) -> ToolMessage:
        """The tool's answer."""
        self.calls += 1
        call = {"name": tool, "args": arguments, "id": f"c{self.calls}", "type": "tool_call"}
        answer = self.tools[tool].invoke(call, self.config)
        assert isinstance(answer, ToolMessage)
        return answer

    def __call__(self, tool: str, /, **arguments: Any) -> str:
        """The text of a tool's answer that is no error."""
        answer = self.call(tool, **arguments)
        assert answer.status == "success", answer.text
        return answer.text

    def refused(self, tool: str, /, **arguments: Any) -> str:
        """The text of a tool's answer that is an error: one short line."""
        answer = self.call(tool, **arguments)
        assert answer.status == "error"
        assert len(answer.text.splitlines()) == 1
        assert len(answer.text) <= 500
        return answer.text


@pytest.fixture
def desk(indexed: SessionStore) -> Desk:
    """The tools of a session of Ana's."""
    return Desk(create_session_tools(indexed, "now", "ana"))


def test_state_is_kept_for_the_session_and_for_its_user(desk: Desk, indexed: SessionStore) -> None:
    """What one tool keeps the other reads, and the program too; null removes it."""
    assert desk("read_state") == "No variable is set."
    desk("set_state", name="budget", value=900)
    desk("set_state", name="stops", value=["Lisbon", {"nights": 3}])
    desk("set_state", name="home", value="Porto", scope="user")
    assert desk("read_state", name="budget") == '{"budget": 900}'
    assert desk("read_state", scope="user") == '{"home": "Porto"}'
    session = indexed.session("now")
    assert dict(session.state) == {"budget": 900, "stops": ["Lisbon", {"nights": 3}]}
    assert indexed.session("elsewhere", user_id="ana").state.user["home"] == "Porto"
    desk("set_state", name="budget", value=None)
    assert desk("read_state", name="budget") == "No such variable is set."
    assert "budget" not in session.state


def test_tasks_are_added_updated_and_listed(desk: Desk, indexed: SessionStore) -> None:
    """Each answer is JSON with the task's id; the tree comes in its order."""
    trip = json.loads(desk("add_task", title="Trip"))
    hotel = json.loads(desk("add_task", title="Hotel", parent_id=trip["id"], note="near the river"))
    desk("add_task", title="Flight", parent_id=trip["id"])
    done = json.loads(desk("update_task", task_id=hotel["id"], status="completed"))
    assert (done["status"], done["progress"], done["note"]) == ("completed", 1.0, "near the river")
    lines = [json.loads(line) for line in desk("list_tasks").splitlines()]
    assert [(line["title"], line["progress"]) for line in lines] == [("Trip", 0.5), ("Hotel", 1.0), ("Flight", 0.0)]
    still_open = [json.loads(line)["title"] for line in desk("list_tasks", open_only=True).splitlines()]
    assert still_open == ["Trip", "Flight"]
    assert [task.title for task in indexed.session("now").tasks.list()] == ["Trip", "Hotel", "Flight"]


def test_files_are_saved_listed_read_and_found(desk: Desk, indexed: SessionStore) -> None:
    """In versions; what they say is found by the tool and by the retriever, with the file and version named."""
    assert desk("list_files") == "There are no files."
    desk("save_file", name="plan.md", text="# Plan\nSleep in a lighthouse.")
    desk("save_file", name="plan.md", text="# Plan\nSleep in a windmill.")
    desk("save_file", name="notes", text="Ask for towels.")
    told = [json.loads(line) for line in desk("list_files").splitlines()]
    assert [(line["name"], line["version"], line["media_type"]) for line in told] == [
        ("notes", 1, "text/plain"),
        ("plan.md", 2, "text/markdown"),
    ]
    heading, _, text = desk("read_file", name="plan.md").partition("\n")
    assert json.loads(heading) == {"name": "plan.md", "version": 2, "start": 0, "end": 27}
    assert text == "# Plan\nSleep in a windmill."
    assert "lighthouse" in desk("read_file", name="plan.md", version=1)
    found = json.loads(desk("search_past", query="sleep in a windmill").splitlines()[1])
    assert (found["file"], found["version"], found["session"]) == ("plan.md", 2, "now")
    (document,) = SessionRetriever(store=indexed, user_id="ana", k=1).invoke("sleep in a windmill")
    assert (document.metadata["file"], document.metadata["version"]) == ("plan.md", 2)
    (message,) = SessionRetriever(store=indexed, user_id="ana", k=1).invoke("tomatoes need water")
    assert "file" not in message.metadata


def test_a_long_file_is_read_in_pieces(indexed: SessionStore) -> None:
    """Each answer says where to go on; the pieces are the file, in any script, and no piece is over the limit."""
    text = "".join(f"{number} ügy 東京 🌊\n" for number in range(400))
    desk = Desk(create_session_tools(indexed, "now", "ana", max_characters=1_000))
    desk("save_file", name="long.txt", text=text)
    pieces, start = [], 0
    while True:
        heading, _, piece = desk("read_file", name="long.txt", start=start).partition("\n")
        pieces.append(piece)
        assert len(piece) <= 1_000
        if "more" not in json.loads(heading):
            break
        start = json.loads(heading)["end"]
        assert json.loads(heading)["more"] == f"go on with start={start}"
    assert "".join(pieces) == text
    assert desk("read_file", name="long.txt", start=len(text) + 5).endswith("}\n")


def test_a_large_state_is_told_in_part(indexed: SessionStore) -> None:
    """A long list of variables, and one long variable, stay within the limit and say what was left out."""
    desk = Desk(create_session_tools(indexed, "now", "ana", max_characters=1_000))
    state = indexed.session("now", user_id="ana").state
    state.update({"large": "x" * 5_000, **{f"k{number}": number for number in range(300)}})
    told = desk("read_state")
    assert len(told) < 1_200
    assert "(5,013 characters)" in told
    assert "more, for which there is no room)" in told.splitlines()[-1]


def test_the_past_is_searched_without_the_turn_that_is_going_on(desk: Desk, indexed: SessionStore) -> None:
    """The user's sessions and what was said here before; neither the question itself nor this tool's own answers."""
    session = indexed.session("now", user_id="ana")
    session.append(Message.user("I collect zeppelins."), Message.assistant("Lovely."))
    session.append(Message.user("Which zeppelins do I collect, and when do we fly to Lisbon?"))
    first = desk("search_past", query="zeppelins fly to Lisbon")
    texts = [json.loads(line)["text"] for line in first.splitlines()[1:]]
    assert "I collect zeppelins." in texts
    assert "We fly to Lisbon on the fourth of May." in texts
    assert not [text for text in texts if "Which zeppelins" in text or "canary" in text]
    session.append(Message.tool(first, "c1"), Message.assistant("Those."), Message.user("Once more?"))
    assert "Quotations" not in "".join(desk("search_past", query="zeppelins fly to Lisbon").splitlines()[1:])
    assert desk("search_past", query="zeppelins", since="2030-01-01") == "Nothing was found in the past."


def test_a_session_without_a_user_finds_its_own_past_alone(indexed: SessionStore) -> None:
    """Unless whoever makes the tools lets it see what the store can see."""
    session = indexed.session("nobodys")
    session.append(Message.user("My flight leaves at noon."), Message.user("And?"))
    alone = Desk(create_session_tools(indexed, "nobodys"))
    lines = alone("search_past", query="flight to Lisbon").splitlines()[1:]
    assert {json.loads(line)["session"] for line in lines} == {"nobodys"}
    everybody = Desk(create_session_tools(indexed, "nobodys", search_everybody=True))
    assert "canary" in everybody("search_past", query="my own flight to Lisbon is a secret canary")
    assert "no user" in alone.refused("set_state", name="home", value="Porto", scope="user")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("set_state", {"name": "", "value": 1}, "empty"),
        ("set_state", {"name": "x", "value": 1, "scope": "app"}, "scope"),
        ("set_state", {"name": "x", "value": "y" * 2_000_000}, "the limit is"),
        ("add_task", {"title": ""}, "needs one"),
        ("add_task", {}, "title: Field required"),
        ("add_task", {"title": "x", "parent_id": "none"}, "list_tasks tells"),
        ("update_task", {"task_id": "none", "status": "completed"}, "list_tasks tells"),
        ("update_task", {"task_id": "none"}, "nothing to change"),
        ("update_task", {"task_id": "none", "status": "done"}, "status: Input should be"),
        ("update_task", {"task_id": "none", "progress": "half"}, "progress"),
        ("save_file", {"name": "a\nb", "text": "x"}, "control character"),
        ("save_file", {"name": "a", "text": "x" * 1_000_001}, "save at most"),
        ("read_file", {"name": "none"}, "list_files"),
        ("read_file", {"name": "picture.png"}, "no text but image/png, 3 bytes"),
        ("read_file", {"name": "picture.png", "version": 9}, "list_files"),
        ("read_file", {"name": "picture.png", "start": -1}, "out of range"),
        ("search_past", {"query": ""}, "query"),
    ],
)
def test_what_the_model_does_wrong_comes_back_to_it(
    desk: Desk, indexed: SessionStore, name: str, arguments: dict[str, Any], said: str
) -> None:
    """As the tool's error, in one short line, with nothing stored."""
    session = indexed.session("now", user_id="ana")
    session.files.put("picture.png", b"\x89PN")
    before = session.revision
    assert said in desk.refused(name, **arguments)
    assert session.revision == before


def test_a_session_that_is_closed_says_so(desk: Desk, indexed: SessionStore) -> None:
    """It can be read and not written, and the agent goes on."""
    desk("set_state", name="budget", value=900)
    indexed.session("now").close()
    assert "has been ended" in desk.refused("set_state", name="budget", value=1)
    assert desk("read_state") == '{"budget": 900}'


async def test_the_async_form_answers_the_same(desk: Desk) -> None:
    """Every tool, also where it refuses."""
    desk("save_file", name="plan.md", text="Sleep in a windmill.")
    task = json.loads(desk("add_task", title="Trip"))
    calls: list[tuple[str, dict[str, Any]]] = [
        ("set_state", {"name": "budget", "value": 900}),
        ("read_state", {}),
        ("read_state", {"name": "budget"}),
        ("set_state", {"name": "budget", "value": None}),
        ("update_task", {"task_id": task["id"], "status": "in_progress"}),
        ("update_task", {"task_id": "none", "status": "completed"}),
        ("list_tasks", {}),
        ("save_file", {"name": "plan.md", "text": "Sleep in a windmill."}),
        ("list_files", {}),
        ("read_file", {"name": "plan.md"}),
        ("read_file", {"name": "none"}),
        ("search_past", {"query": "windmill"}),
    ]
    for name, arguments in calls:
        call = {"name": name, "args": arguments, "id": "c", "type": "tool_call"}
        answer = await desk.tools[name].ainvoke(call)
        assert (answer.status, answer.text) == ((same := desk.call(name, **arguments)).status, same.text)
    assert json.loads(await desk.tools["add_task"].ainvoke({"title": "Hotel"}))["title"] == "Hotel"


def test_the_model_can_name_neither_session_nor_user(indexed: SessionStore) -> None:
    """No tool offers it; whatever else a model sends changes nothing."""
    tools = create_session_tools(indexed, "now", "ana")
    assert [tool.name for tool in tools] == NAMES == [tool.name for tool in SESSION_TOOLS]
    for tool in tools:
        assert tool.description
        assert tool.args.keys().isdisjoint({"session_id", "user_id", "session", "user", "config", "desk"})
        assert all(given["description"] for given in tool.args.values())
    Desk(tools)("set_state", name="x", value=1, session_id="bobs", user_id="bob", config={"configurable": {}})
    assert dict(indexed.session("now").state) == {"x": 1}
    assert dict(indexed.session("bobs").state) == {}


def test_the_runs_configuration_names_session_and_user(indexed: SessionStore) -> None:
    """Where they are not settled; a settled one stays; a run that names none, or another's, is refused."""
    tools = create_session_tools(indexed)
    for key in ("session_id", "thread_id"):
        Desk(tools, {"configurable": {key: f"by {key}", "user_id": "ana"}})("set_state", name="x", value=key)
        assert indexed.session(f"by {key}").user_id == "ana"
        assert dict(indexed.session(f"by {key}").state) == {"x": key}
    with pytest.raises(InvalidInput, match="names no session"):
        Desk(tools).call("read_state")
    with pytest.raises(SessionNotFound):
        Desk(tools, {"configurable": {"session_id": "bobs", "user_id": "ana"}}).call("read_state")
    keyed = create_session_tools(indexed, user_id_key="owner")
    with pytest.raises(InvalidInput, match="owner: the run names no user"):
        Desk(keyed, {"configurable": {"session_id": "now", "user_id": "ana"}}).call("read_state")
    settled = Desk(create_session_tools(indexed.for_user("ana"), "now"), {"configurable": {"thread_id": "bobs"}})
    settled("set_state", name="x", value=1)
    assert dict(indexed.session("now").state) == {"x": 1}


def test_what_cannot_be_is_not_made(indexed: SessionStore) -> None:
    """A store that is none, another's user, a limit out of range, a prefix that is no text."""
    with pytest.raises(InvalidInput, match="store: expected"):
        create_session_tools("sqlite://")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidInput, match="bound"):
        create_session_tools(indexed.for_user("ana"), "now", "bob")
    with pytest.raises(InvalidInput, match="prefix"):
        create_session_tools(indexed, "now", prefix=5)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ValidationError):
        create_session_tools(indexed, "now", max_characters=10)


def test_a_prefix_keeps_them_apart_and_their_forms_hold_no_store(indexed: SessionStore) -> None:
    """Names can be made unlike those of other tools; a dump names neither the database nor a connection."""
    tools = create_session_tools(indexed, "now", prefix="session_")
    assert [tool.name for tool in tools] == [f"session_{name}" for name in NAMES]
    for tool in tools:
        assert "sqlite" not in f"{tool!r} {tool} {json.dumps(tool.model_dump())}"


class Scripted(GenericFakeChatModel):
    """A model that follows a script."""

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Tools are in the script."""
        return self


def calling(tool: str, number: int, /, **arguments: Any) -> AIMessage:
    """A line of the script: a call of a tool."""
    return AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": f"call_{number}"}])


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_an_agent_works_on_its_session(indexed: SessionStore, way: str) -> None:
    """It keeps a fact, sets itself a task, saves a file, looks things up, survives a mistake, and its history is kept.

    The history shows the messages and no passage of a file; the failed call is an error there and in the ledger.
    """
    script: list[BaseMessage] = [
        calling("set_state", 1, name="destination", value="Lisbon"),
        calling("add_task", 2, title="Book a hotel"),
        calling("update_task", 3, task_id="a task that is not there", status="completed"),
        calling("save_file", 4, name="plan.md", text="Sleep in a windmill."),
        calling("search_past", 5, query="When do we fly to Lisbon?"),
        AIMessage("On the fourth of May."),
    ]
    agent: Any = create_agent(Scripted(messages=iter(script)), create_session_tools(indexed, user_id_key="user_id"))
    given: Any = {"messages": [HumanMessage("When is our flight?")]}
    config: Any = {"configurable": {"user_id": "ana", "thread_id": "now"}}
    state = agent.invoke(given, config) if way == "sync" else await agent.ainvoke(given, config)
    answers = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert [answer.status for answer in answers] == ["success", "success", "error", "success", "success"]
    assert "fourth of May" in answers[-1].text
    assert "canary" not in answers[-1].text

    session = indexed.session("now", user_id="ana", create=False)
    assert session.state["destination"] == "Lisbon"
    assert [task.title for task in session.tasks.list()] == ["Book a hotel"]
    assert session.files.get("plan.md").data == b"Sleep in a windmill."
    with session.tool_call("pay", {"euros": 3}, idempotency_key="k") as call:
        call.succeed("paid")

    history = SessionChatMessageHistory("now", store=indexed, user_id="ana")
    history.add_messages(state["messages"])
    assert history.messages == state["messages"]
    history.messages = state["messages"][:-1]
    assert history.messages == state["messages"][:-1]
    assert session.count() == len(history.messages)
    ledger = {call.id: call.status for call in session.tool_calls()}
    assert [ledger[f"call_{number}"] for number in range(1, 6)] == [
        *("succeeded", "succeeded", "failed", "succeeded", "succeeded")
    ]
    history.clear()
    assert history.messages == []
    assert session.files.get("plan.md").data == b"Sleep in a windmill."
