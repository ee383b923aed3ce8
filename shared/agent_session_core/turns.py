"""Turns: a user's message and all that answers it. A tool's result is never shown without its call.

Models and frameworks repeat the ids of calls. A result's own call is the last one of its id before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from agent_session_core.models import Message, ToolCallPart, ToolResultPart

__all__ = ["Places", "answers", "are_paired", "calls", "places_of_calls", "unanswerable", "without_orphans"]

Places: TypeAlias = Mapping[str, Sequence[int]]
"""At which messages (seqs, ascending) the call of an id is made."""


def calls(message: Message) -> Iterator[str]:
    """The ids of the tool calls that ``message`` makes."""
    for part in message.parts:
        if isinstance(part, ToolCallPart) and part.id is not None:
            yield part.id


def answers(message: Message) -> Iterator[str]:
    """The ids of the tool calls that ``message`` answers."""
    if message.tool_call_id is not None:
        yield message.tool_call_id
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            yield part.tool_call_id


def unanswerable(messages: Sequence[Message]) -> set[str]:
    """The ids of calls that are answered in ``messages`` (oldest first) and not made in them by then."""
    made: set[str] = set()
    missing: set[str] = set()
    for message in messages:
        made.update(calls(message))  # first: a provider's own tools are called and answered in one message
        missing.update(call for call in answers(message) if call not in made)
    return missing


def are_paired(messages: Iterable[Message]) -> bool:
    """Whether each result in ``messages`` (oldest first) has a call of its own before it."""
    waiting: Counter[str] = Counter()
    for message in messages:
        waiting.update(calls(message))
        for call in answers(message):
            if not waiting[call]:
                return False
            waiting[call] -= 1
    return True


def places_of_calls(messages: Iterable[Message]) -> Places:
    """Where the calls of a session are made; ``messages`` are all of its messages that make any, in any order."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for message in messages:
        for call in calls(message):
            places[call].append(message.seq or 0)
    return {call: sorted(seqs) for call, seqs in places.items()}


def without_orphans(messages: Iterable[Message], places: Places) -> list[Message]:
    """``messages`` (oldest first) without the results whose own call was given to the session and is not among them."""
    shown: set[int] = set()
    kept = []
    for message in messages:
        seq = message.seq or 0
        shown.add(seq)
        own = (_own_call(call, seq, places) for call in answers(message))
        if all(place is None or place in shown for place in own):
            kept.append(message)
        else:
            shown.discard(seq)
    return kept


def _own_call(call: str, seq: int, places: Places) -> int | None:
    """Where the call is made that the message at ``seq`` answers; None where it was never given to the session."""
    made = places.get(call, ())
    place = bisect_right(made, seq)
    return made[place - 1] if place else None
