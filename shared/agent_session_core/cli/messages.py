"""Messages on the screen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agent_session_core import (
    AudioPart,
    DataPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from agent_session_core.cli.screen import ROLE_STYLES, line, plain

__all__ = ["in_one_line", "print_messages"]

MOST_LINES = 12
"""Lines of a message, where it is not asked for in full."""
MOST_CHARACTERS = 1_200


def print_messages(screen: Console, messages: Iterable[Message], *, full: bool) -> None:
    """Each message under who said it, and when."""
    for message in messages:
        screen.print(_heading(message))
        for body in _bodies(message):
            screen.print(Padding(body if full else _cut(body), (0, 0, 0, 2), expand=False))
        screen.print()


def in_one_line(message: Message, most: int) -> str:
    """What a message says, in at most so many characters: its text, or what else it holds."""
    told = line(message.text[: 4 * most]) or " ".join(line(body.plain) for body in _bodies(message))
    return told if len(told) <= most else f"{told[:most].rsplit(' ', 1)[0]} …"


def _heading(message: Message) -> Text:
    heading = Text(f"#{message.seq} ", style="dim")
    heading.append(message.role, style=f"bold {ROLE_STYLES[message.role]}")
    named = [line(name) for name in (message.author, message.name) if name]
    if named:
        heading.append(f" {' · '.join(named)}")
    if message.is_error:
        heading.append(" failed", style="bold red")
    if message.created_at is not None:
        heading.append(f"  {message.created_at.astimezone():%Y-%m-%d %H:%M:%S}", style="dim")
    return heading


def _bodies(message: Message) -> list[Text]:
    bodies = [_body(part) for part in message.parts]
    return [body for body in bodies if body.plain] or [Text("(nothing)", style="dim")]


def _body(part: Part) -> Text:
    if isinstance(part, TextPart):
        return Text(plain(part.text).strip())
    if isinstance(part, ReasoningPart):
        return Text(plain(part.text).strip(), style="dim italic")
    if isinstance(part, ToolCallPart):
        called = Text("→ ", style="yellow")
        called.append(line(part.name), style="bold")
        return called.append(f"({line(_arguments(part.arguments))})")
    if isinstance(part, ToolResultPart):
        return Text.assemble(("← ", "red" if part.is_error else "yellow"), plain(part.text).strip())
    if isinstance(part, DataPart):
        return Text(f"[{line(part.kind)}]", style="dim")
    kind = {ImagePart: "image", AudioPart: "audio", FilePart: "file"}[type(part)]
    name = part.name if isinstance(part, FilePart) else None
    where = part.url if part.url and not part.url.startswith("data:") else None
    told = [line(word) for word in (name, part.media_type, where) if word]
    return Text(f"[{' '.join([kind, *told])}]", style="dim")


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())


def _cut(body: Text) -> Text:
    lines = body.plain.split("\n")
    shown = "\n".join(lines[:MOST_LINES])[:MOST_CHARACTERS]
    if len(shown) == len(body.plain):
        return body
    left = len(body.plain) - len(shown)
    return Text.assemble(body[: len(shown)], (f" … {left:,} more characters; --full shows them", "dim"))
