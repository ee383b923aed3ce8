"""Which session a run of a tool works on: settled when the tool is made, or named by the context of the workflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from llama_index.core.async_utils import asyncio_run
from llama_index.core.workflow import Context

from agent_session_core import InvalidInput, Session, SessionStore
from llamaindex_sessions._opening import chosen

__all__ = ["RunContext", "RunSession"]

RunContext: TypeAlias = Context[Any] | None


@dataclass(frozen=True, slots=True)
class RunSession:
    """The session of a run, made where it is not there.

    Attributes:
        store: where sessions are kept.
        session_id: the session that is settled; None for the one that the workflow's context names.
    """

    store: SessionStore
    session_id: str | None

    @classmethod
    def of(cls, store: SessionStore, session_id: str | None, user_id: str | None) -> RunSession:
        """What is settled and what is not.

        Raises:
            InvalidInput: for what is no store, and for a user other than the store's.
        """
        used, _ = chosen(store, None, user_id)
        return cls(used, session_id)

    def get(self, context: RunContext) -> Session:
        """The session.

        Raises:
            InvalidInput: when the context should name the session, and does not.
            SessionNotFound: when the session is somebody else's.
        """
        session_id, user_id = self._settled() or asyncio_run(self._named(context))
        return self.store.session(session_id, user_id=user_id)

    async def aget(self, context: RunContext) -> Session:
        """As :meth:`get`."""
        session_id, user_id = self._settled() or await self._named(context)
        return await self.store.asession(session_id, user_id=user_id)

    def _settled(self) -> tuple[str, str | None] | None:
        return None if self.session_id is None else (self.session_id, self.store.user_id)

    async def _named(self, context: RunContext) -> tuple[str, str | None]:
        session_id = None if context is None else await context.store.get("session_id", default=None)
        if context is None or session_id is None:
            raise InvalidInput(
                "session_id: the run names no session; give the tool one, or say ctx.store.set('session_id', ...)"
            )
        return session_id, self.store.user_id or await context.store.get("user_id", default=None)
