"""What a read of messages promises, however the store is driven."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from agent_session_core import Message, Session, ToolCallPart, ToolResultPart
from agent_session_core.turns import unanswerable

START = datetime(2026, 5, 1, tzinfo=timezone.utc)


def _call(*ids: str, text: str = "") -> Message:
    return Message.assistant(text, parts=tuple(ToolCallPart(id_, "search", {"q": id_}) for id_ in ids))


def _conversation() -> list[Message]:
    """Three turns: plain; two calls answered one by one; a call answered within a message of the user's."""
    said = [
        Message.system("be kind"),
        Message.user("one"),
        Message.assistant("1"),
        Message.user("two"),
        _call("a", "b"),
        Message.tool("A", tool_call_id="a", name="search"),
        Message.tool("B", tool_call_id="b", name="search"),
        Message.assistant("2"),
        _call("c"),
        Message(role="user", parts=(ToolResultPart("c", "C"),)),
        Message.assistant("3"),
    ]
    return [
        Message(role=m.role, text=m.text, parts=m.parts, tool_call_id=m.tool_call_id, created_at=START + n * HOUR)
        for n, m in enumerate(said)
    ]


HOUR = timedelta(hours=1)


@pytest.fixture
def talk(session: Session) -> Session:
    """A session with that conversation: seq 1 to 11."""
    session.append(_conversation())
    return session


def _seqs(messages: list[Message]) -> list[int | None]:
    return [message.seq for message in messages]


def test_everything_comes_oldest_first(talk: Session) -> None:
    """Without arguments a read gives the whole history."""
    assert _seqs(talk.messages()) == list(range(1, 12))


def test_the_last_ones_reach_back_to_a_call(talk: Session) -> None:
    """``last`` gives the newest n; where that cuts a result off its call, it reaches back to the call."""
    assert _seqs(talk.messages(last=1)) == [11]
    assert _seqs(talk.messages(last=2)) == [9, 10, 11]
    assert _seqs(talk.messages(3)) == [9, 10, 11]
    assert _seqs(talk.messages(last=4)) == [8, 9, 10, 11]
    assert _seqs(talk.messages(last=5)) == [5, 6, 7, 8, 9, 10, 11]
    assert _seqs(talk.messages(last=6)) == [5, 6, 7, 8, 9, 10, 11]
    assert _seqs(talk.messages(last=1_000)) == list(range(1, 12))


def test_since_takes_a_seq_or_a_time(talk: Session) -> None:
    """After a seq, or at and after a moment, in whatever zone; reaching back as ``last`` does."""
    assert _seqs(talk.messages(since=7)) == [8, 9, 10, 11]
    assert _seqs(talk.messages(since=6)) == [5, 6, 7, 8, 9, 10, 11]
    assert _seqs(talk.messages(since=0)) == list(range(1, 12))
    assert _seqs(talk.messages(since=11)) == []
    moment = (START + 7 * HOUR).astimezone(timezone(timedelta(hours=5)))
    assert _seqs(talk.messages(since=moment)) == [8, 9, 10, 11]
    assert _seqs(talk.messages(since=moment - HOUR)) == [5, 6, 7, 8, 9, 10, 11]
    assert _seqs(talk.messages(2, since=8)) == [9, 10, 11]
    assert _seqs(talk.messages(since=8, limit=1)) == [9]


def test_a_page_begins_whole_too(talk: Session) -> None:
    """``offset`` and ``limit`` count from the oldest; a page that would begin with a result reaches back."""
    assert _seqs(talk.messages(limit=3)) == [1, 2, 3]
    assert _seqs(talk.messages(offset=3, limit=2)) == [4, 5]
    assert _seqs(talk.messages(offset=5, limit=1)) == [5, 6]
    assert _seqs(talk.messages(offset=9)) == [9, 10, 11]
    assert _seqs(talk.messages(offset=11)) == []


def test_roles_leave_orphans_out(talk: Session) -> None:
    """A filter by role gives those roles alone; what answers a call that it left out is left out with it."""
    assert _seqs(talk.messages(roles=["user"])) == [2, 4]
    assert _seqs(talk.messages(roles=("system", "assistant"))) == [1, 3, 5, 8, 9, 11]
    assert _seqs(talk.messages(roles=["assistant", "tool"])) == [3, 5, 6, 7, 8, 9, 11]
    assert _seqs(talk.messages(roles=["tool"])) == []
    assert _seqs(talk.messages(2, roles=["assistant"])) == [9, 11]


def test_a_result_that_never_had_a_call_is_shown(session: Session) -> None:
    """What was given without its call is kept and shown as it was given; a cut elsewhere does not lose it."""
    session.append(Message.tool("lonely", tool_call_id="x"), Message.user("hi"), Message.tool("more", tool_call_id="y"))
    assert _seqs(session.messages()) == [1, 2, 3]
    assert _seqs(session.messages(last=1)) == [3]


def test_a_provider_answers_its_own_call(session: Session) -> None:
    """A call and its result may stand in one message."""
    session.append(Message(role="assistant", parts=(ToolCallPart("s", "web", {}), ToolResultPart("s", "found"))))
    assert _seqs(session.messages()) == _seqs(session.messages(last=1)) == [1]


def test_a_call_far_back_is_found(session: Session) -> None:
    """However many messages stand between a call and its result, the read reaches back to it."""
    session.append(_call("far"), [Message.user(str(n)) for n in range(150)], Message.tool("late", tool_call_id="far"))
    assert _seqs(session.messages(last=1)) == list(range(1, 153))


def test_ids_of_calls_may_repeat(session: Session) -> None:
    """Models that count their calls from one again: a result belongs to the newest call of its id."""
    for _ in range(3):
        session.append(Message.user("go"), _call("call_1"), Message.tool("done", tool_call_id="call_1"))
    assert _seqs(session.messages(last=1)) == [8, 9]
    assert _seqs(session.messages(last=4)) == [5, 6, 7, 8, 9]


def test_archived_ones_are_read_on_request(talk: Session) -> None:
    """What was set aside is out of the live history, and read alone or with it."""
    talk.set_aside(first=3)
    assert _seqs(talk.messages()) == list(range(4, 12))
    assert _seqs(talk.messages(archived=True)) == [1, 2, 3]
    assert _seqs(talk.messages(archived=None)) == list(range(1, 12))
    assert _seqs(talk.messages(last=1, archived=True)) == [3]
    assert (talk.count(), talk.count(archived=True), talk.count(archived=None)) == (8, 3, 11)


def test_runs_are_read_apart(talk: Session) -> None:
    """The current run is what is read; another is empty here."""
    assert _seqs(talk.messages(run=1)) == list(range(1, 12))
    assert _seqs(talk.messages(last=2, run=1)) == [9, 10, 11]
    assert talk.messages(run=2) == []


def test_last_goes_alone(talk: Session) -> None:
    """Two ways to count do not go together."""
    with pytest.raises(ValueError, match="last: cannot go with offset or limit"):
        talk.messages(2, limit=3)


def test_no_cut_leaves_an_orphan(main_session: Session) -> None:
    """Whatever part of a long history is read, no tool's result stands in it without its call."""
    session, chance = main_session, random.Random(7)
    said: list[Message] = []
    for turn in range(12):
        said.append(Message.user(str(turn)))
        for _ in range(chance.randrange(3)):
            ids = [f"{turn}-{len(said)}-{n}" for n in range(chance.randint(1, 3))]
            said.append(_call(*ids))
            said.extend(Message.tool(id_, tool_call_id=id_) for id_ in ids)
        said.append(Message.assistant("done"))
    session.append(said)
    for size in range(1, len(said) + 1):
        for read in (
            session.messages(last=size),
            session.messages(since=size),
            session.messages(offset=size - 1, limit=3),
        ):
            assert not unanswerable(read)
            assert _seqs(read) == sorted(seq for seq in _seqs(read) if seq is not None)
        assert len(session.messages(last=size)) >= size
