"""Which results stand without their call."""

from __future__ import annotations

from agent_session_core import Message, ToolCallPart, ToolResultPart
from agent_session_core.turns import unanswerable, without_orphans

CALL = Message.assistant("", parts=(ToolCallPart("a", "f", {}), ToolCallPart("b", "f", {}), ToolCallPart(None, "f")))
ANSWER_A = Message.tool("A", tool_call_id="a")
ANSWER_BOTH = Message.user("", parts=(ToolResultPart("a", "A"), ToolResultPart("b", "B")))


def test_a_call_must_come_first() -> None:
    """A result is answered for by a call before it, not by one behind."""
    assert unanswerable([CALL, ANSWER_A, ANSWER_BOTH]) == set()
    assert unanswerable([ANSWER_A, CALL]) == {"a"}
    assert unanswerable([ANSWER_BOTH]) == {"a", "b"}


def test_a_call_may_be_answered_where_it_is_made() -> None:
    """A provider that runs its own tools puts both into one message."""
    assert (
        unanswerable([Message.assistant("", parts=(ToolCallPart("s", "web"), ToolResultPart("s", "found")))]) == set()
    )


def test_orphans_go_whole() -> None:
    """A message that answers a missing call is left out with all it holds."""
    said = [Message.user("x"), ANSWER_BOTH, ANSWER_A]
    assert without_orphans(said, {"b"}) == [said[0], said[2]]
    assert without_orphans(said, set()) == said
