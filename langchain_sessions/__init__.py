"""Sessions for LangChain: histories, a retriever, and tools with which an agent works on its session.

Each name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_sessions._embedder import LangChainEmbedder
    from langchain_sessions._history import SessionChatMessageHistory
    from langchain_sessions._messages import message_to_record, record_to_message
    from langchain_sessions._recorded_tool import recorded_tool
    from langchain_sessions._retriever import SessionRetriever
    from langchain_sessions._search_tool import create_session_search_tool
    from langchain_sessions._session_tools import create_session_tools

__all__ = [
    "LangChainEmbedder",
    "SessionChatMessageHistory",
    "SessionRetriever",
    "create_session_search_tool",
    "create_session_tools",
    "message_to_record",
    "record_to_message",
    "recorded_tool",
]

_HOMES = {
    "LangChainEmbedder": "_embedder",
    "SessionChatMessageHistory": "_history",
    "SessionRetriever": "_retriever",
    "create_session_search_tool": "_search_tool",
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
