"""Sessions in files: the JSON-lines export of a store, and the data export of ChatGPT.

Reading never stops at what is broken: it yields a :class:`Problem` that says where and why, and goes on with the rest.
What is read is data. A path or an address in it is kept as text and never opened.
"""

from __future__ import annotations

from agent_session_core.exchange.chatgpt import read_chatgpt
from agent_session_core.exchange.files import read_file
from agent_session_core.exchange.lines import VERSION, dump, parse
from agent_session_core.exchange.records import (
    BlobEntry,
    Entry,
    MessageEntry,
    MessageState,
    Problem,
    RecordEntry,
    RecordKind,
    RecordScope,
    ScopeEntry,
    SessionEntry,
)

__all__ = [
    "VERSION",
    "BlobEntry",
    "Entry",
    "MessageEntry",
    "MessageState",
    "Problem",
    "RecordEntry",
    "RecordKind",
    "RecordScope",
    "ScopeEntry",
    "SessionEntry",
    "dump",
    "parse",
    "read_chatgpt",
    "read_file",
]
