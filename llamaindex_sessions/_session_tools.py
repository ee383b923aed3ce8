"""The tools with which an agent works on its session: state, tasks, files and the past."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput

from agent_session_core import InvalidInput, Session, SessionStore
from agent_session_core.errors import SessionError
from agent_session_core.tooling import MAX_CHARACTERS, Desk, SessionTool, short
from agent_session_core.tools import SESSION_TOOLS
from llamaindex_sessions._runs import RunSession

__all__ = ["create_session_tools"]

CONTEXT = "session_context"
"""Under this name an agent hands its context to a tool."""


class LentTool(FunctionTool):
    """One of the tools of :func:`create_session_tools`."""

    def __init__(self, tool: SessionTool, sessions: RunSession, *, prefix: str, most: int, everybody: bool) -> None:
        self._tool = tool
        self._sessions = sessions
        self._most = most
        self._everybody = everybody
        self._schema = schema_of(tool)
        metadata = ToolMetadata(tool.description, name=f"{prefix}{tool.name}", fn_schema=self._schema)
        super().__init__(fn=self._run, async_fn=self._arun, metadata=metadata)
        self.requires_context = sessions.session_id is None
        self.ctx_param_name = CONTEXT if self.requires_context else None

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """The tool's answer; what goes wrong in it is its answer too, marked as an error."""
        given = self._named(args, kwargs)
        desk = self._desk(self._sessions.get(given.pop(CONTEXT, None)))
        try:
            return self._output(given, self._tool.run(desk, self._checked(given)))
        except (SessionError, ValidationError) as error:
            return self._failed(given, error)

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """As :meth:`call`."""
        given = self._named(args, kwargs)
        desk = self._desk(await self._sessions.aget(given.pop(CONTEXT, None)))
        try:
            return self._output(given, await self._tool.arun(desk, self._checked(given)))
        except (SessionError, ValidationError) as error:
            return self._failed(given, error)

    def _run(self, **arguments: Any) -> str:
        return self.call(**arguments).content

    async def _arun(self, **arguments: Any) -> str:
        return (await self.acall(**arguments)).content

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        return {**dict(zip(self._tool.parameters, args, strict=False)), **kwargs}

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        return dict(self._schema.model_validate(given))

    def _desk(self, session: Session) -> Desk:
        return Desk(store=self._sessions.store, session=session, most=self._most, everybody=self._everybody)

    def _output(self, given: dict[str, Any], answer: str) -> ToolOutput:
        return ToolOutput(
            content=answer, tool_name=self.metadata.get_name(), raw_input={"kwargs": given}, raw_output=answer
        )

    def _failed(self, given: dict[str, Any], error: SessionError | ValidationError) -> ToolOutput:
        told = short(error) if isinstance(error, SessionError) else _told(error)
        return ToolOutput(
            content=told,
            tool_name=self.metadata.get_name(),
            raw_input={"kwargs": given},
            raw_output=told,
            is_error=True,
            exception=error,
        )


def schema_of(tool: SessionTool) -> type[BaseModel]:
    """What a model may give to ``tool``."""
    fields: dict[str, Any] = {
        name: (given.annotation, Field(default=given.default, description=given.description))
        for name, given in tool.parameters.items()
    }
    return create_model(tool.name, __config__=ConfigDict(hide_input_in_errors=True), **fields)


def create_session_tools(
    store: SessionStore,
    session_id: str | None = None,
    user_id: str | None = None,
    *,
    search_everybody: bool = False,
    max_characters: int = MAX_CHARACTERS,
    prefix: str = "",
) -> list[FunctionTool]:
    """The tools with which an agent works on its session; each is sync and async.

    They are ``read_state`` and ``set_state`` (of the session, and of its user), ``add_task``, ``update_task`` and
    ``list_tasks``, ``save_file``, ``list_files`` and ``read_file`` (text), and ``search_past``. Which session and whose
    it is, is settled here or comes from the workflow's context; the model cannot name them. The session is made where
    it is not there.

    What goes wrong in a tool comes back to the model as the tool's error, in one line. So does, inside an agent, that a
    run does not name its session: the agent goes on, and its tools do nothing.

    Args:
        store: where sessions are kept; one bound to a user works on that user's only.
        session_id: the session of every call; without one, the ``session_id`` in the store of the workflow's context,
            put there by ``await ctx.store.set("session_id", ...)``; whose it is, is its ``user_id``.
        user_id: whose session it is, in every call.
        search_everybody: whether ``search_past`` of a session without a user sees all that the store can see; else it
            sees that session alone. In a session with a user it sees this user's sessions, always.
        max_characters: about the most characters of an answer, 500 to 1,000,000; what is longer is read in pieces.
        prefix: before the name of each tool, where an agent has others with such names.

    Raises:
        InvalidInput: for what is no store, a user other than the store's, and a number out of range.
    """
    if (
        isinstance(max_characters, bool)
        or not isinstance(max_characters, int)
        or not 500 <= max_characters <= 1_000_000
    ):
        raise InvalidInput(f"max_characters: {max_characters!r:.60} is out of range; give 500 to 1,000,000")
    if not isinstance(prefix, str):
        raise InvalidInput(f"prefix: expected a string, got {type(prefix).__name__}")
    sessions = RunSession.of(store, session_id, user_id)
    return [
        LentTool(tool, sessions, prefix=prefix, most=max_characters, everybody=search_everybody)
        for tool in SESSION_TOOLS
    ]


def _told(error: ValidationError) -> str:
    """What the model is told of arguments that cannot be used."""
    wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
    return "; ".join(wrong)[:500]
