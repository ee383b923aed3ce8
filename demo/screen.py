"""What the demo puts on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

from agent_session_core import Message, ToolCallPart
from demo.replaying import THROUGH_CHAIN, Arrival

WIDTH = 100
SHOWN = 10
"""Sessions and problems that are listed one by one."""


class Screen:
    """A person's terminal, or a file."""

    def __init__(self) -> None:
        console = Console()
        width = min(console.width, WIDTH) if console.is_terminal else WIDTH
        self._console = Console(highlight=False, width=width)

    def opening(self, name: str, *, bundled: bool) -> None:
        """What there is to be seen."""
        whose = "six conversations of a Nora who plans things, over three weeks" if bundled else f"your file {name}"
        self._console.print()
        self._console.print(Text("One memory for LangChain and LlamaIndex", style="bold"))
        self._say(f"The transcript: {whose}. Models are scripted, frameworks are real, nothing leaves this machine.")

    def working(self) -> Status:
        """A sign of life while the conversations come in."""
        return self._console.status("The conversations come in ...")

    def arrived(self, arrivals: Sequence[Arrival], problems: Sequence[str], *, seconds: float) -> None:
        """The sessions that came in, and what could not be read."""
        self._heading(
            "1", "LangChain writes", "A chain with history lives through each conversation, and each becomes a session."
        )
        table = _table("Session", "Messages", "Tool calls", "Date")
        for arrival in arrivals[:SHOWN]:
            table.add_row(_cut(arrival.title, 60), f"{arrival.messages}", f"{arrival.tool_calls or ''}", arrival.date)
        self._show(table)
        if len(arrivals) > SHOWN:
            self._say(f"... and {len(arrivals) - SHOWN:,} more.")
        total = sum(arrival.messages for arrival in arrivals)
        self._say(
            f"{total:,} messages in {seconds:.1f} s. Each was safe on disk before the chain went on, and can be found."
        )
        if direct := sum(arrival.messages for arrival in arrivals if not arrival.through_chain):
            self._say(
                f"{direct:,} of them, all after the first {THROUGH_CHAIN}, were stored without the chain: quicker."
            )
        if problems:
            self._say(f"{len(problems):,} could not be read or kept; the rest came in:", style="yellow")
            for problem in problems[:SHOWN]:
                self._show(Text(f"- {problem}", style="yellow"))
            if len(problems) > SHOWN:
                self._say(f"... and {len(problems) - SHOWN:,} more.", style="yellow")

    def nothing(self) -> None:
        """The file held no message."""
        self._say("There is no message in this file. A JSON-lines export or a ChatGPT conversations.json is needed.")

    def continued(self, title: str, before: int, new: Sequence[Message]) -> None:
        """What the agent added to a session of ``before`` messages."""
        self._heading(
            "2",
            "LlamaIndex carries on",
            f"An agent takes over \N{LEFT DOUBLE QUOTATION MARK}{_cut(title, 50)}\N{RIGHT DOUBLE QUOTATION MARK} "
            f"and its memory holds the {before} messages that LangChain wrote.",
        )
        table = Table.grid(padding=(0, 2))
        for message in new:
            table.add_row(Text(message.role, style="cyan"), _cut(_told(message), 160))
        self._show(table)
        self._say(f"The session now has {before + len(new)} messages. Either framework reads them all.")

    def questions(self) -> None:
        """What comes next."""
        self._heading(
            "3",
            "Questions about the past",
            "A retriever looks through the other sessions, by words and by meaning, and shows the three best.",
        )

    def found(self, question: str, documents: Sequence[Document], *, seconds: float) -> None:
        """The messages that answer a question."""
        self._show(Text.assemble((question, "bold"), (f"  {1000 * seconds:.0f} ms", "dim")))
        table = _table("", "Session", "Who", "Words")
        for rank, document in enumerate(documents, start=1):
            about = document.metadata
            table.add_row(
                f"{rank}",
                _cut(about["session_title"] or about["session_id"], 28),
                about["role"],
                _cut(document.page_content, 140),
            )
        self._show(table if documents else Text("Nothing was found."))
        self._console.print()

    def closing(self, strangers: int, *, kept: str | None) -> None:
        """What else is true, and where to go from here."""
        self._say(f"Asked in the name of another user, the first of these questions finds {strangers} messages.")
        if kept is not None:
            self._say(f"All of it is kept in {kept}, an ordinary SQLite file.")
        self._console.print()
        self._console.print(Text("Now yours", style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_row("make demo TRANSCRIPT=conversations.json", "the same with your ChatGPT data export")
        table.add_row('make demo ASK="When do we fly?"', "a question of your own")
        table.add_row("make demo DB=memory.db", "keep the database")
        table.add_row("README.md, docs/guide.md", "three lines to put it under your own chain or agent")
        self._show(table)

    def _heading(self, number: str, title: str, line: str) -> None:
        self._console.print()
        self._console.print(Text.assemble((f"{number}  ", "bold cyan"), (title, "bold")))
        self._say(line)
        self._console.print()

    def _say(self, line: str, style: str = "") -> None:
        self._show(Text(line, style=style))

    def _show(self, what: RenderableType) -> None:
        self._console.print(Padding(what, (0, 0, 0, 3), expand=False))


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in ("Messages", "Tool calls") else "left")
    return table


def _told(message: Message) -> str:
    """What a message says, or does."""
    calls = [f"calls {part.name}({_arguments(part)})" for part in message.parts if isinstance(part, ToolCallPart)]
    return " ".join([*([message.text] if message.text else []), *calls])


def _arguments(call: ToolCallPart) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return ", ".join(f"{name}={value!r}" for name, value in call.arguments.items())


def _cut(text: str, length: int) -> Text:
    """``text`` on one line, as plain text whatever it holds, and shortened to ``length`` characters."""
    line = " ".join(text.split())
    return Text(line if len(line) <= length else line[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}")
