"""A session's history against a list in memory, through any order of changes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent_session_core import Message, Role, SessionStore

said = st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), st.sampled_from("abc")), max_size=4)
amounts = st.integers(0, 4)


class History(RuleBasedStateMachine):
    """The model: two lists, of what is live and what was set aside, and the highest number given."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[Message] = []
        self.aside: list[Message] = []
        self.highest = 0

    @initialize()
    def opening(self) -> None:
        """A store in memory with one session."""
        self.store = SessionStore.open("sqlite://", index="off")
        self.session = self.store.session("one")

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    @rule(given=said)
    def append(self, given: list[tuple[Role, str]]) -> None:
        """New messages come behind the others, with the next numbers."""
        stored = self.session.append([Message(role=role, text=text) for role, text in given])
        assert [message.seq for message in stored] == [self.highest + n + 1 for n in range(len(given))]
        self._numbered(stored)
        self.live += stored

    @rule()
    def append_again(self) -> None:
        """What is there already is not stored twice."""
        assert self.session.append(self.live) == self.live

    @rule()
    def pop_turn(self) -> None:
        """The newest user message and what follows it goes."""
        users = [place for place, message in enumerate(self.live) if message.role == "user"]
        start = users[-1] if users else len(self.live)
        assert self.session.pop_turn() == self.live[start:]
        del self.live[start:]

    @rule(first=amounts)
    def remove_first(self, first: int) -> None:
        """The oldest go."""
        assert self.session.remove(first=first) == self.live[:first]
        del self.live[:first]

    @rule(last=amounts)
    def remove_last(self, last: int) -> None:
        """The newest go."""
        kept = len(self.live) - min(last, len(self.live))
        assert self.session.remove(last=last) == self.live[kept:]
        del self.live[kept:]

    @rule(index=amounts)
    def remove_one(self, index: int) -> None:
        """One goes by its place."""
        assert self.session.remove(index=index) == self.live[index : index + 1]
        del self.live[index : index + 1]

    @rule(seqs=st.lists(st.integers(1, 12), max_size=4))
    def remove_numbers(self, seqs: list[int]) -> None:
        """Those with the numbers go, as far as they are live."""
        gone = [message for message in self.live if message.seq in seqs]
        assert self.session.remove(seqs=seqs) == gone
        self.live = [message for message in self.live if message not in gone]

    @rule(first=amounts)
    def set_aside(self, first: int) -> None:
        """The oldest go to the other list, which is in the order of numbers too."""
        assert self.session.set_aside(first=first) == self.live[:first]
        self.aside = sorted(self.aside + self.live[:first], key=lambda message: message.seq or 0)
        del self.live[:first]

    @rule(kept=amounts, given=said)
    def replace(self, kept: int, given: list[tuple[Role, str]]) -> None:
        """The history is what is given; an equal beginning keeps its rows."""
        new = [Message(role=role, text=text) for role, text in given]
        bare = [replace(message, id=None, seq=None, run=None, created_at=None) for message in self.live[:kept]]
        answer = self.session.replace([*bare, *new])
        assert answer[: len(bare)] == self.live[:kept]
        assert [(message.role, message.text) for message in answer[len(bare) :]] == given
        self._numbered(answer)
        self.live = answer

    @rule()
    def clear_and_write_again(self) -> None:
        """The rows come back."""
        self.session.remove()
        assert self.session.replace([replace(message, id=None, seq=None) for message in self.live]) == self.live

    @invariant()
    def same(self) -> None:
        """What is read is what the model holds."""
        assert self.session.messages() == self.live
        assert self.session.messages(archived=True) == self.aside
        assert self.session.count() == len(self.live)
        assert self.session.count(archived=None) == len(self.live) + len(self.aside)
        if self.live:
            assert self.session.messages(last=2) == self.live[-2:]
            assert self.session.messages(offset=1, limit=2) == self.live[1:3]

    def _numbered(self, stored: list[Message]) -> None:
        self.highest = max([self.highest, *(message.seq or 0 for message in stored)])


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
