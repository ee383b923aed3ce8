"""Sessions out of a store and into one, with everything in them, in bounded memory."""

from __future__ import annotations

from agent_session_core.transfer.exporting import export
from agent_session_core.transfer.loading import load
from agent_session_core.transfer.report import LoadReport

__all__ = ["LoadReport", "export", "load"]
