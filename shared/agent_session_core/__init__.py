"""Sessions of agents: kept once, durably, and searchable by meaning. The package knows no agent framework.

A caller learns one object, :class:`SessionStore`, and one handle, :class:`Session`.
"""

from __future__ import annotations

from agent_session_core.errors import (
    CorruptRecord,
    DatabaseTooNew,
    EmbeddingChanged,
    FileNotInSession,
    IndexUnavailable,
    InvalidInput,
    MessageConflict,
    SessionError,
    SessionExists,
    SessionNotActive,
    SessionNotFound,
    StateConflict,
    StorageUnavailable,
    TaskNotFound,
    ToolCallUnsettled,
    TurnTaken,
)
from agent_session_core.files import Files, FileVersion
from agent_session_core.leases import Turn
from agent_session_core.lifecycle import Retention, Sweeper, SweepReport
from agent_session_core.models import (
    AudioPart,
    DataPart,
    ErasureReceipt,
    Explanation,
    FilePart,
    FileReference,
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
from agent_session_core.recording import recorded
from agent_session_core.search.elastic.settings import ElasticsearchIndex
from agent_session_core.session import OpenWork, Session
from agent_session_core.state import ScopedState, SessionState, StateWrite
from agent_session_core.store import SessionStore
from agent_session_core.tasks import Task, TaskRecord, Tasks
from agent_session_core.telemetry import Telemetry
from agent_session_core.tool_calls import RunningToolCall, ToolCall
from agent_session_core.transfer import LoadReport

__all__ = [
    "AudioPart",
    "CorruptRecord",
    "DataPart",
    "DatabaseTooNew",
    "ElasticsearchIndex",
    "Embedder",
    "EmbeddingChanged",
    "ErasureReceipt",
    "Explanation",
    "FileNotInSession",
    "FilePart",
    "FileReference",
    "FileVersion",
    "Files",
    "ImagePart",
    "IndexReport",
    "IndexUnavailable",
    "InvalidInput",
    "LoadReport",
    "Message",
    "MessageConflict",
    "OpenWork",
    "Origin",
    "Page",
    "Part",
    "ReasoningPart",
    "Retention",
    "Role",
    "RunningToolCall",
    "ScopedState",
    "SearchHit",
    "SearchResults",
    "Session",
    "SessionError",
    "SessionExists",
    "SessionNotActive",
    "SessionNotFound",
    "SessionRecord",
    "SessionState",
    "SessionStore",
    "StateConflict",
    "StateWrite",
    "StorageUnavailable",
    "SweepReport",
    "Sweeper",
    "Task",
    "TaskNotFound",
    "TaskRecord",
    "Tasks",
    "Telemetry",
    "TextPart",
    "ToolCall",
    "ToolCallPart",
    "ToolCallUnsettled",
    "ToolResultPart",
    "Turn",
    "TurnTaken",
    "Usage",
    "recorded",
]
