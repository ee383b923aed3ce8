"""Histories for ``RunnableWithMessageHistory``: made anew for every call, and true to that call.

The runnable reads the history before it calls the model, and once more after, to cut off of its own input as many
messages as the history has. Where another call of the session has finished in between, or ``last`` is set, it cuts off
too much and loses the user's message. So within one call the second read answers what the first did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_core.messages import BaseMessage
from langchain_core.runnables.config import ensure_config

from agent_session_core import InvalidInput, SessionError
from langchain_sessions._history import SessionChatMessageHistory
from langchain_sessions._stores import Closing, store_of

if TYPE_CHECKING:
    from agent_session_core import SessionStore

__all__ = ["HistoryFactory", "OnUnsaved"]

OnUnsaved: TypeAlias = Callable[[SessionError, Sequence[BaseMessage]], None]

_NOT_ASKED: Final[Any] = object()
_logger = logging.getLogger("langchain_sessions")


class HistoryFactory(Closing):
    """Makes the history of each call; see :meth:`SessionChatMessageHistory.factory`."""

    def __init__(
        self,
        store: SessionStore | None,
        *,
        url: str | None,
        user_id: str | None,
        last: int | None,
        on_unsaved: OnUnsaved | None,
    ) -> None:
        store, self._opened = store_of(store, url)
        self._store = store if user_id is None else store.for_user(user_id)
        self._last = last
        self._on_unsaved = on_unsaved

    def __repr__(self) -> str:
        return f"{type(self).__name__}(user_id={self._store.user_id!r})"

    def __call__(self, session_id: str, user_id: str = _NOT_ASKED) -> SessionChatMessageHistory:
        """The history of one call.

        Args:
            session_id: the session.
            user_id: whose it is, where ``history_factory_config`` declares the field.

        Raises:
            InvalidInput: when the field is declared and the call leaves it empty: no user must not mean every user.
        """
        store = self._store
        if user_id is not _NOT_ASKED:
            if not user_id:
                raise InvalidInput("user_id: the call names no user; set it in config['configurable']")
            store = store.for_user(user_id)
        return _CallHistory(session_id, store, self._last, self._on_unsaved)


class _CallHistory(SessionChatMessageHistory):
    """The history as one call of a runnable sees it: within the call as of its beginning, anywhere else as it is."""

    def __init__(self, session_id: str, store: SessionStore, last: int | None, on_unsaved: OnUnsaved | None) -> None:
        super().__init__(session_id, store=store, last=last)
        self._on_unsaved = on_unsaved
        self._at_start: list[BaseMessage] | None = None

    def _read(self) -> list[BaseMessage]:
        if not self._in_call():
            return super()._read()
        if self._at_start is None:
            self._at_start = super()._read()
        return list(self._at_start)

    async def _aread(self) -> list[BaseMessage]:
        if not self._in_call():
            return await super()._aread()
        if self._at_start is None:
            self._at_start = await super()._aread()
        return list(self._at_start)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add the messages of the call; what cannot be stored is reported before the runnable swallows the error."""
        self._at_start = None
        try:
            super().add_messages(messages)
        except SessionError as error:
            self._report(error, messages)
            raise

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As :meth:`add_messages`."""
        self._at_start = None
        try:
            await super().aadd_messages(messages)
        except SessionError as error:
            self._report(error, messages)
            raise

    def _in_call(self) -> bool:
        return ensure_config().get("configurable", {}).get("message_history") is self

    def _report(self, error: SessionError, messages: Sequence[BaseMessage]) -> None:
        _logger.error(
            "session %r: %d messages were not stored (%s)", self.session_id, len(messages), type(error).__name__
        )
        if self._on_unsaved is not None:
            self._on_unsaved(error, messages)
