"""Real chains by ``RunnableWithMessageHistory``, sync, async and streamed, on the fake models of langchain-core."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableFieldSpec, Runnable, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from agent_session_core import InvalidInput, SessionError, SessionNotFound, SessionStore
from langchain_sessions import SessionChatMessageHistory

pytestmark = pytest.mark.filterwarnings(
    "ignore:RunnableWithMessageHistory is deprecated"  # it is what the history is for, as long as it is there
)
ANA: Any = {"configurable": {"session_id": "a"}}


def model(*answers: str) -> FakeListChatModel:
    """A model that gives these answers in turn."""
    return FakeListChatModel(responses=list(answers))


def prompted(answers: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """A chain with a system message, the history and the question."""
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be brief."), MessagesPlaceholder("history"), ("human", "{question}")]
    )
    return prompt | answers


def with_keys(runnable: Runnable[Any, Any], factory: Any) -> RunnableWithMessageHistory:
    """The chain with its history under a key of its own."""
    return RunnableWithMessageHistory(
        prompted(runnable), factory, input_messages_key="question", history_messages_key="history"
    )


def said(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """Speaker and text of each message."""
    return [(message.type, message.text) for message in messages]


def test_a_chain_remembers(store: SessionStore) -> None:
    """What was asked and answered is stored, and the next call is given it."""
    seen: list[Any] = []

    def answer(prompt: Any) -> AIMessage:
        seen.append(said(prompt.to_messages()))
        return AIMessage(f"answer {len(seen)}")

    chain = with_keys(RunnableLambda(answer), SessionChatMessageHistory.factory(store))
    chain.invoke({"question": "one?"}, ANA)
    chain.invoke({"question": "two?"}, ANA)
    talk = [("human", "one?"), ("ai", "answer 1"), ("human", "two?"), ("ai", "answer 2")]
    assert seen[1] == [("system", "Be brief."), *talk[:3]]
    assert said(SessionChatMessageHistory("a", store=store).messages) == talk


async def test_a_chain_remembers_asynchronously(store: SessionStore) -> None:
    """The async form stores and reads by the async methods, as one call and as a batch of sessions."""
    chain = with_keys(model("yes"), SessionChatMessageHistory.factory(store))
    await chain.ainvoke({"question": "one?"}, ANA)
    configs: list[Any] = [{"configurable": {"session_id": id_}} for id_ in ("a", "b")]
    await chain.abatch([{"question": "two?"}, {"question": "else?"}], configs)
    assert said(await SessionChatMessageHistory("a", store=store).aget_messages()) == [
        ("human", "one?"),
        ("ai", "yes"),
        ("human", "two?"),
        ("ai", "yes"),
    ]
    assert said(SessionChatMessageHistory("b", store=store).messages) == [("human", "else?"), ("ai", "yes")]


async def test_a_streamed_answer_is_stored_as_one_message(store: SessionStore) -> None:
    """The runnable hands over a chunk; what is stored and read back is the message, sync and async."""
    chain = with_keys(model("To Lisbon, on the 4th."), SessionChatMessageHistory.factory(store))
    assert len(list(chain.stream({"question": "where?"}, ANA))) > 1
    async for _ in chain.astream({"question": "again?"}, ANA):
        pass
    messages = SessionChatMessageHistory("a", store=store).messages
    assert [type(message) for message in messages] == [HumanMessage, AIMessage] * 2
    assert said(messages)[1] == said(messages)[3] == ("ai", "To Lisbon, on the 4th.")


def test_a_bare_model_with_messages_in_and_out(store: SessionStore) -> None:
    """Without keys the history is put before the input, and nothing of it is stored again."""
    answers = iter([AIMessage("one", id="same"), AIMessage("two", id="same"), AIMessage("two", id="same")])
    chain = RunnableWithMessageHistory(GenericFakeChatModel(messages=answers), SessionChatMessageHistory.factory(store))
    for number in range(3):
        chain.invoke([HumanMessage(f"question {number}")], ANA)
    expected = [HumanMessage("question 0"), AIMessage("one", id="same"), HumanMessage("question 1")]
    expected += [AIMessage("two", id="same"), HumanMessage("question 2"), AIMessage("two", id="same")]
    assert SessionChatMessageHistory("a", store=store).messages == expected


class Meanwhile:
    """A model during whose work another call of the same session finishes."""

    def __init__(self, store: SessionStore) -> None:
        self.history = SessionChatMessageHistory("a", store=store)
        self.fresh: list[int] = []

    def __call__(self, messages: list[BaseMessage]) -> AIMessage:
        """Answer, and let the other call in first."""
        before = len(self.history.messages)
        self.history.add_messages([HumanMessage("from elsewhere"), AIMessage("to elsewhere")])
        self.fresh.append(len(self.history.messages) - before)
        return AIMessage(f"saw {len(messages)}")


@pytest.mark.parametrize("last", [None, 1, 2, 3])
async def test_the_users_message_is_not_lost_to_a_call_in_between(store: SessionStore, last: int | None) -> None:
    """The runnable cuts the history off its input after the call: it is cut by what the call was given, not more."""
    other = Meanwhile(store)
    chain = RunnableWithMessageHistory(RunnableLambda(other), SessionChatMessageHistory.factory(store, last=last))
    for number in range(2):
        chain.invoke([HumanMessage(f"sync {number}")], ANA)
        await chain.ainvoke([HumanMessage(f"async {number}")], ANA)
    texts = [text for _, text in said(SessionChatMessageHistory("a", store=store).messages)]
    assert [text for text in texts if "sync" in text] == ["sync 0", "async 0", "sync 1", "async 1"]
    assert sum(text.startswith("saw") for text in texts) == 4
    assert other.fresh == [2] * 4  # a history of one's own reads what is there now, also within a call


def test_a_factory_made_history_is_fresh_outside_of_calls(store: SessionStore) -> None:
    """Only the runnable's own reads are those of the call's beginning."""
    factory = SessionChatMessageHistory.factory(store)
    mine = factory("a")
    assert mine.messages == []
    with_keys(model("yes"), factory).invoke({"question": "one?"}, ANA)
    assert said(mine.messages) == [("human", "one?"), ("ai", "yes")]


def fields(*names: str) -> list[ConfigurableFieldSpec]:
    """Configurable fields of these names."""
    return [ConfigurableFieldSpec(id=name, annotation=str, default="") for name in names]


def test_the_calls_user_bounds_what_it_reaches(store: SessionStore) -> None:
    """With the fields user_id and session_id each call reaches its user's sessions only; no user is refused."""
    chain = RunnableWithMessageHistory(
        prompted(model("yes")),
        SessionChatMessageHistory.factory(store),
        input_messages_key="question",
        history_messages_key="history",
        history_factory_config=fields("user_id", "session_id"),
    )
    chain.invoke({"question": "mine?"}, {"configurable": {"user_id": "ana", "session_id": "a"}})
    assert store.session("a").user_id == "ana"
    assert SessionChatMessageHistory("a", store=store, user_id="bob").messages == []
    for nobody in ("", None):
        with pytest.raises(InvalidInput, match="names no user"):
            chain.invoke({"question": "whose?"}, {"configurable": {"user_id": nobody, "session_id": "a"}})


def test_a_factory_bound_to_a_user_stays_bound(store: SessionStore) -> None:
    """A call can name the factory's own user and no other."""
    factory = SessionChatMessageHistory.factory(store, user_id="ana")
    assert factory("a").user_id == factory("a", user_id="ana").user_id == "ana"
    with pytest.raises(InvalidInput, match="bound to"):
        factory("a", user_id="bob")


async def test_what_could_not_be_stored_is_told(store: SessionStore, caplog: pytest.LogCaptureFixture) -> None:
    """The runnable swallows the error; the factory's ``on_unsaved`` gets it with the messages, and the log no word."""
    unsaved: list[tuple[SessionError, list[BaseMessage]]] = []
    factory = SessionChatMessageHistory.factory(
        store.for_user("bob"), on_unsaved=lambda error, messages: unsaved.append((error, list(messages)))
    )
    SessionChatMessageHistory("a", store=store, user_id="ana").add_messages([HumanMessage("Ana's")])
    caplog.set_level(logging.INFO)
    chain = with_keys(model("the canary answers"), factory)
    assert chain.invoke({"question": "canary?"}, ANA).text == "the canary answers"
    await chain.ainvoke({"question": "canary?"}, ANA)
    assert [said(messages) for _, messages in unsaved] == [[("human", "canary?"), ("ai", "the canary answers")]] * 2
    assert isinstance(unsaved[0][0], SessionNotFound)
    assert "session 'a': 2 messages were not stored" in caplog.text
    assert "canary" not in caplog.text


def test_a_failing_chain_stores_nothing(store: SessionStore) -> None:
    """A call that fails leaves the session as it was: no question without an answer."""

    def fail(_: object) -> AIMessage:
        raise RuntimeError("down")

    chain = with_keys(RunnableLambda(fail), SessionChatMessageHistory.factory(store))
    with pytest.raises(RuntimeError, match="down"):
        chain.invoke({"question": "one?"}, ANA)
    assert SessionChatMessageHistory("a", store=store).messages == []


def test_an_output_of_several_messages(store: SessionStore) -> None:
    """An output under a key, of several messages, is stored whole."""

    def agent(_: dict[str, Any]) -> dict[str, Any]:
        return {"output": [SystemMessage("noted"), AIMessage("done")]}

    chain = RunnableWithMessageHistory(
        RunnableLambda(agent),
        SessionChatMessageHistory.factory(store),
        input_messages_key="question",
        output_messages_key="output",
        history_messages_key="history",
    )
    chain.invoke({"question": "one?"}, ANA)
    messages = SessionChatMessageHistory("a", store=store).messages
    assert messages == [HumanMessage("one?"), SystemMessage("noted"), AIMessage("done")]


def test_the_factory_closes_what_it_opened(url: str) -> None:
    """A factory made with a URL is a context manager, and shows no URL."""
    with SessionChatMessageHistory.factory(url=url) as factory:
        with_keys(model("yes"), factory).invoke({"question": "one?"}, ANA)
        assert "sqlite" not in repr(factory)
    with SessionStore.open(url, index="off") as store:
        assert len(SessionChatMessageHistory("a", store=store).messages) == 2
