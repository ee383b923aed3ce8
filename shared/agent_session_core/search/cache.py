"""The scopes that were searched lately, kept in memory up to a limit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from agent_session_core.search.scope import Scope

__all__ = ["Key", "ScopeCache"]

Key: TypeAlias = "tuple[str, str | None, int]"
"""Tenant, user and the generation of the index."""


class ScopeCache:
    """Least recently used scopes go first. May be used from several threads.

    Args:
        most_bytes: memory that the scopes may take together; a scope that is larger by itself is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._scopes: OrderedDict[Key, tuple[Scope, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Scope | None:
        """The scope as it was last seen."""
        with self._lock:
            found = self._scopes.get(key)
            if found is None:
                return None
            self._scopes.move_to_end(key)
            return found[0]

    def put(self, key: Key, scope: Scope) -> None:
        """Keep ``scope``, in place of what was kept under this key."""
        size = scope.arrays.bytes
        with self._lock:
            self._drop(key)
            if size <= self.most_bytes:
                self._scopes[key] = scope, size
                self._bytes += size
            while self._bytes > self.most_bytes:
                self._drop(next(iter(self._scopes)))

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._scopes.clear()
            self._bytes = 0

    def _drop(self, key: Key) -> None:
        found = self._scopes.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
