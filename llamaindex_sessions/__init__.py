"""Sessions for LlamaIndex: chat stores, a retriever and an embedder over one shared store."""

from __future__ import annotations

from llamaindex_sessions._messages import message_to_record, record_to_message

__all__ = ["message_to_record", "record_to_message"]
