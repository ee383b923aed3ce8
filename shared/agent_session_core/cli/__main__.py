"""``python -m agent_session_core.cli`` is ``session-core``."""

from agent_session_core.cli import main

if __name__ == "__main__":
    main()
