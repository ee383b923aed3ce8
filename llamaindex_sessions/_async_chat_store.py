"""A chat store of LlamaIndex with active and archived messages, for ``Memory.from_defaults(chat_store=...)``."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from agent_session_core import SessionNotFound, SessionStore
from llamaindex_sessions._arguments import archived_of, archived_or_both, records_of, whole
from llamaindex_sessions._opening import StoreBacked
from llamaindex_sessions._reading import asessions_of, read_all, read_one, seqs_at

__all__ = ["AsyncSessionChatStore"]


class AsyncSessionChatStore(StoreBacked, AsyncDBChatStore):
    """Chat histories in a session store, with a status for each message; a key is a session id.

    Every method is one transaction. Archived messages have left the history that a model is shown, and stay readable
    and searchable. What is deleted is taken back from both; only deleting the session itself erases it.

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
        return "AsyncSessionChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """The messages of ``key`` with this status (None: with any), oldest first; empty for a key that is not there.

        A cut inside a turn reaches back, so that no tool's result stands without its call.

        Raises:
            InvalidInput: for a negative limit or offset, and for an unknown status.
        """
        archived = archived_or_both(status)
        if limit == 0:
            return []
        try:
            session = await self._store.asession(key, create=False)
            return read_all(
                await session.amessages(archived=archived, offset=0 if offset is None else offset, limit=limit)
            )
        except SessionNotFound:
            return []

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """How many messages ``key`` has with this status (None: with any); 0 for a key that is not there.

        Raises:
            InvalidInput: for an unknown status.
        """
        archived = archived_or_both(status)
        try:
            return await (await self._store.asession(key, create=False)).acount(archived=archived)
        except SessionNotFound:
            return 0

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Add a message at the end of the history of ``key``.

        Raises:
            InvalidInput: naming what cannot be stored, or an unknown status.
            SessionNotFound: when the key is another user's.
            SessionNotActive: when the session is closed, expired or archived.
        """
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: Sequence[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end of the history of ``key``, all or none. No messages change nothing.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`add_message`.
        """
        records, archived = records_of(messages), archived_of(status)
        if records:
            await (await self._store.asession(key)).aappend(records, ids="loose", archived=archived)

    async def set_messages(
        self, key: str, messages: Sequence[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Make the messages of ``key`` with this status equal to ``messages``, in one step.

        Those of the other status stay, and so does the beginning that is equal.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`add_message`.
        """
        records, archived = records_of(messages), archived_of(status)
        try:
            await (await self._store.asession(key, create=bool(records))).areplace(records, archived=archived)
        except SessionNotFound:
            if records:
                raise

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take back the active message at place ``idx`` (from 0; -1 is the last), and return it, or None.

        Raises:
            InvalidInput: when the place is no whole number.
        """
        place = whole(idx, "idx")
        try:
            session = await self._store.asession(key, create=False)
            if place < -1:
                return read_one(await session.aremove(seqs=seqs_at(await session.amessages(), place)))
            return read_one(await (session.aremove(index=place) if place >= 0 else session.aremove(last=1)))
        except SessionNotFound:
            return None

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Take back the messages of ``key`` with this status (None: with any).

        Raises:
            InvalidInput: for an unknown status; nothing is taken back then.
        """
        archived = archived_or_both(status)
        try:
            await (await self._store.asession(key, create=False)).aremove(archived=archived)
        except SessionNotFound:
            return

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Take back the ``n`` oldest active messages and return them; none for an ``n`` below 1.

        Raises:
            InvalidInput: when ``n`` is no whole number.
        """
        if whole(n, "n") < 1:
            return []
        try:
            return read_all(await (await self._store.asession(key, create=False)).aremove(first=n))
        except SessionNotFound:
            return []

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the ``n`` oldest active messages and return them; none for an ``n`` below 1.

        Raises:
            InvalidInput: when ``n`` is no whole number.
        """
        if whole(n, "n") < 1:
            return []
        try:
            return read_all(await (await self._store.asession(key, create=False)).aset_aside(first=n))
        except SessionNotFound:
            return []

    async def get_keys(self) -> list[str]:
        """The keys with messages of any status, the one that changed last first."""
        return [session.id async for session in asessions_of(self._store) if await session.acount(archived=None)]
