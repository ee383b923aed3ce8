"""Sessions of agents: kept once, durably, and searchable by meaning. The package knows no agent framework.

A caller learns one object, :class:`SessionStore`, and one handle, :class:`Session`.
"""

from __future__ import annotations

from agent_session_core.errors import (
    CorruptRecord,
    DatabaseTooNew,
    EmbeddingChanged,
    IndexUnavailable,
    InvalidInput,
    MessageConflict,
    SessionError,
    SessionExists,
    SessionNotActive,
    SessionNotFound,
    StorageUnavailable,
)
from agent_session_core.models import (
    AudioPart,
    DataPart,
    ErasureReceipt,
    Explanation,
    FilePart,
    ImagePart,
    IndexReport,
    Message,
    Origin,
    Page,
    Part,
    ReasoningPart,
    Role,
    SearchHit,
    SearchResults,
    SessionRecord,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from agent_session_core.ports import Embedder
from agent_session_core.session import Session
from agent_session_core.store import SessionStore
from agent_session_core.transfer import LoadReport

__all__ = [
    "AudioPart",
    "CorruptRecord",
    "DataPart",
    "DatabaseTooNew",
    "Embedder",
    "EmbeddingChanged",
    "ErasureReceipt",
    "Explanation",
    "FilePart",
    "ImagePart",
    "IndexReport",
    "IndexUnavailable",
    "InvalidInput",
    "LoadReport",
    "Message",
    "MessageConflict",
    "Origin",
    "Page",
    "Part",
    "ReasoningPart",
    "Role",
    "SearchHit",
    "SearchResults",
    "Session",
    "SessionError",
    "SessionExists",
    "SessionNotActive",
    "SessionNotFound",
    "SessionRecord",
    "SessionStore",
    "StorageUnavailable",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "Usage",
]
