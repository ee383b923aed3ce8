"""What is asked about the past."""

from __future__ import annotations

from collections.abc import Sequence

from demo.replaying import Arrival

BUNDLED = [
    "Which of the guests has an allergy?",
    "What helped when the cobbles hurt my wrists?",
    "Can we still call off the room, and until when?",
]
"""Mostly in other words than those that were used then."""


def continuing_question(arrivals: Sequence[Arrival], latest: Arrival, *, bundled: bool) -> str:
    """What the agent is asked in the session ``latest``; the answer lies in another one."""
    if bundled:
        return "Where do Tom and I sit on the plane, and what is our booking reference?"
    others = _others(arrivals, latest)
    return f"What did we decide about {quoted(others[0].title)}?"


def questions_about(arrivals: Sequence[Arrival], latest: Arrival) -> list[str]:
    """Up to three questions about somebody's own sessions, made of their titles."""
    others = _others(arrivals, latest)
    return [f"What was said about {quoted(arrival.title)}?" for arrival in others[1:4] or others]


def _others(arrivals: Sequence[Arrival], latest: Arrival) -> list[Arrival]:
    """The other sessions of the same person, the longest first; the same where there is no other."""
    others = [arrival for arrival in arrivals if arrival.user_id == latest.user_id and arrival is not latest]
    return sorted(others, key=lambda arrival: -arrival.messages) or [latest]


def quoted(title: str) -> str:
    """A title in quotation marks, shortened, without its last mark, so that it can stand in any sentence."""
    title = title.rstrip(" .?!") or title
    short = title if len(title) <= 80 else title[:79].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return f"\N{LEFT DOUBLE QUOTATION MARK}{short}\N{RIGHT DOUBLE QUOTATION MARK}"
