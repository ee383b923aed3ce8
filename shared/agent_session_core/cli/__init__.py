"""The command ``session-core``: look at a database of sessions, move it, and keep it in order.

It needs the extra ``cli`` (typer and rich), which nothing else in the package does.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the process's arguments, and end the process."""
    try:
        from agent_session_core.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write("session-core needs typer and rich: pip install 'agent-session-core[cli]'\n")
        sys.exit(1)
    run()
