"""The public names of the package, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import llamaindex_sessions


def test_the_public_names_are_those_that_can_be_imported() -> None:
    """``__all__`` is sorted, complete, and each name is there."""
    assert llamaindex_sessions.__all__ == sorted(llamaindex_sessions.__all__)
    assert set(llamaindex_sessions.__all__) == {
        "AsyncSessionChatStore",
        "LlamaIndexEmbedder",
        "SessionChatStore",
        "SessionRetriever",
        "SessionVectorStore",
        "create_session_tools",
        "message_to_record",
        "record_to_message",
        "recorded_tool",
    }
    for name in llamaindex_sessions.__all__:
        assert getattr(llamaindex_sessions, name).__name__ == name
    assert set(llamaindex_sessions.__all__) <= set(dir(llamaindex_sessions))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As for any module."""
    assert not hasattr(llamaindex_sessions, "SessionStore")


def test_importing_the_package_imports_no_framework() -> None:
    """LlamaIndex is imported when the first name is asked for."""
    program = "import sys, llamaindex_sessions; sys.exit('llama_index.core' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
