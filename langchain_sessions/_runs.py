"""Which session a run of a tool works on: settled when the tool is made, or named by the configuration of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_session_core import InvalidInput, SessionStore

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from agent_session_core import Session

__all__ = ["CURRENT", "RunSession", "configured", "user_of"]

CURRENT = ("session_id", "thread_id")
"""The configurable fields that name the session that is going on."""


def configured(config: RunnableConfig | None) -> Mapping[str, Any]:
    """The configurable fields of a run."""
    return (config or {}).get("configurable") or {}


def user_of(configurable: Mapping[str, Any], settled: str | None, key: str | None) -> str | None:
    """Whose sessions: settled when the tool was made, else named by the run.

    Args:
        configurable: the fields of the run.
        settled: the user who is settled.
        key: the field that must name the user; None for ``user_id``, where the run has it.

    Raises:
        InvalidInput: when the run should name a user and does not.
    """
    if settled is not None:
        return settled
    user = configurable.get(key or "user_id")
    if key is None and user is None:
        return None
    if not isinstance(user, str) or not user:
        raise InvalidInput(f"{key or 'user_id'}: the run names no user; set it in config['configurable']")
    return user


@dataclass(frozen=True, slots=True)
class RunSession:
    """The session of a run, made where it is not there.

    Attributes:
        store: where sessions are kept.
        session_id: the session that is settled; None for the one that the run names.
        user_key: the configurable field that must name the user, where none is settled.
    """

    store: SessionStore
    session_id: str | None
    user_key: str | None

    @classmethod
    def of(cls, store: SessionStore, session_id: str | None, user_id: str | None, user_key: str | None) -> RunSession:
        """What is settled and what is not.

        Raises:
            InvalidInput: for what is no store, and for a user other than the store's.
        """
        if not isinstance(store, SessionStore):
            raise InvalidInput(
                f"store: expected a SessionStore, got {type(store).__name__}; make one by SessionStore.open()"
            )
        return cls(store if user_id is None else store.for_user(user_id), session_id, user_key)

    def get(self, config: RunnableConfig | None) -> Session:
        """The session.

        Raises:
            InvalidInput: when the run should name the session or the user, and does not.
            SessionNotFound: when the session is somebody else's.
        """
        session_id, user_id = self._named(configured(config))
        return self.store.session(session_id, user_id=user_id)

    async def aget(self, config: RunnableConfig | None) -> Session:
        """As :meth:`get`."""
        session_id, user_id = self._named(configured(config))
        return await self.store.asession(session_id, user_id=user_id)

    def _named(self, configurable: Mapping[str, Any]) -> tuple[str, str | None]:
        named = [configurable[key] for key in CURRENT if isinstance(configurable.get(key), str)]
        session_id = self.session_id if self.session_id is not None else next(iter(named), None)
        if session_id is None:
            raise InvalidInput(
                "session_id: the run names no session; set it in config['configurable'], or give the tool one"
            )
        return session_id, user_of(configurable, self.store.user_id, self.user_key)
