"""The history of one chat, kept in a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_core.chat_history import BaseChatMessageHistory

from agent_session_core import InvalidInput, SessionNotFound
from langchain_sessions._chunks import added_up
from langchain_sessions._messages import message_to_record, record_to_message
from langchain_sessions._stores import Closing, store_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from agent_session_core import Session, SessionStore
    from langchain_sessions._chains import HistoryFactory, OnUnsaved

__all__ = ["SessionChatMessageHistory"]

T = TypeVar("T")


class SessionChatMessageHistory(Closing, BaseChatMessageHistory):
    """A LangChain chat message history, kept in a session.

    The session is made by the first message that is added; until then the history is empty. Everything works from
    any thread and event loop, sync and async alike.

    Args:
        session_id: the session, 1-512 characters.
        store: where sessions are kept.
        url: a database URL in place of ``store``; the history opens it, and :meth:`close` closes it.
        user_id: whose session it is. Sessions of others answer like ones that do not exist.
        last: read only the newest n messages, and as many more as it takes not to begin with a tool's result.
        agent_id: for a session that is made here: the agent it is made for.
        title: for a session that is made here: what it is about.
        metadata: for a session that is made here: JSON values of the caller's.

    Raises:
        InvalidInput: naming the argument that cannot be used.
    """

    def __init__(
        self,
        session_id: str,
        *,
        store: SessionStore | None = None,
        url: str | None = None,
        user_id: str | None = None,
        last: int | None = None,
        agent_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(session_id, str):
            raise InvalidInput(f"session_id: expected a string, got {type(session_id).__name__}; use str(...)")
        if last is not None and (not isinstance(last, int) or isinstance(last, bool) or last < 1):
            raise InvalidInput(f"last: {last!r:.60} is no number of messages; give 1 or more, or None for all")
        store, self._opened = store_of(store, url)
        self._store = store if user_id is None else store.for_user(user_id)
        self._last = last
        self._made_with: dict[str, Any] = {"agent_id": agent_id, "title": title, "metadata": metadata}
        self._session: Session | None = None
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r}, user_id={self.user_id!r})"

    @property
    def user_id(self) -> str | None:
        """Whose session it is, or None where the store is the application's own view."""
        return self._store.user_id

    @classmethod
    def factory(
        cls,
        store: SessionStore | None = None,
        *,
        url: str | None = None,
        user_id: str | None = None,
        last: int | None = None,
        on_unsaved: OnUnsaved | None = None,
    ) -> HistoryFactory:
        """What ``RunnableWithMessageHistory`` takes as ``get_session_history``.

        By default the runnable passes on one configurable field, the session id. Declare ``session_id`` and
        ``user_id`` in its ``history_factory_config``, and every call reaches the sessions of its user only.

        Args:
            store: where sessions are kept.
            url: a database URL in place of ``store``; the factory opens it, and its ``close()`` closes it.
            user_id: the user of every call; leave it out where the calls name their user.
            last: as for the history itself.
            on_unsaved: called with the error and the messages when a call's messages could not be stored. The
                runnable itself only logs that, and answers as if nothing had happened.

        Raises:
            InvalidInput: naming the argument that cannot be used.
        """
        from langchain_sessions._chains import HistoryFactory  # it builds on this module

        return HistoryFactory(store, url=url, user_id=user_id, last=last, on_unsaved=on_unsaved)

    @property
    def messages(self) -> list[BaseMessage]:
        """The messages, oldest first: equal to those that were added, streamed chunks as what they add up to.

        Setting it replaces the whole history in one step; the beginning that is equal stays as it is stored. A message
        that another framework wrote is taken for changed where it says more than what both understand, or its id is
        another one; it is then LangChain's.

        Raises:
            InvalidInput: when it is set while ``last`` shows only a part.
            SessionNotActive: when it is set and the session is closed, expired or archived.
        """
        return self._read()

    @messages.setter
    def messages(self, messages: Sequence[BaseMessage]) -> None:
        if self._last is not None:
            raise InvalidInput(f"messages: only the last {self._last} are seen here; replace all without last=")
        records = [message_to_record(message) for message in added_up(messages)]
        self._with_session(lambda session: session.replace(records), create=True)

    async def aget_messages(self) -> list[BaseMessage]:
        """As :attr:`messages`."""
        return await self._aread()

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages at the end, all or none; once this returns they survive a power cut.

        Ids that frameworks repeat do no harm: a message whose id is taken is stored under another and reads back with
        its own. Only the same messages sent again from the first on are not stored twice. Chunks of one streamed
        message are added up.

        Raises:
            InvalidInput: naming what cannot be stored.
            SessionNotFound: when the session belongs to somebody else.
            SessionNotActive: when the session is closed, expired or archived.
        """
        records = [message_to_record(message) for message in added_up(messages)]
        if records:
            self._with_session(lambda session: session.append(records, ids="loose"), create=True)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """As :meth:`add_messages`; cancelled, it stored all or nothing."""
        records = [message_to_record(message) for message in added_up(messages)]
        if records:
            await self._awith_session(lambda session: session.aappend(records, ids="loose"), create=True)

    def clear(self) -> None:
        """Take all messages back. They are no longer read or found; deleting the session destroys them.

        Raises:
            SessionNotActive: when the session is closed, expired or archived.
        """
        try:
            self._with_session(lambda session: session.remove(), create=False)
        except SessionNotFound:
            return

    async def aclear(self) -> None:
        """As :meth:`clear`."""
        try:
            await self._awith_session(lambda session: session.aremove(), create=False)
        except SessionNotFound:
            return

    def _read(self) -> list[BaseMessage]:
        try:
            records = self._with_session(lambda session: session.messages(self._last), create=False)
        except SessionNotFound:
            return []
        return [record_to_message(record) for record in records]

    async def _aread(self) -> list[BaseMessage]:
        try:
            records = await self._awith_session(lambda session: session.amessages(self._last), create=False)
        except SessionNotFound:
            return []
        return [record_to_message(record) for record in records]

    def _with_session(self, work: Callable[[Session], T], *, create: bool) -> T:
        """Do ``work`` on the session; where it was deleted meanwhile, on the one that has the id now."""
        if self._session is not None:
            try:
                return work(self._session)
            except SessionNotFound:
                self._session = None
        session = self._session = self._store.session(self.session_id, create=create, **self._made_with)
        return work(session)

    async def _awith_session(self, work: Callable[[Session], Awaitable[T]], *, create: bool) -> T:
        if self._session is not None:
            try:
                return await work(self._session)
            except SessionNotFound:
                self._session = None
        session = self._session = await self._store.asession(self.session_id, create=create, **self._made_with)
        return await work(session)
