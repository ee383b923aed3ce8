"""A chat store of LlamaIndex whose keys are sessions, for ``ChatMemoryBuffer`` and its like."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore

from agent_session_core import SessionNotFound, SessionStore
from llamaindex_sessions._arguments import records_of, whole
from llamaindex_sessions._messages import message_to_record
from llamaindex_sessions._opening import StoreBacked
from llamaindex_sessions._reading import asessions_of, read_all, read_one, seqs_at, sessions_of

__all__ = ["SessionChatStore"]


class SessionChatStore(StoreBacked, BaseChatStore):
    """Chat histories in a session store; a key is a session id.

    Every change is one transaction. What is deleted or replaced here is taken back from the history and from search;
    only deleting the session itself erases it. The sync methods use no event loop, so they work inside a running one.

    Args:
        store: an open store, which stays the caller's to close.
        url: a database to open in its place; :meth:`close` closes it.
        user_id: whose sessions these are: sessions of others answer like keys that do not exist.

    Raises:
        InvalidInput: unless exactly one of ``store`` and ``url`` is given.
        StorageUnavailable: when the database cannot be opened; from every method, when it cannot be reached.
    """

    def __init__(
        self, store: SessionStore | None = None, *, url: str | None = None, user_id: str | None = None
    ) -> None:
        super().__init__(store, url=url, user_id=user_id)

    @classmethod
    def class_name(cls) -> str:
        """The name by which LlamaIndex tells components apart."""
        return "SessionChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Make the history of ``key`` equal to ``messages``, in one step; its equal beginning is left untouched.

        A message that another framework wrote is taken for changed where it says more than what both understand, by its
        ``additional_kwargs`` for one; it is then LlamaIndex's.

        Raises:
            InvalidInput: naming what cannot be stored; nothing has changed then.
            SessionNotFound: when the key is another user's.
            SessionNotActive: when the session is closed, expired or archived.
        """
        records = records_of(messages)
        try:
            self._store.session(key, create=bool(records)).replace(records)
        except SessionNotFound:
            if records:
                raise

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """As :meth:`set_messages`."""
        records = records_of(messages)
        try:
            await (await self._store.asession(key, create=bool(records))).areplace(records)
        except SessionNotFound:
            if records:
                raise

    def get_messages(self, key: str) -> list[ChatMessage]:
        """The history of ``key``, oldest first: a new list each time; empty for a key that is not there.

        A tool's result whose call was deleted is left out.
        """
        try:
            return read_all(self._store.session(key, create=False).messages())
        except SessionNotFound:
            return []

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """As :meth:`get_messages`."""
        try:
            return read_all(await (await self._store.asession(key, create=False)).amessages())
        except SessionNotFound:
            return []

    def add_message(self, key: str, message: ChatMessage) -> None:
        """Add a message at the end of the history of ``key``.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`set_messages`.
        """
        record = message_to_record(message)
        self._store.session(key).append(record, ids="loose")

    async def async_add_message(self, key: str, message: ChatMessage) -> None:
        """As :meth:`add_message`."""
        record = message_to_record(message)
        await (await self._store.asession(key)).aappend(record, ids="loose")

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Take back the history of ``key``, and return it; None where there is none."""
        try:
            return read_all(self._store.session(key, create=False).remove()) or None
        except SessionNotFound:
            return None

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """As :meth:`delete_messages`."""
        try:
            return read_all(await (await self._store.asession(key, create=False)).aremove()) or None
        except SessionNotFound:
            return None

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back the message at place ``idx`` (from 0; -1 is the last), and return it; None where there is none.

        Raises:
            InvalidInput: when the place is no whole number.
        """
        place = whole(idx, "idx")
        try:
            session = self._store.session(key, create=False)
            if place < -1:
                return read_one(session.remove(seqs=seqs_at(session.messages(), place)))
            return read_one(session.remove(index=place) if place >= 0 else session.remove(last=1))
        except SessionNotFound:
            return None

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """As :meth:`delete_message`."""
        place = whole(idx, "idx")
        try:
            session = await self._store.asession(key, create=False)
            if place < -1:
                return read_one(await session.aremove(seqs=seqs_at(await session.amessages(), place)))
            return read_one(await (session.aremove(index=place) if place >= 0 else session.aremove(last=1)))
        except SessionNotFound:
            return None

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Take back the newest message of ``key``, and return it; None where there is none."""
        return self.delete_message(key, -1)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """As :meth:`delete_last_message`."""
        return await self.adelete_message(key, -1)

    def get_keys(self) -> list[str]:
        """The keys with messages, the one that changed last first."""
        return [session.id for session in sessions_of(self._store) if session.count(archived=None)]

    async def aget_keys(self) -> list[str]:
        """As :meth:`get_keys`."""
        return [session.id async for session in asessions_of(self._store) if await session.acount(archived=None)]
