"""Any tool, made to record its calls in the session's ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, TextBlock
from llama_index.core.tools import BaseTool, FunctionTool, ToolOutput, adapt_to_async_tool

from agent_session_core import InvalidInput, SessionStore, ToolCallPart
from agent_session_core.recording import Key, Recording, checked_key
from llamaindex_sessions._blocks import block_from_json, block_to_json
from llamaindex_sessions._messages import message_to_record
from llamaindex_sessions._runs import RunContext, RunSession

__all__ = ["recorded_tool"]

CONTEXT = "session_context"
"""Under this name an agent hands its context to a tool that has no name of its own for it."""
SCRATCHPAD = "scratchpad"
"""Where an agent keeps the messages of the turn that is going on."""


class RecordedTool(FunctionTool):
    """See :func:`recorded_tool`."""

    def __init__(self, tool: BaseTool, sessions: RunSession, key: Key | None) -> None:
        super().__init__(fn=self.call, async_fn=self.acall, metadata=tool.metadata)
        self._tool = adapt_to_async_tool(tool)
        self._sessions = sessions
        self._key = key
        self._own = tool.ctx_param_name if isinstance(tool, FunctionTool) else None
        self.requires_context = True
        self.ctx_param_name = self._own or CONTEXT

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """As the tool's own ``call``, and recorded."""
        context, given = self._opened(args, kwargs)
        return self._recording(given).run(
            self._sessions.get(context),
            lambda _: self._tool.call(*args, **self._lent(context, kwargs)),
            given,
            key=self._key_of(given),
        )

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """As :meth:`call`."""
        context, given = self._opened(args, kwargs)
        return await self._recording(given).arun(
            await self._sessions.aget(context),
            lambda _: self._tool.acall(*args, **self._lent(context, kwargs)),
            given,
            call_id=await _asked(context, self.metadata.get_name(), given),
            key=self._key_of(given),
        )

    def _opened(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[RunContext, dict[str, Any]]:
        """The workflow's context, taken out of ``kwargs``; and what the model gave, by name."""
        context = kwargs.pop(self.ctx_param_name or CONTEXT, None)
        names = self.metadata.get_parameters_dict().get("properties", {})
        return context, {**dict(zip(names, args, strict=False)), **kwargs}

    def _lent(self, context: RunContext, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self._own is None or context is None else {**kwargs, self._own: context}

    def _key_of(self, given: Mapping[str, Any]) -> str | None:
        return None if self._key is None else self._key(**given)

    def _recording(self, given: Mapping[str, Any]) -> Recording[ToolOutput]:
        name = self.metadata.get_name()

        def load(result: Any) -> ToolOutput:
            kept = isinstance(result, dict) and result.keys() == {"blocks"}
            blocks: list[ContentBlock] = [TextBlock(text=str(result))]
            if kept:
                blocks = [block_from_json(one) for one in result["blocks"]]
            return ToolOutput(name, blocks=blocks, raw_input={"kwargs": dict(given)}, raw_output=result)

        return Recording(name=name, dump=_dumped, load=load, failure=_failure)


def recorded_tool(
    tool: BaseTool,
    store: SessionStore,
    session_id: str | None = None,
    user_id: str | None = None,
    *,
    idempotency_key: Key | None = None,
) -> FunctionTool:
    """The same tool, whose every call is recorded in the session's ledger.

    It looks the same to a model and behaves the same. A process that dies in the middle leaves the call ``unknown``. A
    call with the idempotency key of one that succeeded does not act again: it gives the earlier answer. One whose
    earlier call is ``unknown`` does not act either, and an agent tells the model so as the tool's error, until somebody
    has said how it ended, by ``session.settle_tool_call()``.

    LlamaIndex does not tell a tool the id that the model gave its call. It is looked up among the messages of the
    turn; where two calls of one message are the same, each gets an id of its own.

    Args:
        tool: any tool. What it answers is recorded as JSON; earlier answers come back with their blocks.
        store: where sessions are kept; one bound to a user works on that user's only.
        session_id: the session of every call; without one, the ``session_id`` in the store of the workflow's context.
        user_id: whose session it is, in every call.
        idempotency_key: makes the key of the model's arguments, which it is given by keyword; None for no key.

    Raises:
        InvalidInput: for what is no tool, no store or no function, and for a user other than the store's.
        ToolCallUnsettled: in a call whose earlier one runs, or ended nobody knows how.
    """
    if not isinstance(tool, BaseTool):
        raise InvalidInput(f"tool: expected a LlamaIndex tool, got {type(tool).__name__}; use FunctionTool")
    checked_key(idempotency_key)
    return RecordedTool(tool, RunSession.of(store, session_id, user_id), idempotency_key)


async def _asked(context: RunContext, name: str, given: Mapping[str, Any]) -> str | None:
    """The id that the model gave the call, where it can be told; one that is only the tool's name is none."""
    if context is None:
        return None
    messages = await context.store.get(SCRATCHPAD, default=None) or []
    for message in reversed(messages):
        if isinstance(message, ChatMessage):
            calls = [part for part in message_to_record(message).parts if isinstance(part, ToolCallPart)]
            ids = [call.id for call in calls if (call.name, call.arguments) == (name, given)]
            if calls:
                return ids[0] if len(ids) == 1 and ids[0] != name else None
    return None


def _dumped(output: ToolOutput) -> Any:
    """What the tool gave, where its words can be made of that again; else its blocks."""
    try:
        raw = json.loads(json.dumps(output.raw_output))
    except (TypeError, ValueError, RecursionError):
        raw = None
    kept = isinstance(raw, dict) and raw.keys() == {"blocks"}
    if not kept and output.blocks == [TextBlock(text=str(raw))]:
        return raw
    return {"blocks": [block_to_json(block) for block in output.blocks]}


def _failure(output: ToolOutput) -> str | None:
    return (output.content or "failed") if output.is_error else None
