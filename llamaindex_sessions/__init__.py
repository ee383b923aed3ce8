"""Sessions for LlamaIndex: chat stores, a retriever and an embedder over one shared store."""

from __future__ import annotations

from llamaindex_sessions._async_chat_store import AsyncSessionChatStore
from llamaindex_sessions._chat_store import SessionChatStore
from llamaindex_sessions._embedder import LlamaIndexEmbedder
from llamaindex_sessions._messages import message_to_record, record_to_message
from llamaindex_sessions._retriever import SessionRetriever

__all__ = [
    "AsyncSessionChatStore",
    "LlamaIndexEmbedder",
    "SessionChatStore",
    "SessionRetriever",
    "message_to_record",
    "record_to_message",
]
