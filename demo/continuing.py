"""What goes on: a LlamaIndex agent takes over a session that LangChain wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool

from agent_session_core import SessionStore
from demo.questions import quoted
from llamaindex_sessions import AsyncSessionChatStore, SessionRetriever

TOOL = "search_past_sessions"


async def carry_on(store: SessionStore, session_id: str, question: str, not_in: Sequence[str]) -> str:
    """Put ``question`` to an agent whose memory is the session; it looks into all sessions but ``not_in``."""
    already = datetime.now(timezone.utc)  # the question itself is stored later, and no answer
    retriever = SessionRetriever(
        store, similarity_top_k=3, roles=["user", "assistant"], exclude_session_ids=not_in, until=already
    )

    async def search_past_sessions(query: str) -> str:
        """Find what was said in earlier sessions, best match first."""
        answers = await retriever.aretrieve(query, roles=["assistant"])  # rather than what was asked then
        found = answers or await retriever.aretrieve(query)
        lines = (f"In {quoted(_title(hit.metadata))}: {hit.node.get_content()}" for hit in found)
        return "\n".join(lines) or "Nothing was found in earlier sessions."

    agent = FunctionAgent(
        tools=[FunctionTool.from_defaults(async_fn=search_past_sessions)],
        llm=MockFunctionCallingLLM(response_generator=_reply),
        system_prompt="You are a planner with a good memory.",
    )
    memory = Memory.from_defaults(session_id=session_id, chat_store=AsyncSessionChatStore(store), token_limit=100_000)
    return str(await agent.run(question, memory=memory))


def _reply(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """The scripted model: asked something, it calls the tool; what the tool finds first, it passes on."""
    last = messages[-1]
    if last.role != MessageRole.TOOL:
        call = ToolCallBlock(
            tool_call_id=f"look_up_{len(messages)}", tool_name=TOOL, tool_kwargs={"query": last.content}
        )
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[call])
    best = (last.content or "").partition("\n")[0]
    return ChatMessage(role=MessageRole.ASSISTANT, content=f"I looked it up. {best}")


def _title(metadata: Mapping[str, Any]) -> str:
    return str(metadata["session_title"] or metadata["session_id"])
