"""What a load has done."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_session_core.exchange import Problem

__all__ = ["LoadReport", "Tally"]

MOST_PROBLEMS = 1_000
"""Problems that a report lists; further ones are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What a load did.

    Attributes:
        sessions: how many sessions were made.
        messages: how many messages were stored, passages of text files among them.
        records: how many versions of variables, tasks, tool calls and files were stored.
        repeated: how many messages and versions were there already, with the same content.
        problems: what could not be loaded: where it stands and why; at most 1,000 are listed.
        problem_count: how many there were.
    """

    sessions: int = 0
    messages: int = 0
    records: int = 0
    repeated: int = 0
    problems: tuple[Problem, ...] = field(default=())
    problem_count: int = 0


class Tally:
    """What a load under way has counted so far."""

    def __init__(self) -> None:
        self.sessions = self.messages = self.records = self.repeated = self.problem_count = 0
        self.problems: list[Problem] = []

    def problem(self, where: str, reason: str) -> None:
        """Note something that could not be loaded."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(where or "an entry", reason))

    def report(self) -> LoadReport:
        """The counts at this moment."""
        return LoadReport(
            sessions=self.sessions,
            messages=self.messages,
            records=self.records,
            repeated=self.repeated,
            problems=tuple(self.problems),
            problem_count=self.problem_count,
        )
