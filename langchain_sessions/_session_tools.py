"""The tools with which an agent works on its session: state, tasks, files and the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, create_model

from agent_session_core import InvalidInput
from agent_session_core.errors import SessionError
from agent_session_core.tooling import MAX_CHARACTERS, Desk, SessionTool, short
from agent_session_core.tools import SESSION_TOOLS
from langchain_sessions._runs import RunSession

if TYPE_CHECKING:
    from agent_session_core import Session, SessionStore

__all__ = ["create_session_tools"]


def _told(error: ValidationError) -> str:
    """What the model is told of arguments that cannot be used."""
    wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False)]
    return "; ".join(wrong)[:500]


class LentTool(BaseTool):
    """One of the tools of :func:`create_session_tools`."""

    model_config = ConfigDict(hide_input_in_errors=True)

    args_schema: type[BaseModel] = Field(exclude=True, repr=False)
    handle_tool_error: bool = True
    handle_validation_error: Any = Field(default=_told, exclude=True, repr=False)
    max_characters: int = Field(default=MAX_CHARACTERS, ge=500, le=1_000_000)
    search_everybody: bool = False

    _tool: SessionTool = PrivateAttr()
    _sessions: RunSession = PrivateAttr()

    def __init__(self, tool: SessionTool, sessions: RunSession, **fields: Any) -> None:
        super().__init__(
            name=f"{fields.pop('prefix')}{tool.name}",
            description=tool.description,
            args_schema=schema_of(tool),
            **fields,
        )
        self._tool = tool
        self._sessions = sessions

    def _run(self, *, config: RunnableConfig, **arguments: Any) -> str:
        desk = self._desk(self._sessions.get(config))
        try:
            return self._tool.run(desk, arguments)
        except SessionError as error:
            raise ToolException(short(error)) from error

    async def _arun(self, *, config: RunnableConfig, **arguments: Any) -> str:
        desk = self._desk(await self._sessions.aget(config))
        try:
            return await self._tool.arun(desk, arguments)
        except SessionError as error:
            raise ToolException(short(error)) from error

    def _desk(self, session: Session) -> Desk:
        return Desk(
            store=self._sessions.store, session=session, most=self.max_characters, everybody=self.search_everybody
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
    user_id_key: str | None = None,
    search_everybody: bool = False,
    max_characters: int = MAX_CHARACTERS,
    prefix: str = "",
) -> list[BaseTool]:
    """The tools with which an agent works on its session; each is sync and async.

    They are ``read_state`` and ``set_state`` (of the session, and of its user), ``add_task``, ``update_task`` and
    ``list_tasks``, ``save_file``, ``list_files`` and ``read_file`` (text), and ``search_past``. Which session and whose
    it is, is settled here or comes from the configuration of the run; the model cannot name them. The session is made
    where it is not there.

    What goes wrong in a tool comes back to the model as the tool's error, in one line. A run that does not name what it
    must name is refused.

    Args:
        store: where sessions are kept; one bound to a user works on that user's only.
        session_id: the session of every call; without one, the run's configurable ``session_id`` or ``thread_id``.
        user_id: whose session it is, in every call.
        user_id_key: the configurable field that names the user; a run without it is refused. Left out, the field
            ``user_id`` is used where a run has it.
        search_everybody: whether ``search_past`` of a session without a user sees all that the store can see; else it
            sees that session alone. In a session with a user it sees this user's sessions, always.
        max_characters: about the most characters of an answer, 500 to 1,000,000; what is longer is read in pieces.
        prefix: before the name of each tool, where an agent has others with such names.

    Raises:
        InvalidInput: for what is no store, and for a user other than the store's.
        ValidationError: for a number out of range.
    """
    if not isinstance(prefix, str):
        raise InvalidInput(f"prefix: expected a string, got {type(prefix).__name__}")
    sessions = RunSession.of(store, session_id, user_id, user_id_key)
    return [
        LentTool(tool, sessions, prefix=prefix, max_characters=max_characters, search_everybody=search_everybody)
        for tool in SESSION_TOOLS
    ]
