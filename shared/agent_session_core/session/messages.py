"""A session's messages: the part of the handle that adds, reads and takes them back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection

from agent_session_core import _checks, history
from agent_session_core.errors import InvalidInput
from agent_session_core.history import Selection
from agent_session_core.keys import Key, require
from agent_session_core.models import ROLES, Message, Role
from agent_session_core.reading import Reading, read
from agent_session_core.session.base import SessionBase, Work
from agent_session_core.sql import messages as sql
from agent_session_core.sql.tables import ARCHIVED, REMOVED

Ids: TypeAlias = Literal["strict", "loose"]

__all__ = ["SessionMessages"]


class _Appending(NamedTuple):
    """What appends, how the database may go about it, and how many messages there are."""

    work: Work[list[Message]]
    options: dict[str, Any]
    size: int


class SessionMessages(SessionBase):
    """The methods of a session that are about its messages."""

    __slots__ = ()

    def append(
        self, *messages: Message | Iterable[Message], ids: Ids = "strict", archived: bool = False
    ) -> list[Message]:
        """Add messages at the end, all or none; once this returns they survive a power cut.

        Args:
            messages: one or several, or lists of them.
            ids: what to do about an id that is there already. ``strict``: the same content changes nothing, another
                is an error. ``loose``, for frameworks that repeat ids: only a resent beginning is taken for a
                repeat, anything else gets an id of its own.
            archived: store them as set aside at once (see :meth:`set_aside`).

        Returns:
            The messages as stored, with id, seq, run and created_at; for a repeat, the one that was there.

        Raises:
            InvalidInput: naming what cannot be stored.
            MessageConflict: when an id is taken by another content.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        given = self._append(messages, ids, archived)
        database, watch = self._services.database, self._services.watch  # the bare one: it holds the session by itself
        if watch is None:
            return database.write(given.work, **given.options)
        with watch.append(self.id, self._agent_id, given.size):
            return database.write(given.work, **given.options)

    async def aappend(
        self, *messages: Message | Iterable[Message], ids: Ids = "strict", archived: bool = False
    ) -> list[Message]:
        """As :meth:`append`; cancelled, it stored all or nothing."""
        given = self._append(messages, ids, archived)
        database, watch = self._services.database, self._services.watch
        if watch is None:
            return await database.awrite(given.work, **given.options)
        with watch.append(self.id, self._agent_id, given.size):
            return await database.awrite(given.work, **given.options)

    def messages(
        self,
        last: int | None = None,
        *,
        since: int | datetime | None = None,
        roles: Sequence[Role] | None = None,
        run: int | None = None,
        archived: bool | None = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Message]:
        """The session's messages, oldest first.

        A cut inside a turn reaches back: the answer never begins with a tool's result whose call was left out, and
        may so hold a few more messages than asked for. Filtering by role leaves such results out instead.

        Args:
            last: only the newest ones.
            since: only those after this seq, or written at or after this (aware) time.
            roles: only these roles.
            run: another run than the current one.
            archived: False for the live history, True for what a framework has set aside, None for both.
            offset: how many of the oldest to pass over.
            limit: at most so many, from the oldest on.

        Raises:
            InvalidInput: naming the argument that is out of range.
            SessionNotFound: when the session has been deleted.
        """
        return self._database.read(self._messages(last, since, roles, run, archived, offset, limit))

    async def amessages(
        self,
        last: int | None = None,
        *,
        since: int | datetime | None = None,
        roles: Sequence[Role] | None = None,
        run: int | None = None,
        archived: bool | None = False,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Message]:
        """As :meth:`messages`."""
        return await self._database.aread(self._messages(last, since, roles, run, archived, offset, limit))

    def count(self, *, archived: bool | None = False) -> int:
        """How many messages the current run has: live ones, archived ones, or (None) both."""
        return self._database.read(partial(_count, key=self._key, archived=_checks.archived(archived)))

    async def acount(self, *, archived: bool | None = False) -> int:
        """As :meth:`count`."""
        return await self._database.aread(partial(_count, key=self._key, archived=_checks.archived(archived)))

    def replace(self, messages: Iterable[Message], *, archived: bool = False) -> list[Message]:
        """Make the live history (or, ``archived``, what was set aside) equal to ``messages``, in one step.

        The beginning that is equal keeps its rows, ids and origin; the rest is taken back, and what is new appended.

        Returns:
            The history as stored.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`append`.
        """
        return self._database.write(self._replace(messages, archived))

    async def areplace(self, messages: Iterable[Message], *, archived: bool = False) -> list[Message]:
        """As :meth:`replace`."""
        return await self._database.awrite(self._replace(messages, archived))

    def remove(
        self,
        *,
        first: int | None = None,
        last: int | None = None,
        index: int | None = None,
        seqs: Sequence[int] | None = None,
        archived: bool | None = False,
    ) -> list[Message]:
        """Take messages of the current run back: those that one selector names; without a selector, all of them.

        They are no longer read or found; only erasure destroys them.

        Args:
            first: the oldest n.
            last: the newest n.
            index: the one at this place, from 0.
            seqs: those with these numbers.
            archived: of the live history (False), of what was set aside (True), or of both (None).

        Returns:
            What was taken back, oldest first.

        Raises:
            InvalidInput: for more than one selector, or a number out of range.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        return self._database.write(self._remove(first, last, index, seqs, archived))

    async def aremove(
        self,
        *,
        first: int | None = None,
        last: int | None = None,
        index: int | None = None,
        seqs: Sequence[int] | None = None,
        archived: bool | None = False,
    ) -> list[Message]:
        """As :meth:`remove`."""
        return await self._database.awrite(self._remove(first, last, index, seqs, archived))

    def set_aside(self, *, first: int) -> list[Message]:
        """Move the ``first`` n live messages out of the live history; they stay readable (``archived=True``) and found.

        Returns:
            What was moved, oldest first.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`remove`.
        """
        return self._database.write(self._set_aside(first))

    async def aset_aside(self, *, first: int) -> list[Message]:
        """As :meth:`set_aside`."""
        return await self._database.awrite(self._set_aside(first))

    def pop_turn(self) -> list[Message]:
        """Take back the last whole turn: the newest user message and all after it.

        Returns:
            What was taken back, oldest first; nothing where no user has spoken.

        Raises:
            SessionNotFound, SessionNotActive: as :meth:`remove`.
        """
        return self._database.write(partial(history.pop_turn, key=self._key))

    async def apop_turn(self) -> list[Message]:
        """As :meth:`pop_turn`."""
        return await self._database.awrite(partial(history.pop_turn, key=self._key))

    def _append(self, messages: tuple[Any, ...], ids: Ids, archived: bool) -> _Appending:
        loose = _checks.one_of(ids, "ids", ("strict", "loose")) == "loose"
        given = history.drafts(_flat(messages), loose=loose)
        aside = _checks.flag(archived, "archived")
        what: dict[str, Any] = {"key": self._key, "given": given, "loose": loose, "archived": aside}
        options: dict[str, Any] = {"one_statement": history.is_one_statement(self._key, given)}
        if not loose or not any(draft.has_id for draft in given):  # a loose id may be replaced on the way
            options["again"] = partial(history.append_again, **what)
        return _Appending(partial(history.append, **what), options, len(given))

    def _messages(
        self,
        last: int | None,
        since: int | datetime | None,
        roles: Sequence[Role] | None,
        run: int | None,
        archived: bool | None,
        offset: int,
        limit: int | None,
    ) -> Work[list[Message]]:
        if last is not None and (offset or limit is not None):
            raise InvalidInput("last: cannot go with offset or limit; use the one or the other")
        by_seq = isinstance(since, int) and not isinstance(since, bool)
        asked = Reading(
            last=None if last is None else _checks.whole(last, "last"),
            after=_checks.whole(since, "since", least=0, most=sql.END) if by_seq else 0,
            since=None if since is None or by_seq else _checks.moment(since, "since"),
            roles=None if roles is None else checked_roles(roles),
            run=None if run is None else _checks.whole(run, "run"),
            archived=_checks.archived(archived),
            offset=_checks.whole(offset, "offset", least=0),
            limit=None if limit is None else _checks.whole(limit, "limit"),
        )
        return partial(read, key=self._key, asked=asked)

    def _replace(self, messages: Iterable[Message], archived: bool) -> Work[list[Message]]:
        given = history.drafts(_flat((messages,)), loose=True)
        return partial(history.replace, key=self._key, given=given, archived=_checks.flag(archived, "archived"))

    def _remove(
        self,
        first: int | None,
        last: int | None,
        index: int | None,
        seqs: Sequence[int] | None,
        archived: bool | None,
    ) -> Work[list[Message]]:
        given = [
            name
            for name, value in (("first", first), ("last", last), ("index", index), ("seqs", seqs))
            if value is not None
        ]
        if len(given) > 1:
            raise InvalidInput(f"{given[1]}: cannot go with {given[0]}; use one of them")
        selected = Selection(
            first=None if first is None else _checks.whole(first, "first", least=0),
            last=None if last is None else _checks.whole(last, "last", least=0),
            index=None if index is None else _checks.whole(index, "index", least=0),
            seqs=None if seqs is None else checked_seqs(seqs),
            archived=_checks.archived(archived),
        )
        return partial(history.take, key=self._key, selected=selected, into=REMOVED)

    def _set_aside(self, first: int) -> Work[list[Message]]:
        selected = Selection(first=_checks.whole(first, "first", least=0))
        return partial(history.take, key=self._key, selected=selected, into=ARCHIVED)


def checked_roles(roles: object) -> tuple[Role, ...]:
    """Roles of a filter.

    Raises:
        InvalidInput: for a bare string, an empty list or an unknown role.
    """
    if isinstance(roles, str) or not isinstance(roles, Iterable):
        raise InvalidInput(f"roles: expected a list, got {_checks.shown(roles)}; write [{_checks.shown(roles)}]")
    chosen = tuple(_checks.one_of(role, "roles", ROLES) for role in roles)
    if not chosen:
        raise InvalidInput("roles: an empty list asks for nothing; leave it out to have every role")
    return chosen  # type: ignore[return-value]  # one_of() has seen to it


def checked_seqs(seqs: object) -> tuple[int, ...]:
    """Places of messages.

    Raises:
        InvalidInput: for anything but whole numbers from 1 on.
    """
    if isinstance(seqs, str | bytes) or not isinstance(seqs, Iterable):
        raise InvalidInput(
            f"seqs: expected a list of numbers, got {_checks.shown(seqs)}; write [{_checks.shown(seqs)}]"
        )
    return tuple(_checks.whole(seq, "seqs", most=sql.END) for seq in seqs)


def _count(conn: Connection, key: Key, archived: bool | None) -> int:
    require(conn, key)
    return sql.count(conn, key.params(), sql.view(archived, None))


def _flat(given: Iterable[Any]) -> list[Any]:
    messages: list[Any] = []
    for item in given:
        if isinstance(item, Collection | Iterator) and not isinstance(item, str | bytes | Mapping):
            messages.extend(item)
        else:  # a message; or what is refused as none, also where it can be iterated, as models of pydantic can
            messages.append(item)
    return messages
