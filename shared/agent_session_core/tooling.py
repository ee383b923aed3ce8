"""What the session tools are made of: steps that are written once and run in the sync or the async form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args, get_type_hints

from agent_session_core.errors import SessionError, SessionNotActive, TaskNotFound
from agent_session_core.files import Files
from agent_session_core.rendering import as_line
from agent_session_core.session import Session
from agent_session_core.store import SessionStore

__all__ = ["MAX_CHARACTERS", "Beginning", "Call", "Desk", "Parameter", "SessionTool", "Steps", "short"]

MAX_CHARACTERS = 8_000
"""Characters of an answer, unless told otherwise."""
MAX_ERROR = 500
"""Characters of an error that a model is told."""
_FOR_MODELS: dict[type[SessionError], str] = {
    TaskNotFound: "There is no task with this id; list_tasks tells those there are.",
    SessionNotActive: "This work has been ended: it can be read, and nothing in it can be changed.",
}
"""What a model is told in place of an error that names methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the tools of one call work on.

    Attributes:
        most: characters of an answer, about.
        everybody: whether a search by a session without a user sees all that the store can see; else it sees that
            session alone. The search of a user's session sees this user's sessions, always.
    """

    store: SessionStore
    session: Session
    most: int = MAX_CHARACTERS
    everybody: bool = False

    def lines(self, values: Iterable[Any]) -> str:
        """A line of JSON for each value, as many as there is room for; one that is too long by itself is cut."""
        lines: list[str] = []
        left, room = 0, self.most
        for value in values:
            line = as_line(value)
            if len(line) > self.most // 2:
                line = f"{line[: self.most // 2]}… ({len(line):,} characters)"
            if len(line) >= room:
                left += 1
                continue
            lines.append(line)
            room -= len(line) + 1
        return "\n".join([*lines, f"({left} more, for which there is no room)"] if left else lines)


class Call:
    """A step of a tool: a method to be called, in its sync form or in its async one with the prefix ``a``."""

    __slots__ = ("_arguments", "_method", "_options")

    def __init__(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        self._method = method
        self._arguments = arguments
        self._options = options

    def run(self) -> Any:
        """What the method gives."""
        return self._method(*self._arguments, **self._options)

    async def arun(self) -> Any:
        """As :meth:`run`."""
        method = self._method
        return await getattr(method.__self__, f"a{method.__name__}")(*self._arguments, **self._options)  # type: ignore[attr-defined]  # methods alone are called


class Beginning:
    """A step of a tool: the first bytes of a version of a file, and no more of it than is asked for."""

    __slots__ = ("_files", "_most", "_name", "_version")

    def __init__(self, files: Files, name: str, version: int, most: int) -> None:
        self._files = files
        self._name = name
        self._version = version
        self._most = most

    def run(self) -> bytes:
        """The bytes: ``most`` of them and up to a piece more."""
        found = bytearray()
        for piece in self._files.stream(self._name, self._version):
            found += piece
            if len(found) > self._most:
                break
        return bytes(found)

    async def arun(self) -> bytes:
        """As :meth:`run`."""
        found = bytearray()
        async with aclosing(self._files.astream(self._name, self._version)) as pieces:
            async for piece in pieces:
                found += piece
                if len(found) > self._most:
                    break
        return bytes(found)


Steps: TypeAlias = Generator[Call | Beginning, Any, str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a model may give to a tool.

    Attributes:
        annotation: its type.
        default: its value where the model leaves it out; ``...`` where it must not.
        description: what the model is told of it.
    """

    annotation: Any
    default: Any
    description: str


class SessionTool:
    """One tool, ready to be lent to a framework.

    Attributes:
        name: its name.
        description: what a model is told of it.
        parameters: what a model may give, by name.
    """

    __slots__ = ("_work", "description", "name", "parameters")

    def __init__(self, work: Callable[..., Steps]) -> None:
        self._work = work
        self.name = work.__name__
        self.description = inspect.getdoc(work) or ""
        hints = get_type_hints(work, include_extras=True)
        self.parameters = {
            parameter.name: _parameter(parameter, hints[parameter.name])
            for parameter in list(inspect.signature(work).parameters.values())[1:]
        }

    def run(self, desk: Desk, arguments: Mapping[str, Any]) -> str:
        """The tool's answer to the model.

        Args:
            desk: what it works on.
            arguments: by the names of ``parameters``, of their types.

        Raises:
            SessionError: saying what was wrong; :func:`short` makes a line for the model of it.
        """
        steps = self._work(desk, **arguments)
        given = None
        try:
            while True:
                given = steps.send(given).run()
        except StopIteration as end:
            return str(end.value)

    async def arun(self, desk: Desk, arguments: Mapping[str, Any]) -> str:
        """As :meth:`run`."""
        steps = self._work(desk, **arguments)
        given = None
        while True:
            try:
                step = steps.send(given)
            except StopIteration as end:
                return str(end.value)
            given = await step.arun()


def short(error: SessionError) -> str:
    """What a model is told of an error: one line, not too long, about its tools and not about Python's methods."""
    text = _FOR_MODELS.get(type(error)) or " ".join(str(error).split())
    return text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR - 1]}…"


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    annotation, description = get_args(hint)
    return Parameter(annotation, ... if parameter.default is parameter.empty else parameter.default, description)
