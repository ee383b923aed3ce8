"""``search``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent_session_core import SearchHit, SearchResults
from agent_session_core.cli.messages import in_one_line
from agent_session_core.cli.opening import DEFAULT_URL, Db, Index, Json, Tenant, User, found, opened
from agent_session_core.cli.records import message_as_json
from agent_session_core.cli.screen import ROLE_STYLES, console, line, print_json, table, when
from agent_session_core.cli.values import metadata, moment
from agent_session_core.store import GroupBy, Mode

__all__ = ["search"]

SNIPPET = 240
"""Characters of a message in which no word was found."""
AROUND = 100
"""Characters of a message around a hit."""
_PARTS = ("meaning", "name", "session", "recency")


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A question, or words.", show_default=False)],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="How many hits.")] = 10,
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="hybrid, keyword or semantic.")] = "hybrid",
    session: Annotated[
        list[str] | None, typer.Option("--session", metavar="ID", help="In this session; may be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ID", help="Not in this session; may be repeated.")
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="Said by user, assistant, tool or system.")
    ] = None,
    author: Annotated[str | None, typer.Option("--author", metavar="NAME", help="Said by this author.")] = None,
    meta: Annotated[
        list[str] | None, typer.Option("--meta", metavar="NAME=VALUE", help="With this metadata; may be repeated.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option("--since", parser=moment, metavar="TIME", help="Said then, or later.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", parser=moment, metavar="TIME", help="Said before then.")
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, metavar="0-1", help="With this score at least.")
    ] = 0.0,
    group_by: Annotated[
        str, typer.Option("--group-by", metavar="THING", help="message, or session for one hit each.")
    ] = "message",
    neighbours: Annotated[int, typer.Option("--neighbours", min=0, help="Messages around each hit.")] = 0,
    archived: Annotated[bool, typer.Option("--archived", help="Archived sessions, too.")] = False,
    recency: Annotated[
        float, typer.Option("--recency", min=0, max=1, metavar="0-1", help="How much new ones are favoured.")
    ] = 0.0,
    explain: Annotated[bool, typer.Option("--explain", help="How each score came about.")] = False,
    json: Json = False,
    db: Db = DEFAULT_URL,
    tenant: Tenant = "default",
    user: User = None,
    index: Index = None,
) -> None:
    """Find what was said in any session, by words and by meaning, best first."""
    _known(mode, "--mode", get_args(Mode))
    _known(group_by, "--group-by", get_args(GroupBy))
    options: dict[str, Any] = {
        "session_ids": session or None,
        "exclude_session_ids": exclude or None,
        "roles": role or None,
        "author": author,
        "metadata": metadata(meta or []),
        "since": since,
        "until": until,
        "min_score": min_score,
        "mode": mode,
        "group_by": group_by,
        "neighbours": neighbours,
        "archived": archived,
        "recency": recency,
    }
    with opened(db, tenant, user, index=True, server=index) as store:
        for session_id in (*(session or ()), *(exclude or ())):
            found(store, session_id)
        results = store.search(query, limit=limit, explain=explain, **options)
    if json:
        hits = [_as_json(hit) for hit in results]
        print_json({"hits": hits, "degraded": results.degraded, "truncated": results.truncated})
        return
    screen = console()
    if not results:
        screen.print("Nothing was found.")
    for number, hit in enumerate(results, start=1):
        _print_hit(screen, number, hit)
    if explain and results:
        screen.print(_explained(results))
    for note in (results.degraded, "Only the newest messages were searched." if results.truncated else None):
        if note:
            screen.print(Text(line(note), style="yellow"))


def _known(value: str, option: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is not known; use one of {', '.join(allowed)}", param_hint=option)


def _as_json(hit: SearchHit) -> dict[str, Any]:
    return {
        "score": hit.score,
        "session": hit.session_id,
        "session_title": hit.session_title,
        "message": message_as_json(hit.session_id, hit.message),
        "file": None if hit.file is None else asdict(hit.file),
        "highlights": hit.highlights,
        "neighbours": [message_as_json(hit.session_id, message) for message in hit.neighbours],
        "duplicates": hit.duplicates,
        "explanation": None if hit.explanation is None else asdict(hit.explanation),
    }


def _print_hit(screen: Console, number: int, hit: SearchHit) -> None:
    message = hit.message
    heading = Text(f"{number}. ", style="dim")
    heading.append(f"{hit.score:.2f}", style="bold")
    heading.append(f"  {line(hit.session_title or hit.session_id)}", style="bold")
    if hit.session_title:
        heading.append(f"  {line(hit.session_id)}", style="dim")
    screen.print(heading)
    for each in sorted([*hit.neighbours, message], key=lambda each: each.seq or 0):
        said = Text(f"#{each.seq} ", style="dim")
        if each is message and hit.file is not None:
            said.append(f"file {line(hit.file.name)}", style="magenta")
        else:
            said.append(each.role, style=ROLE_STYLES[each.role])
        said.append(f" {when(each.created_at)}: " if each.created_at is not None else ": ", style="dim")
        said.append(_snippet(hit) if each is message else in_one_line(each, AROUND))
        screen.print(Padding(said, (0, 0, 0, 3), expand=False))
    if hit.duplicates:
        screen.print(Text(f"   and {hit.duplicates} more with the same words", style="dim"))
    screen.print()


def _snippet(hit: SearchHit) -> str:
    """The pieces that hold words of the question; else how the message begins."""
    return " … ".join(line(piece) for piece in hit.highlights) or in_one_line(hit.message, SNIPPET)


def _explained(results: SearchResults) -> Table:
    """How the scores came about: their parts, the ranks by words and by meaning, and the words that were found."""
    reasons = [hit.explanation for hit in results if hit.explanation is not None]
    used = [part for part in _PARTS if any(getattr(why, part) for why in reasons)]
    columns = ("Hit", "Score", "Words", *(part.capitalize() for part in used), "Ranks")
    made = table(*columns, "Found", right=columns)
    for number, why in enumerate(reasons, start=1):
        parts = [sum(why.words.values()), *(getattr(why, part) for part in used)]
        ranks = [str(rank or "-") for rank in (why.word_rank, why.meaning_rank)]
        found = [
            f"{line(word)} {share:.2f}" + "*" * (word in why.nearby)
            for word, share in why.words.items()
            if share >= 0.005
        ]
        shown = [f"{part:.2f}" if part else "-" for part in parts]
        made.add_row(str(number), f"{why.score:.2f}", *shown, "/".join(ranks), Text(", ".join(found)))
    made.caption = "Ranks: by words, by meaning. *: said nearby, not in the message itself."
    made.caption_justify = "left"
    return made
