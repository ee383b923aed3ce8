"""Sessions for LlamaIndex: chat stores, a vector store, a retriever and an embedder over one shared store.

Each name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llamaindex_sessions._async_chat_store import AsyncSessionChatStore
    from llamaindex_sessions._chat_store import SessionChatStore
    from llamaindex_sessions._embedder import LlamaIndexEmbedder
    from llamaindex_sessions._messages import message_to_record, record_to_message
    from llamaindex_sessions._retriever import SessionRetriever
    from llamaindex_sessions._vector_store import SessionVectorStore

__all__ = [
    "AsyncSessionChatStore",
    "LlamaIndexEmbedder",
    "SessionChatStore",
    "SessionRetriever",
    "SessionVectorStore",
    "message_to_record",
    "record_to_message",
]

_HOMES = {
    "AsyncSessionChatStore": "_async_chat_store",
    "LlamaIndexEmbedder": "_embedder",
    "SessionChatStore": "_chat_store",
    "SessionRetriever": "_retriever",
    "SessionVectorStore": "_vector_store",
    "message_to_record": "_messages",
    "record_to_message": "_messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
