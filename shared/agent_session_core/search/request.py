"""A search as it was asked, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from agent_session_core import _checks
from agent_session_core._checks import shown
from agent_session_core.errors import InvalidInput
from agent_session_core.filters import And, Compare, Filter, Not, Or, checked, equals
from agent_session_core.models import ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SearchRequest"]

MAX_QUERY = 100_000
"""Characters of a question."""
MAX_HITS = 1_000
"""Hits of one search."""
MAX_NEIGHBOURS = 100
MAX_SESSIONS = 10_000
"""Ids in ``session_ids`` and ``exclude_session_ids``."""

MAX_LENGTH = 1_000_000_000

MODES = ("hybrid", "keyword", "semantic")
GROUPS = ("message", "session")
OUTAGES = ("raise", "keyword")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is sought, where, and how the answer should look.

    Args:
        query: the question, in words.
        tenant: whose sessions are searched.
        user_id: one user's sessions only; None for all of the tenant's.
        session_ids: these sessions only.
        exclude_session_ids: not these sessions.
        roles: messages of these roles only.
        author: messages with this author only.
        metadata: messages whose metadata has these values, or meets this filter.
        since: messages from this moment on (aware).
        until: messages before this moment (aware).
        max_length: messages of at most so many characters only: long output of tools is noise to most questions.
        archived: whether archived sessions are searched too.
        limit: how many hits, 1-1,000.
        min_score: hits with at least this score (0-1) only.
        mode: ``hybrid`` (by words and by meaning), ``keyword`` or ``semantic``.
        group_by: ``message``, or ``session`` for one hit a session: its best message, and up to two further
            good ones of it among the neighbours.
        neighbours: how many messages to give on each side of a hit, made up to whole turns.
        recency: how much the newest message is favoured (0-1, halving every 30 days); 0 for not at all.
        explain: whether each hit tells how it came by its score.
        wait: for indexes that follow the store at a distance: wait until they know what was committed before.
        on_outage: where searching by meaning is impossible just now: ``raise``, or answer by ``keyword``.

    Attributes:
        condition: ``metadata`` as a filter.

    Raises:
        InvalidInput: naming the argument, its value and the remedy.
    """

    query: str
    tenant: str
    user_id: str | None = None
    session_ids: Sequence[str] | None = None
    exclude_session_ids: Sequence[str] | None = None
    roles: Sequence[Role] | None = None
    author: str | None = None
    metadata: Mapping[str, Any] | Filter | None = None
    since: datetime | None = None
    until: datetime | None = None
    max_length: int | None = None
    archived: bool = False
    limit: int = 10
    min_score: float = 0.0
    mode: Literal["hybrid", "keyword", "semantic"] = "hybrid"
    group_by: Literal["message", "session"] = "message"
    neighbours: int = 0
    recency: float = 0.0
    explain: bool = False
    wait: bool = False
    on_outage: Literal["raise", "keyword"] = "raise"
    condition: Filter | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.query, str) or not self.query.strip():
            raise InvalidInput(f"query: {shown(self.query)} asks nothing; give a question in words")
        if len(self.query) > MAX_QUERY:
            raise InvalidInput(f"query: {len(self.query):,} characters; shorten it to {MAX_QUERY:,}")
        _checks.identifier(self.tenant, "tenant")
        _checks.optional_identifier(self.user_id, "user_id")
        for argument in ("session_ids", "exclude_session_ids"):
            ids = _checks.identifiers(getattr(self, argument), argument)
            if ids is not None and len(ids) > MAX_SESSIONS:
                raise InvalidInput(f"{argument}: {len(ids):,} ids; give at most {MAX_SESSIONS:,}")
            object.__setattr__(self, argument, ids)
        object.__setattr__(self, "roles", _roles(self.roles))
        if self.author is not None and not isinstance(self.author, str):
            raise InvalidInput(f"author: expected a string, got {shown(self.author)}; give the author's name")
        for argument in ("since", "until"):
            if getattr(self, argument) is not None:
                _checks.moment(getattr(self, argument), argument)
        object.__setattr__(self, "condition", _filter(self.metadata))
        if self.max_length is not None:
            _checks.whole(self.max_length, "max_length", most=MAX_LENGTH)
        _checks.whole(self.limit, "limit", most=MAX_HITS)
        _checks.whole(self.neighbours, "neighbours", least=0, most=MAX_NEIGHBOURS)
        _share(self.min_score, "min_score")
        _share(self.recency, "recency")
        _checks.one_of(self.mode, "mode", MODES)
        _checks.one_of(self.group_by, "group_by", GROUPS)
        _checks.one_of(self.on_outage, "on_outage", OUTAGES)
        for argument in ("archived", "explain", "wait"):
            _checks.flag(getattr(self, argument), argument)


def _roles(roles: Any) -> tuple[Role, ...] | None:
    if roles is None:
        return None
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        raise InvalidInput(f"roles: {shown(roles)} is no list of roles; write [{shown(roles)}]")
    chosen = tuple(roles)
    for role in chosen:
        if role not in ROLES:
            raise InvalidInput(f"roles: {shown(role)} is no role; use some of {', '.join(ROLES)}")
    return chosen


def _filter(metadata: Any) -> Filter | None:
    if metadata is None:
        return None
    if isinstance(metadata, Compare | And | Or | Not):
        return checked(metadata, "metadata")
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata: expected a mapping, got {shown(metadata)}; use {{key: value}}")
    return equals(metadata)


def _share(value: Any, argument: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput(f"{argument}: {shown(value)} is out of range; give a number of 0 to 1")
