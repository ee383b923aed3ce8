"""What comes in: a LangChain chain with history lives through a conversation again, turn by turn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from langchain_core._api.deprecation import LangChainDeprecationWarning
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

from agent_session_core import Message, SessionError, SessionStore, ToolCallPart
from demo.transcripts import Conversation
from langchain_sessions import SessionChatMessageHistory, record_to_message

THROUGH_CHAIN = 400
"""Messages that go through the chain; those of a larger file beyond it are stored directly, which is quicker."""
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "You are a planner with a good memory."), MessagesPlaceholder("history"), MessagesPlaceholder("input")]
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A conversation that is in the store now.

    Attributes:
        messages: how many messages the session has; 0 where it could not be kept.
        through_chain: whether the chain lived through it, or it was stored directly.
        fresh: whether it came in just now, or was in the database before.
    """

    session_id: str
    user_id: str
    title: str
    date: str
    messages: int
    tool_calls: int
    through_chain: bool
    fresh: bool


def let_in(
    store: SessionStore, conversation: Conversation, before: Sequence[Arrival], report: Callable[[str], None]
) -> Arrival:
    """Bring ``conversation`` into the store; ``report`` is told what cannot be kept."""
    record, messages = conversation.record, conversation.messages
    user_id = record.user_id or "you"
    mine = store.for_user(user_id)
    date = record.created_at.strftime("%Y-%m-%d")
    chained = sum(arrival.messages for arrival in before if arrival.through_chain) < THROUGH_CHAIN
    kept, fresh = 0, True
    try:
        session = mine.session(record.id, title=record.title, agent_id=record.agent_id, metadata={"date": date})
        fresh = session.count() == 0
        if fresh and chained:
            _replay(mine, record.id, messages, lambda error: report(f"session {record.id!r:.60}: {error}"))
        elif fresh:
            session.append([replace(message, seq=None, run=None) for message in messages])
        kept = session.count()
    except SessionError as error:
        report(f"session {record.id!r:.60}: {error}")
    calls = sum(isinstance(part, ToolCallPart) for message in messages for part in message.parts)
    title = record.title or next((message.text for message in messages if message.text), record.id)
    return Arrival(record.id, user_id, " ".join(title.split()), date, kept, calls if kept else 0, chained, fresh)


def _replay(
    store: SessionStore, session_id: str, messages: Sequence[Message], report: Callable[[Exception], None]
) -> None:
    """Invoke a chain once for each turn: the user asks, and the scripted model and its tools answer as they did."""
    turns = _turns([record_to_message(message) for message in messages])
    replies = iter([replies for _, replies in turns])
    model = GenericFakeChatModel(messages=iter([m for _, said in turns for m in said if isinstance(m, AIMessage)]))

    def agent(prompt: PromptValue) -> list[BaseMessage]:
        known, new = prompt.to_messages(), list[BaseMessage]()
        for recorded in next(replies):
            new.append(recorded if isinstance(recorded, ToolMessage) else model.invoke([*known, *new]))
        return new

    history = SessionChatMessageHistory.factory(store, on_unsaved=lambda error, _: report(error))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)  # the class works until LangChain 2
        chain = RunnableWithMessageHistory(
            PROMPT | RunnableLambda(agent), history, input_messages_key="input", history_messages_key="history"
        )
    for asked, _ in turns:
        chain.invoke({"input": asked}, config={"configurable": {"session_id": session_id}})


def _turns(messages: Sequence[BaseMessage]) -> list[tuple[list[BaseMessage], list[BaseMessage]]]:
    """Each turn: what is put to the agent, and all that it and its tools answer."""
    turns = []
    rest = list(messages)
    while rest:
        asked = list(takewhile(lambda message: not isinstance(message, AIMessage | ToolMessage), rest))
        rest = rest[len(asked) :]
        replies = list(takewhile(lambda message: isinstance(message, AIMessage | ToolMessage), rest))
        rest = rest[len(replies) :]
        turns.append((asked, replies))
    return turns
