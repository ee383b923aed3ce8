"""The tree of errors is the one that the docstring draws."""

from __future__ import annotations

import re

from agent_session_core import errors


def _drawn() -> dict[str, str]:
    """Each name in the drawing, and the name it hangs under."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^([ │├└─]+)(\w+)", line)
        if found is None or ("─" not in line and found[2] != "SessionError"):
            continue
        depth = len(found[1])
        while above and above[-1][0] >= depth:
            above.pop()
        parents[found[2]] = above[-1][1] if above else "Exception"
        above.append((depth, found[2]))
    return parents


def test_the_drawing_is_the_tree() -> None:
    """Every error stands in the drawing, under the one it derives from, and nothing else does."""
    actual = {
        name: next(base.__name__ for base in getattr(errors, name).__mro__[1:] if issubclass(base, Exception))
        for name in errors.__all__
    }
    assert _drawn() == actual


def test_the_drawing_names_what_else_an_error_is() -> None:
    """Some are also what Python itself would raise: those of which the drawing says so."""
    assert errors.__doc__ is not None
    said = dict(re.findall(r"(\w+) [^\n]*; also a (\w+)", errors.__doc__))
    actual = {
        name: base.__name__
        for name in errors.__all__
        for base in getattr(errors, name).__bases__
        if not issubclass(base, errors.SessionError) and base is not Exception
    }
    assert said == actual


def test_one_except_catches_all() -> None:
    """Every error is a SessionError."""
    assert all(issubclass(getattr(errors, name), errors.SessionError) for name in errors.__all__)
