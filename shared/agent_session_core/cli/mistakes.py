"""What goes wrong for the person at the terminal: one line on stderr that says what to do, and no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec

import typer
from rich.text import Text

from agent_session_core.cli.screen import errors, plain
from agent_session_core.errors import IndexUnavailable, InvalidInput, SessionError, SessionNotActive
from agent_session_core.search.elsewhere import REMEDY

__all__ = ["MISUSED", "Mistake", "told"]

P = ParamSpec("P")

INTERRUPTED = 130
"""The exit code of a command that the person at the keyboard broke off, as shells have it."""


MISUSED = 2
"""The exit code of a command that could not be understood."""
_OPTIONS = {
    "before": "--before",
    "metadata": "--meta",
    "query": "QUERY",
    "roles": "--role",
    "session_id": "SESSION",
    "session_ids": "SESSION",
    "status": "--status",
    "tenant": "--tenant",
    "url": "--db",
    "user_id": "--user",
}
"""What is typed for the arguments that errors name."""
_COMMANDS = {
    REMEDY: "name the server with --index, or bring the index back into the database with 'session-core reindex "
    "--into-database'",
    "call store.reindex()": "run 'session-core reindex'",
    "store.reindex()": "'session-core reindex'",
}
"""What is typed for what errors of the index say to call."""


class Mistake(Exception):
    """Something that the person who typed the command can put right; the message says how.

    Args:
        reason: the message.
        code: the exit code.
    """

    def __init__(self, reason: str, code: int = 1) -> None:
        super().__init__(reason)
        self.code = code


def told(command: Callable[P, None]) -> Callable[P, None]:
    """``command``, with what goes wrong told on stderr; the exit code is 2 for what was typed wrong, else 1."""

    @wraps(command)
    def telling(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            command(*arguments, **options)
            sys.stdout.flush()
        except SessionNotActive as error:
            _fail(str(error).replace("restore()", "'session-core restore'"))
        except InvalidInput as error:
            argument, _, reason = str(error).partition(": ")
            if argument not in _OPTIONS:
                _fail(str(error))
            _fail(f"{_OPTIONS[argument]}: {reason}", code=MISUSED)
        except IndexUnavailable as error:
            _fail(_as_typed(str(error)))
        except Mistake as error:
            _fail(str(error), code=error.code)
        except SessionError as error:
            _fail(str(error))
        except BrokenPipeError:  # whoever was reading has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None

    return telling


def _as_typed(reason: str) -> str:
    for called, typed in _COMMANDS.items():
        reason = reason.replace(called, typed)
    return reason


def _fail(reason: str, code: int = 1) -> NoReturn:
    errors().print(Text.assemble(("Error: ", "bold red"), plain(reason)), soft_wrap=True)
    raise typer.Exit(code)
