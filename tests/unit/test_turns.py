"""Which results stand without their call."""

from __future__ import annotations

from dataclasses import replace

from agent_session_core import Message, ToolCallPart, ToolResultPart
from agent_session_core.turns import are_paired, places_of_calls, unanswerable, without_orphans

CALL = Message.assistant("", parts=(ToolCallPart("a", "f", {}), ToolCallPart("b", "f", {}), ToolCallPart(None, "f")))
ANSWER_A = Message.tool("A", tool_call_id="a")
ANSWER_BOTH = Message.user("", parts=(ToolResultPart("a", "A"), ToolResultPart("b", "B")))


def placed(*messages: Message) -> list[Message]:
    """Messages with their places."""
    return [replace(message, seq=seq) for seq, message in enumerate(messages, 1)]


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
    said = placed(Message.user("x"), CALL, ANSWER_BOTH, ANSWER_A)
    places = places_of_calls(said)
    assert without_orphans(said, places) == said
    assert without_orphans([said[0], *said[2:]], places) == [said[0]]
    assert without_orphans([said[0], *said[2:]], {"b": [2]}) == [said[0], said[3]]
    assert without_orphans(said, {}) == said


def test_a_result_belongs_to_the_last_call_before_it() -> None:
    """Where an id is used again, each result stands or falls with its own call, whatever became of others."""
    call, answer = Message.assistant("", parts=(ToolCallPart("a", "f", {}),)), ANSWER_A
    said = placed(call, answer, call, answer, answer)
    places = places_of_calls(said)
    assert places == {"a": [1, 3]}
    assert without_orphans(said[1:], places) == said[2:]
    assert without_orphans([*said[:2], *said[3:]], places) == said[:2]


def test_results_and_calls_in_pairs() -> None:
    """Each result needs a call of its own before it."""
    assert are_paired([CALL, ANSWER_A])
    assert are_paired([CALL, ANSWER_A, CALL, ANSWER_A])
    assert not are_paired([CALL, ANSWER_A, ANSWER_A])
    assert not are_paired([ANSWER_A, CALL])
