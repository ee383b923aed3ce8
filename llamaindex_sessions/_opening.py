"""The store behind a component of this package: one that is handed over, or one opened for it."""

from __future__ import annotations

from typing import Any

from llama_index.core.bridge.pydantic import BaseModel, Field, PrivateAttr
from typing_extensions import Self

from agent_session_core import InvalidInput, SessionStore

__all__ = ["StoreBacked", "chosen"]


def chosen(
    store: SessionStore | None, url: str | None, user_id: str | None
) -> tuple[SessionStore, SessionStore | None]:
    """The store to use, bound to the user where there is one; and what was opened for it and must be closed.

    Raises:
        InvalidInput: unless exactly one of ``store`` and ``url`` is given.
        StorageUnavailable: when the URL cannot be opened.
    """
    opened = None
    if store is not None and not isinstance(store, SessionStore):
        raise InvalidInput(f"store: expected a SessionStore, got {type(store).__name__}; use SessionStore.open(...)")
    if store is None and url is not None:
        store = opened = SessionStore.open(url)
    elif store is None or url is not None:
        raise InvalidInput("store: give either store=SessionStore.open(...) or url='sqlite:///sessions.db'")
    try:
        return (store if user_id is None else store.for_user(user_id)), opened
    except InvalidInput:
        if opened is not None:
            opened.close()
        raise


class StoreBacked(BaseModel):
    """A pydantic component over a store. What it dumps and shows names the user, never a database or a client."""

    user_id: str | None = Field(default=None, description="Whose sessions these are; None for the whole tenant's.")

    _store: SessionStore = PrivateAttr()
    _opened: SessionStore | None = PrivateAttr(default=None)

    def __init__(
        self, store: SessionStore | None = None, *, url: str | None = None, user_id: str | None = None
    ) -> None:
        used, opened = chosen(store, url, user_id)
        super().__init__(user_id=used.user_id)
        self._store = used
        self._opened = opened

    def close(self) -> None:
        """Close the store if it was opened here, from ``url=``; one that was handed over stays open."""
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """As :meth:`close`."""
        if self._opened is not None:
            await self._opened.aclose()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Another handle of the same store: a database is not copied with the agent that uses it."""
        return self.model_copy()
