"""Any tool, made to record its calls in the session's ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from agent_session_core import InvalidInput
from agent_session_core.errors import ToolCallUnsettled
from agent_session_core.recording import Key, Recording, checked_key, plain
from agent_session_core.tooling import short
from langchain_sessions._runs import RunSession

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from agent_session_core import SessionStore

__all__ = ["recorded_tool"]

Input: TypeAlias = str | dict[str, Any]

_KEPT = ("name", "description", "args_schema", "return_direct", "response_format", "tags", "metadata", "extras")
"""What the recording tool shows of the one it records."""


class RecordedTool(BaseTool):
    """See :func:`recorded_tool`."""

    args_schema: Any = Field(default=None, exclude=True, repr=False)

    _tool: BaseTool = PrivateAttr()
    _sessions: RunSession = PrivateAttr()
    _key: Key | None = PrivateAttr()

    def __init__(self, tool: BaseTool, sessions: RunSession, key: Key | None) -> None:
        super().__init__(**{name: getattr(tool, name) for name in _KEPT if hasattr(tool, name)})
        self._tool = tool
        self._sessions = sessions
        self._key = key

    def _run(self, **arguments: Any) -> Any:
        return self._tool._run(**arguments)  # noqa: SLF001  # asked only for its signature: ``run`` never comes here

    @property
    def _injected_args_keys(self) -> frozenset[str]:
        return self._tool._injected_args_keys  # noqa: SLF001  # what agents give it beside the model's arguments

    def run(
        self,
        tool_input: Input,
        *args: Any,
        config: RunnableConfig | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As the tool's own ``run``, and recorded."""

        def act(_: str) -> Any:
            return self._tool.run(tool_input, *args, config=config, tool_call_id=tool_call_id, **kwargs)

        given = self._given(tool_input)
        recording, key = self._recording(tool_call_id), self._key_of(given)
        try:
            return recording.run(self._sessions.get(config), act, given, call_id=tool_call_id, key=key)
        except ToolCallUnsettled as error:
            return self._unsettled(error, tool_call_id)

    async def arun(
        self,
        tool_input: Input,
        *args: Any,
        config: RunnableConfig | None = None,
        tool_call_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """As :meth:`run`."""

        async def act(_: str) -> Any:
            return await self._tool.arun(tool_input, *args, config=config, tool_call_id=tool_call_id, **kwargs)

        given = self._given(tool_input)
        recording, key = self._recording(tool_call_id), self._key_of(given)
        session = await self._sessions.aget(config)
        try:
            return await recording.arun(session, act, given, call_id=tool_call_id, key=key)
        except ToolCallUnsettled as error:
            return self._unsettled(error, tool_call_id)

    def _given(self, tool_input: Input) -> dict[str, Any]:
        """The arguments that the model gave, without what the agent puts beside them."""
        if isinstance(tool_input, str):
            return {next(iter(self._tool.args), "input"): tool_input}
        return {name: value for name, value in tool_input.items() if name in self._tool.args}

    def _key_of(self, given: Mapping[str, Any]) -> str | None:
        return None if self._key is None else self._key(**given)

    def _recording(self, tool_call_id: str | None) -> Recording[Any]:
        def load(result: Any) -> Any:
            whole = isinstance(result, dict) and result.keys() == {"content", "artifact"}
            content, artifact = (result["content"], result["artifact"]) if whole else (result, None)
            if tool_call_id is None:
                return content
            return ToolMessage(_written(content), name=self.name, tool_call_id=tool_call_id, artifact=artifact)

        return Recording(name=self.name, dump=_dumped, load=load, failure=_failure)

    def _unsettled(self, error: ToolCallUnsettled, tool_call_id: str | None) -> ToolMessage:
        if tool_call_id is None:
            raise error
        return ToolMessage(short(error), name=self.name, tool_call_id=tool_call_id, status="error")


def recorded_tool(
    tool: BaseTool,
    store: SessionStore,
    session_id: str | None = None,
    user_id: str | None = None,
    *,
    user_id_key: str | None = None,
    idempotency_key: Key | None = None,
) -> BaseTool:
    """The same tool, whose every call is recorded in the session's ledger, under the id that the model gave it.

    It looks the same to a model and behaves the same. A process that dies in the middle leaves the call ``unknown``. A
    call with the id (and arguments) or the idempotency key of one that succeeded does not act again: it gives the
    earlier answer, as when a graph is taken up again after a crash. One whose earlier call is ``unknown`` does not act
    either, and tells the model so as the tool's error, until somebody has said how it ended, by
    ``session.settle_tool_call()``.

    Args:
        tool: any tool. What it answers is recorded as JSON: text and blocks come back, and an artifact that is JSON.
        store: where sessions are kept; one bound to a user works on that user's only.
        session_id: the session of every call; without one, the run's configurable ``session_id`` or ``thread_id``.
        user_id: whose session it is, in every call.
        user_id_key: the configurable field that names the user, as for :func:`create_session_tools`.
        idempotency_key: makes the key of the model's arguments, which it is given by keyword; None for no key.

    Raises:
        InvalidInput: for what is no tool, no store or no function, and for a user other than the store's.
        ToolCallUnsettled: in a call that was not made by a model.
    """
    if not isinstance(tool, BaseTool):
        raise InvalidInput(f"tool: expected a LangChain tool, got {type(tool).__name__}; make one by @tool")
    checked_key(idempotency_key)
    return RecordedTool(tool, RunSession.of(store, session_id, user_id, user_id_key), idempotency_key)


def _dumped(answer: Any) -> Any:
    if not isinstance(answer, ToolMessage):
        return answer
    if answer.artifact is None:
        return answer.content
    return {"content": answer.content, "artifact": plain(answer.artifact)}


def _written(content: Any) -> str | list[Any]:
    """The content of a message, as LangChain makes it of what a tool gives."""
    blocks = isinstance(content, list) and all(isinstance(one, str | dict) for one in content)
    return content if blocks or isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _failure(answer: Any) -> str | None:
    return answer.text if isinstance(answer, ToolMessage) and answer.status == "error" else None
