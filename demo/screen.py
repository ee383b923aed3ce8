"""What the demo puts on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import StringIO
from pathlib import Path

from langchain_core.documents import Document
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent_session_core import Message, ToolCallPart
from demo.questions import quoted
from demo.replaying import THROUGH_CHAIN, Arrival

WIDTH = 100
SHOWN = 10
"""Sessions and problems that are listed one by one."""


class Screen:
    """A person's terminal, or a file."""

    def __init__(self, *, kept: Path | None) -> None:
        """``kept`` is the database that stays, where one does."""
        screen = Console()
        self._live = screen.is_terminal
        self._written = StringIO()
        width = min(screen.width, WIDTH) if self._live else WIDTH
        self._console = Console(file=None if self._live else self._written, highlight=False, width=width)
        self._kept = kept

    def opening(self, name: str | None, *, added: bool) -> None:
        """What there is to be seen: of the file ``name``, or of Nora."""
        whose = (
            "six conversations of a Nora who plans things, over three weeks" if name is None else f"your file {name}"
        )
        self._gap()
        self._print(Text("One memory for LangChain and LlamaIndex", style="bold"))
        self._say(f"The transcript: {whose}. Models are scripted, frameworks are real, nothing leaves this machine.")
        if added:
            self._say(f"{self._kept} has sessions in it already: they stay, and those of the transcript are added.")

    def working(self) -> AbstractContextManager[object]:
        """A sign of life while the conversations come in; none in a file."""
        return self._console.status("The conversations come in ...") if self._live else nullcontext()

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
        fresh = [arrival for arrival in arrivals if arrival.fresh]
        if fresh:
            total = sum(arrival.messages for arrival in fresh)
            self._say(
                f"{total:,} messages in {seconds:.1f} s. Each was safe on disk before the chain went on, and can be "
                "found."
            )
        if direct := sum(arrival.messages for arrival in fresh if not arrival.through_chain):
            self._say(
                f"{direct:,} of them, all after the first {THROUGH_CHAIN}, were stored without the chain: quicker."
            )
        if before := len(arrivals) - len(fresh):
            self._say(
                f"{_of(before, len(arrivals))} in the database before, from an earlier run: left as found, not "
                "written again."
            )
        if problems:
            flaws = "1 flaw" if len(problems) == 1 else f"{len(problems):,} flaws"
            self._say(f"The file has {flaws}; everything else came in:", style="yellow")
            for problem in problems[:SHOWN]:
                self._show(Text(f"- {problem}", style="yellow"))
            if len(problems) > SHOWN:
                self._say(f"... and {len(problems) - SHOWN:,} more.", style="yellow")

    def nothing(self) -> None:
        """Not one message could be kept."""
        self._say("So there is nothing to go on with.")

    def continued(self, arrival: Arrival, before: int, new: Sequence[Message]) -> None:
        """What the agent added to a session of ``before`` messages."""
        whose = "that LangChain wrote" if arrival.fresh and arrival.through_chain else "that were there"
        self._heading(
            "2",
            "LlamaIndex carries on",
            f"An agent takes over {quoted(arrival.title)} and its memory holds the {before} messages {whose}.",
        )
        table = Table.grid(padding=(0, 2))
        for message in new:
            table.add_row(Text(message.role, style="cyan"), _cut(_told(message), 160))
        self._show(table)
        self._say(f"The session now has {before + len(new)} messages. Either framework reads them all.")

    def questions(self, *, alone: bool, of_titles: bool) -> None:
        """What comes next."""
        where = "this session" if alone else "the other sessions"
        self._heading(
            "3",
            "Questions about the past",
            f"A retriever looks through {where}, by words and by meaning, and shows the three best messages.",
        )
        if of_titles:
            self._say('The questions are made of your titles. Put your own: make demo ASK="..." TRANSCRIPT=...')
            self._gap()

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
        self._gap()

    def closing(self, user_id: str, *, strangers: int) -> None:
        """What else is true, and where to go from here."""
        self._say(f"Asked in the name of another user, the first of these questions finds {strangers} messages.")
        if self._kept is not None:
            self._say(f"All of it is kept in {self._kept}, an ordinary SQLite file. In Python:")
            self._say(f'SessionStore.open("sqlite:///{self._kept}").for_user({user_id!r}).search("...")', style="cyan")
        self._gap()
        self._print(Text("Now yours", style="bold"))
        table = Table.grid(padding=(0, 2))
        table.add_row("make demo TRANSCRIPT=conversations.json", "the same with your ChatGPT data export")
        table.add_row('make demo ASK="What is our booking reference?"', "a question of your own")
        table.add_row("make demo DB=memory.db", "keep the database, and go on with it")
        table.add_row("README.md, docs/guide.md", "put it under your own chain or agent")
        self._show(table)

    def _heading(self, number: str, title: str, line: str) -> None:
        self._gap()
        self._print(Text.assemble((f"{number}  ", "bold cyan"), (title, "bold")))
        self._say(line)
        self._gap()

    def _say(self, line: str, style: str = "") -> None:
        self._show(Text(line, style=style))

    def _show(self, what: RenderableType) -> None:
        self._print(Padding(what, (0, 0, 0, 3), expand=False))

    def _gap(self) -> None:
        self._print(Text())

    def _print(self, what: RenderableType) -> None:
        self._console.print(what)
        for line in self._written.getvalue().splitlines():
            print(line.rstrip())  # a file needs no columns of spaces
        self._written.seek(0)
        self._written.truncate()


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in ("Messages", "Tool calls") else "left")
    return table


def _of(some: int, all_: int) -> str:
    if some == all_:
        return "All of them were"
    return f"{some:,} of the {all_:,} sessions {'was' if some == 1 else 'were'}"


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
