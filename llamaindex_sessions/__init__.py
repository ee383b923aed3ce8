"""Sessions for LlamaIndex: chat stores, a vector store, a retriever, tools and an embedder over one store.

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
    from llamaindex_sessions._recorded_tool import recorded_tool
    from llamaindex_sessions._retriever import SessionRetriever
    from llamaindex_sessions._session_tools import create_session_tools
    from llamaindex_sessions._vector_store import SessionVectorStore

__all__ = [
    "AsyncSessionChatStore",
    "LlamaIndexEmbedder",
    "SessionChatStore",
    "SessionRetriever",
    "SessionVectorStore",
    "create_session_tools",
    "message_to_record",
    "record_to_message",
    "recorded_tool",
]

_HOMES = {
    "AsyncSessionChatStore": "_async_chat_store",
    "LlamaIndexEmbedder": "_embedder",
    "SessionChatStore": "_chat_store",
    "SessionRetriever": "_retriever",
    "SessionVectorStore": "_vector_store",
    "create_session_tools": "_session_tools",
    "message_to_record": "_messages",
    "record_to_message": "_messages",
    "recorded_tool": "_recorded_tool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
