"""What taking messages back, setting them aside and replacing them promise, however the store is driven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_session_core import (
    DataPart,
    Message,
    Origin,
    Session,
    TextPart,
    ToolCallPart,
    Usage,
)


def _texts(messages: list[Message]) -> list[str]:
    return [message.text for message in messages]


def _seqs(messages: list[Message]) -> list[int | None]:
    return [message.seq for message in messages]


def _said(texts: str) -> list[Message]:
    """Messages by user and agent in turn, one for each letter."""
    return [Message(role=("user", "assistant")[n % 2], text=text) for n, text in enumerate(texts)]


def _with_a_call() -> list[Message]:
    return [
        Message.user("ask"),
        Message.assistant("", parts=(ToolCallPart("c", "search", {}),)),
        Message.tool("found", tool_call_id="c"),
        Message.assistant("answer"),
    ]


def test_a_whole_turn_is_popped(session: Session) -> None:
    """The newest user message goes with all that followed it, a tool call and its result included."""
    session.append(Message.system("s"), _said("ab"), _with_a_call())
    assert _texts(session.pop_turn()) == ["ask", "", "found", "answer"]
    assert _texts(session.messages()) == ["s", "a", "b"]
    assert _texts(session.pop_turn()) == ["a", "b"]
    assert session.pop_turn() == []
    assert _texts(session.messages()) == ["s"]


def test_numbers_are_never_used_again(session: Session) -> None:
    """What is taken back leaves its number taken."""
    session.append(_said("abcd"))
    session.pop_turn()
    assert _seqs(session.append(Message.user("e"))) == [5]
    session.remove()
    assert _seqs(session.append(Message.user("f"))) == [6]


def test_messages_are_removed_by_place(session: Session) -> None:
    """The first or last n, one by its place, several by their numbers, or all; the answer is what went, in order."""
    session.append(_said("abcdefghij"))
    assert _texts(session.remove(first=2)) == ["a", "b"]
    assert _texts(session.remove(last=2)) == ["i", "j"]
    assert _texts(session.remove(index=1)) == ["d"]
    assert session.remove(index=99) == []
    assert _texts(session.remove(seqs=[8, 3, 1, 999])) == ["c", "h"]
    assert session.remove(seqs=[]) == session.remove(first=0) == session.remove(last=0) == []
    assert _texts(session.messages()) == ["e", "f", "g"]
    assert _texts(session.remove(first=99)) == ["e", "f", "g"]
    assert session.remove() == session.messages() == []
    assert session.count(archived=None) == 0


def test_a_failed_selection_changes_nothing(session: Session) -> None:
    """Two selectors at once are refused."""
    session.append(_said("ab"))
    revision = session.revision
    with pytest.raises(ValueError, match="last: cannot go with first; use one of them"):
        session.remove(first=1, last=1)
    assert (session.revision, session.count()) == (revision, 2)


def test_setting_aside(session: Session) -> None:
    """The oldest n leave the live history in order, can be removed on request, and are counted apart."""
    session.append(_said("abcdef"))
    assert _texts(session.set_aside(first=2)) == ["a", "b"]
    assert _texts(session.set_aside(first=1)) == ["c"]
    assert session.set_aside(first=0) == []
    assert _texts(session.messages()) == ["d", "e", "f"]
    assert _texts(session.remove(archived=True, last=1)) == ["c"]
    assert _texts(session.messages(archived=None)) == ["a", "b", "d", "e", "f"]
    assert _texts(session.remove()) == ["d", "e", "f"]
    assert _texts(session.remove(archived=None)) == ["a", "b"]


def test_a_result_whose_call_is_gone_is_not_read(session: Session) -> None:
    """Removing a call by its place leaves its result out of every later read."""
    session.append(_with_a_call(), Message.user("more"))
    session.remove(index=1)
    assert _texts(session.messages()) == ["ask", "answer", "more"]
    assert _texts(session.messages(last=3))[-2:] == ["answer", "more"]
    assert "found" not in _texts(session.messages(last=3))
    session.set_aside(first=1)
    assert _texts(session.messages()) == ["answer", "more"]


def test_an_equal_history_stays_as_it_is(session: Session) -> None:
    """Replacing a history by itself keeps every row, whether messages come as stored or without their ids."""
    stored = session.append(_said("ab"), _with_a_call())
    assert session.replace(stored) == stored
    bare = [replace(message, id=None, seq=None, run=None, created_at=None) for message in stored]
    assert session.replace(bare) == stored
    assert session.messages() == stored


def test_an_equal_beginning_keeps_its_rows(session: Session) -> None:
    """What is equal from the start stays; the rest is taken back and what is new gets new numbers."""
    stored = session.append(_said("abcd"))
    answer = session.replace([*stored[:2], Message.user("X"), stored[3]])
    assert answer[:2] == stored[:2]
    assert _texts(answer) == ["a", "b", "X", "d"]
    assert _seqs(answer) == [1, 2, 5, 6]
    assert session.messages() == answer
    assert session.replace([]) == session.messages() == []


def test_clearing_and_writing_again_gives_the_same_rows(session: Session) -> None:
    """Frameworks clear a history to write it again: the rows come back, with their ids, times and origin."""
    first = Message.user(
        "a", id="m1", usage=Usage(1, 2, 3), metadata={"k": 1}, author="ana", origin=Origin("f", "1", float("nan"))
    )
    stored = session.append(first, _said("bc"))
    session.remove()
    answer = session.replace([Message.user("a"), *_said("bc"), Message.user("d")])
    assert _seqs(answer) == [1, 2, 3, 4]
    assert answer[1:3] == stored[1:3]
    assert repr(answer[0]) == repr(stored[0])
    assert _seqs(session.messages()) == [1, 2, 3, 4]


def test_only_the_last_change_comes_back(session: Session) -> None:
    """What was taken back before another change stays taken back."""
    session.append(_said("ab"))
    session.remove()
    session.update(title="another change")
    assert _seqs(session.replace(_said("ab"))) == [3, 4]


def test_a_shortened_history_keeps_what_is_left(session: Session) -> None:
    """After the oldest were removed, replacing what is left by itself keeps its rows, and brings nothing back."""
    stored = session.append(_said("abcd"))
    session.remove(first=2)
    assert session.replace(stored[2:]) == stored[2:]
    assert session.messages() == stored[2:]


def test_what_is_set_aside_is_another_history(session: Session) -> None:
    """Replacing the live history leaves what was set aside, also where the same messages are given."""
    stored = session.append(_said("abc"))
    session.set_aside(first=1)
    answer = session.replace(stored)
    assert _texts(answer) == _texts(session.messages()) == ["a", "b", "c"]
    assert session.messages(archived=True) == stored[:1]


def test_equal_is_what_a_framework_hands_back(session: Session) -> None:
    """JSON makes lists of tuples, NaN equals nothing, keys come in any order: none of it makes a message another."""
    odd = {"b": (1, (2, float("nan"))), "a": [float("inf")]}
    stored = session.append(Message.user("x", parts=(TextPart("x"), DataPart("d", odd)), origin=Origin("f", "1", odd)))
    same = {"a": [float("inf")], "b": [1, [2, float("nan")]]}
    given = Message.user("x", parts=(TextPart("x"), DataPart("d", same)), origin=Origin("f", "2", same))
    assert _seqs(session.replace([given])) == _seqs(stored)
    other = replace(given, origin=Origin("f", "2", {**same, "a": []}))
    assert _seqs(session.replace([other])) == [2]
    elsewhere = replace(given, origin=Origin("g", "1", "anything"))
    assert _seqs(session.replace([elsewhere])) == [2]


def test_a_replacement_may_repeat_ids(session: Session) -> None:
    """Ids that are taken, or come twice, do not stop a framework: each message is stored, under an id of its own."""
    session.append(Message.user("a", id="1"), Message.user("b", id="2"))
    given = [Message.user("a", id="1"), Message.user("c", id="1"), Message.user("b", id="2"), Message.user("b", id="2")]
    answer = session.replace(given)
    assert _texts(answer) == _texts(session.messages()) == ["a", "c", "b", "b"]
    assert len({message.id for message in answer}) == 4


def test_the_same_message_twice_is_two_messages(session: Session) -> None:
    """A history may say the same thing twice, also with the very same record."""
    stored = session.append(Message.user("again"))
    assert _seqs(session.replace([stored[0], stored[0]])) == [1, 2]
    assert _seqs(session.replace([stored[0]])) == [1]


def test_messages_come_set_aside(session: Session) -> None:
    """Messages may be set aside as they are stored, in the one order of numbers, and replaced apart from the live."""
    session.append(Message.user("live 1", id="l1"))
    aside = session.append(Message.user("aside 1"), Message.user("aside 2"), archived=True)
    session.append(Message.user("live 2"))
    assert _texts(session.messages()) == ["live 1", "live 2"]
    assert session.messages(archived=True) == aside
    assert _seqs(session.messages(archived=None)) == [1, 2, 3, 4]
    answer = session.replace([*aside[:1], Message.user("aside 3", id="l1")], archived=True)
    assert answer == session.messages(archived=True)
    assert (_texts(answer), _seqs(answer)) == (["aside 1", "aside 3"], [2, 5])
    assert _seqs(session.messages()) == [1, 4]
    assert session.replace([], archived=True) == session.messages(archived=True) == []
    assert _texts(session.messages()) == ["live 1", "live 2"]


def test_what_is_not_shown_is_not_counted_by_place(session: Session) -> None:
    """A result whose call is gone is in no place: removing by place or number of messages takes what a read shows."""
    session.append(_with_a_call(), Message.user("more"))
    session.remove(index=1)
    assert _texts(session.messages()) == ["ask", "answer", "more"]
    assert _texts(session.remove(index=1)) == ["answer"]
    assert _texts(session.remove(first=2)) == ["ask", "more"]
    assert session.count(archived=None) == 0


def test_a_history_with_a_hidden_result_stays_when_written_back(session: Session) -> None:
    """What a read shows, written back, is the same history: rows that are not shown do not make it another."""
    session.append(_with_a_call(), Message.user("more"))
    session.remove(index=1)
    shown = session.messages()
    assert session.replace(shown) == shown
    assert session.messages() == shown
