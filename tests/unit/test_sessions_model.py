"""Whole sessions against a model in memory, through any order of what can be done to them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent_session_core import FileNotInSession, InvalidInput, Message, Session, SessionStore

NAMES = ("one", "two")
KEYS = ("a", "b", "c")
FILES = ("plan.txt", "photo.bin")
names = st.sampled_from(NAMES)
places = st.integers(0, 20)
said = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.sampled_from("xyz")), min_size=1, max_size=3)
values = st.none() | st.integers(-2, 2) | st.lists(st.booleans(), max_size=2)


@dataclass
class Model:
    """What a session is: what can be seen of it, and how that was seen after each message.

    ``seen`` has, for each number a message was given, everything beside the messages at the last moment before the
    next one. A rewind gives it back.
    """

    run: int = 1
    status: str = "active"
    messages: list[tuple[int, int, str, str]] = field(default_factory=list)  # seq, run, role, text
    parent: str | None = None
    forked_from: int | None = None
    state: dict[str, Any] = field(default_factory=dict)
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    tasks: dict[str, tuple[str, str | None, str]] = field(default_factory=dict)  # title, parent's title, status
    seen: dict[int, dict[str, Any]] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)  # version of each file
    newest: int = 0  # the last number that a message was given
    begun: dict[int, int] = field(default_factory=dict)  # each number that a message was given, and its run

    def remember(self) -> None:
        """Note how the session is seen now."""
        self.seen[self.newest] = deepcopy({"state": self.state, "files": self.files, "tasks": self.tasks})

    def shown(self, run: int) -> list[tuple[int, int, str, str]]:
        """The messages of a run."""
        return [message for message in self.messages if message[1] == run]

    def run_of(self, at: int) -> int:
        """The run in which the number ``at`` was given."""
        return max((run for seq, run in self.begun.items() if seq <= at), default=1)

    def last(self) -> int:
        """The last message of the run; 0 where there is none."""
        return max((message[0] for message in self.shown(self.run)), default=0)

    def rewind(self, at: int) -> int:
        """Be as it was at a message of the run; the number of the last message up to which that is."""
        if at >= self.newest:
            return self.newest
        shown = self.shown(self.run)
        following = [*(message[2] for message in shown[1:]), "user"]
        ends = [message[0] for message, next_role in zip(shown, following, strict=False) if next_role == "user"]
        before_run = max((seq for seq, run in self.begun.items() if run < self.run), default=0)
        cut = max((seq for seq in ends if seq <= at), default=before_run)
        self.messages = [message for message in self.messages if message[0] <= cut or message[1] != self.run]
        for name, value in deepcopy(self.seen[cut]).items():
            setattr(self, name, value)
        return cut


class Sessions(RuleBasedStateMachine):
    """A few sessions and their models."""

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}

    @initialize(given=st.lists(said, min_size=2, max_size=3), files=st.booleans())
    def opening(self, given: list[list[tuple[Any, str]]], files: bool) -> None:
        """A store in memory, with a session that has a past."""
        self.store = SessionStore.open("sqlite://", index="off")
        for number, messages in enumerate(given):
            self.append("one", messages)
            if files:
                self.put_file("one", "plan.txt", b"version %d" % number)
            self.write_state("one", {"a": number}, set())
            self.add_task("one", "pqr"[number], number)

    def teardown(self) -> None:
        """Close the store."""
        self.store.close()

    def _of(self, name: str) -> tuple[Session, Model]:
        """The session, for writing: made where it is not there, restored where it is not active."""
        session = self.store.session(name)
        model = self.models.get(name)
        if model is None:
            model = self.models[name] = Model()
            model.remember()
        if model.status != "active":
            session.restore()
            model.status = "active"
        return session, model

    @rule(name=names, given=said)
    def append(self, name: str, given: list[tuple[Any, str]]) -> None:
        """Messages come behind the others, with higher numbers."""
        session, model = self._of(name)
        for message in session.append([Message(role=role, text=text) for role, text in given]):
            assert message.seq is not None
            assert message.seq > model.newest
            model.messages.append((message.seq, model.run, message.role, message.text))
            model.newest = message.seq
            model.begun[message.seq] = model.run
            model.remember()

    @rule(
        name=names,
        set_=st.dictionaries(st.sampled_from(KEYS), values, max_size=2),
        delete=st.sets(st.sampled_from(KEYS)),
    )
    def write_state(self, name: str, set_: dict[str, Any], delete: set[str]) -> None:
        """Variables are set and deleted in one step."""
        session, model = self._of(name)
        session.state.update(set_, delete=delete - set_.keys())
        model.state = {key: value for key, value in model.state.items() if key not in delete} | set_
        model.remember()

    @rule(name=names, file=st.sampled_from(FILES), data=st.sampled_from([b"", b"one", b"two words"]))
    def put_file(self, name: str, file: str, data: bytes) -> None:
        """A new version, unless the bytes are the same."""
        session, model = self._of(name)
        version = session.files.put(file, data).version
        if model.files.get(file, (0, None))[1] != data:
            model.highest[file] = model.highest.get(file, 0) + 1
            model.files[file] = (model.highest[file], data)
        assert version == model.files[file][0]
        model.remember()

    @rule(name=names, file=st.sampled_from(FILES))
    def delete_file(self, name: str, file: str) -> None:
        """It goes, if it is there."""
        session, model = self._of(name)
        try:
            session.files.delete(file)
            assert model.files.pop(file)
        except FileNotInSession:
            assert file not in model.files
        model.remember()

    @rule(name=names, title=st.sampled_from("pqrst"), parent=st.integers(0, 3))
    def add_task(self, name: str, title: str, parent: int) -> None:
        """At the end, or below another; titles are the model's names for tasks."""
        session, model = self._of(name)
        if title in {task[0] for task in model.tasks.values()}:
            return
        there = session.tasks.list()
        above = there[parent % len(there)] if there and parent else None
        task = session.tasks.add(title, parent=above)
        model.tasks[task.id] = (title, None if above is None else above.id, "pending")
        model.remember()

    @rule(name=names, number=st.integers(0, 3), status=st.sampled_from(["in_progress", "completed", "failed"]))
    def update_task(self, name: str, number: int, status: Any) -> None:
        """Its status changes."""
        session, model = self._of(name)
        there = session.tasks.list()
        if there:
            task = there[number % len(there)]
            task.update(status=status)
            model.tasks[task.id] = (*model.tasks[task.id][:2], status)
        model.remember()

    @rule(name=names, place=places)
    def rewind(self, name: str, place: int) -> None:
        """What came after a message goes, and everything is as it was then."""
        session, model = self._of(name)
        to = self._at(model, place)
        if to and model.begun[to] < model.run:
            with pytest.raises(InvalidInput, match="lies in an earlier run"):
                session.rewind(to=to)
            return
        model.rewind(to)
        assert session.rewind(to=to) == model.last()
        model.remember()

    @rule(name=names, place=places)
    def rewind_and_undo(self, name: str, place: int) -> None:
        """Nothing has happened."""
        session, model = self._of(name)
        to, before = self._at(model, place), session.revision
        if to and model.begun[to] < model.run:
            return
        session.rewind(to=to)
        if session.revision != before:
            assert session.undo_rewind() == model.last()

    @rule(name=names, new=names, place=st.none() | places)
    def fork(self, name: str, new: str, place: int | None) -> None:
        """A new session, as this one was at a message; where the id is taken, the old one goes first."""
        if name == new:
            return
        session, model = self._of(name)
        if new in self.models:
            self.delete(new)
        at = None if place is None else self._at(model, place)
        fork = session.fork(new, at=at)
        made = deepcopy(model)
        if at is not None and at < model.newest:
            made.run = model.run_of(at)
            made.newest = made.rewind(at)
            made.messages = [message for message in made.messages if message[0] <= made.newest]
            made.seen = {seq: seen for seq, seen in model.seen.items() if seq <= made.newest}
            made.begun = {seq: run for seq, run in model.begun.items() if seq <= made.newest}
            made.highest = {file: max((v.version for v in fork.files.history(file)), default=0) for file in FILES}
        made.parent, made.forked_from, made.status = name, made.last(), "active"
        self.models[new] = made

    @staticmethod
    def _at(model: Model, place: int) -> int:
        """One of the numbers that messages were given, also of those that are gone; or 0."""
        given = [0, *sorted(model.begun)]
        return given[place % len(given)]

    @rule(name=names, what=st.sampled_from(["restart", "restart, cleared", "close", "archive", "delete"]))
    def turn(self, name: str, what: str) -> None:
        """A new run, with or without the variables; or an end."""
        if what == "delete":
            self.delete(name)
            return
        session, model = self._of(name)
        if what in ("close", "archive"):
            getattr(session, what)()
            model.status = {"close": "closed", "archive": "archived"}[what]
            return
        model.run += 1
        assert session.restart(keep_state=what == "restart") == model.run
        if what == "restart, cleared":
            model.state = {}
        model.remember()

    def delete(self, name: str) -> None:
        """It is gone; its forks stay, without a parent."""
        if name in self.models:
            receipt = self.store.session(name).delete()
            assert receipt.files == len(self.models[name].files)
            del self.models[name]
            for model in self.models.values():
                model.parent = None if model.parent == name else model.parent

    @invariant()
    def same(self) -> None:
        """What is seen of each session is what its model says."""
        assert {session.id for session in self.store.sessions()} == set(self.models)
        for name, model in self.models.items():
            session = self.store.session(name, create=False)
            record = session.record()
            assert (record.run, record.status, record.parent_id) == (model.run, model.status, model.parent)
            assert record.forked_from == model.forked_from
            for run in range(1, model.run + 1):
                told = [(m.seq, m.run, m.role, m.text) for m in session.messages(run=run)]
                assert told == model.shown(run)
            assert session.state.all() == model.state
            assert {f.name: (f.version, session.files.get(f.name).data) for f in session.files.list()} == model.files
            tasks = {task.id: (task.title, task.parent_id, task.status) for task in session.tasks.records()}
            assert tasks == model.tasks
            for seq, *_ in model.messages:
                assert session.state.at(seq) == model.seen[seq]["state"]


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)
