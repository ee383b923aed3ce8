"""The handle of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent_session_core.files import Files
from agent_session_core.models import Message, ToolCallStatus
from agent_session_core.session.base import Services
from agent_session_core.session.life import SessionLife
from agent_session_core.session.messages import SessionMessages
from agent_session_core.sql.sessions import SessionRow
from agent_session_core.state import SessionState
from agent_session_core.tasks import Task, Tasks
from agent_session_core.tool_calls import RunningToolCall, ToolCall, ToolCalls

__all__ = ["OpenWork", "Session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWork:
    """What a session was in the middle of.

    Attributes:
        tasks: those that are pending or in progress.
        unknown: tool calls whose process is gone; nobody knows whether they acted.
        requested: tool calls a model asked for that were never seen to run.
        last_message: the newest message, or None.
    """

    tasks: tuple[Task, ...]
    unknown: tuple[ToolCall, ...]
    requested: tuple[ToolCall, ...]
    last_message: Message | None


class Session(SessionMessages, SessionLife):
    """One session, live: what it tells of itself is read when it is asked.

    Made by :meth:`SessionStore.session <agent_session_core.SessionStore.session>`. Every method with input or output
    has an async form with the prefix ``a``. The attributes read the database too; from an event loop, prefer one
    ``await session.arecord()``.
    """

    __slots__ = ("_state",)

    def __init__(self, services: Services, tenant: str, row: SessionRow) -> None:
        """For the store, which has found ``row``."""
        super().__init__(services, tenant, row)
        self._state = SessionState(self._database, self._plain_key)

    @property
    def state(self) -> SessionState:
        """The session's variables; those of its user (``.user``) and of the application (``.app``) too."""
        return self._state

    @property
    def files(self) -> Files:
        """The session's files."""
        return Files(self._database, self._plain_key)

    @property
    def tasks(self) -> Tasks:
        """What the session has set out to do."""
        return Tasks(self._database, self._plain_key)

    def tool_call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,
        idempotency_key: str | None = None,
        ids: Literal["strict", "loose"] = "strict",
    ) -> RunningToolCall:
        """A tool call to be recorded while it runs: ``with session.tool_call("book", {...}) as call: ...``.

        Args:
            name: the tool.
            arguments: JSON values by name.
            id: the call's id, where a model gave it one.
            idempotency_key: what makes two calls the same: the second is handed the first's result
                (``call.earlier``), and must not act again. An id does the same for the same name and arguments.
            ids: ``loose`` where ids may come again: one that is another call's is replaced by a new one.

        Raises:
            InvalidInput: naming what cannot be stored; on entering, when the id is another call's.
            ToolCallUnsettled: on entering, when an earlier call with the key or id runs, or ended nobody knows how.
        """
        return self._calls().make(name, arguments, id, idempotency_key, ids)

    def tool_calls(self, status: ToolCallStatus | None = None) -> Sequence[ToolCall]:
        """Every tool call of the current run, made through :meth:`tool_call` or seen in its messages.

        Args:
            status: only those that are ``requested``, ``running``, ``succeeded``, ``failed`` or ``unknown``.

        Raises:
            InvalidInput: for another status.
            SessionNotFound: when the session has been deleted.
        """
        return self._calls().list(status)

    async def atool_calls(self, status: ToolCallStatus | None = None) -> Sequence[ToolCall]:
        """As :meth:`tool_calls`."""
        return await self._calls().alist(status)

    def settle_tool_call(self, id: str, *, result: Any = None, error: str | None = None) -> None:
        """Say how a call ended whose process is gone: with a result, or with an error.

        Raises:
            InvalidInput: when there is no such call, or the result is not JSON.
        """
        self._calls().settle(id, result=result, error=error)

    async def asettle_tool_call(self, id: str, *, result: Any = None, error: str | None = None) -> None:
        """As :meth:`settle_tool_call`."""
        await self._calls().asettle(id, result=result, error=error)

    def open_work(self) -> OpenWork:
        """What the session was in the middle of: where to go on after a crash, a night or a handover.

        Among the unknown calls are those that a rewind has taken back and that still stop others by their
        idempotency key, until :meth:`settle_tool_call` says how they ended.
        """
        calls = [*self.tool_calls(), *self._calls().rewound()]
        last = self.messages(last=1)
        return _open_work(self.tasks.list(open=True), calls, last)

    async def aopen_work(self) -> OpenWork:
        """As :meth:`open_work`."""
        calls = [*await self.atool_calls(), *await self._calls().arewound()]
        last = await self.amessages(last=1)
        return _open_work(await self.tasks.alist(open=True), calls, last)

    def _calls(self) -> ToolCalls:
        return ToolCalls(self._database, self._services.keeper, self._plain_key)


def _open_work(tasks: Sequence[Task], calls: Sequence[ToolCall], last: Sequence[Message]) -> OpenWork:
    return OpenWork(
        tasks=tuple(tasks),
        unknown=tuple(call for call in calls if call.status == "unknown"),
        requested=tuple(call for call in calls if call.status == "requested"),
        last_message=last[-1] if last else None,
    )
