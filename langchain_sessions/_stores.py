"""Which store a part of this package works on, and who closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from agent_session_core import InvalidInput, SessionStore

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Closing", "store_of"]

Self = TypeVar("Self", bound="Closing")


def store_of(store: SessionStore | None, url: str | None) -> tuple[SessionStore, SessionStore | None]:
    """The store to use, and the same again where it was opened here and is to be closed here.

    Raises:
        InvalidInput: unless exactly one of the two is given. The URL is not shown: it may hold a password.
        StorageUnavailable: when the database at ``url`` cannot be opened.
    """
    if (store is None) == (url is None):
        raise InvalidInput("store: give either store= or url=, one of the two")
    if store is None:
        if not isinstance(url, str):
            raise InvalidInput(f"url: expected a string, got {type(url).__name__}; give store= for an open store")
        opened = SessionStore.open(url)
        return opened, opened
    if not isinstance(store, SessionStore):
        raise InvalidInput(
            f"store: expected a SessionStore, got {type(store).__name__}; make one by SessionStore.open()"
        )
    return store, None


class Closing:
    """Closes what was opened from ``url=``, and nothing that was handed over as ``store=``."""

    _opened: SessionStore | None

    def close(self) -> None:
        """Close the store if it was opened here. Closing twice is fine."""
        if self._opened is not None:
            self._opened.close()

    async def aclose(self) -> None:
        """As :meth:`close`."""
        if self._opened is not None:
            await self._opened.aclose()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
