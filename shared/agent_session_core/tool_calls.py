"""The ledger of a session's tool calls: those made through it, and those seen in messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core._json import decode, encode
from agent_session_core.content import from_microseconds, new_id, now, to_microseconds
from agent_session_core.errors import InvalidInput, ToolCallUnsettled
from agent_session_core.keys import Key, require, take_numbers
from agent_session_core.leases import Keeper, fenced, from_now, taken
from agent_session_core.models import TOOL_CALL_STATUSES, Message, ToolCallPart, ToolCallStatus
from agent_session_core.reading import Reading, read
from agent_session_core.record_values import value_of
from agent_session_core.sql import leases as sql_leases
from agent_session_core.sql import records as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place, Stamp
from agent_session_core.turns import answers

__all__ = ["RunningToolCall", "ToolCall", "ToolCalls"]

MAX_RESULT = 4 * 1024 * 1024
"""Characters of JSON in the arguments or the result of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call as the ledger has it.

    Attributes:
        status: ``requested`` by a model and not seen to run; ``running`` in a process that lives; ``succeeded``;
            ``failed``; ``unknown``: its process is gone, and whether it acted is not known.
        arguments: a mapping, or the model's text where that is not a JSON object.
        result: what the tool answered (for a call seen in messages: the text of the answer).
        error: why it failed.
        seq: the message that asked for it, where one did.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str
    status: ToolCallStatus
    idempotency_key: str | None = None
    result: Any = None
    error: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seq: int | None = None


class RunningToolCall:
    """A tool call under way: a context whose end settles it.

    Say :meth:`succeed` with the result; a block that ends without a word has succeeded with None. An exception that
    leaves the context is recorded as the call's failure; one that breaks it off (an interrupt, a cancelled task) leaves
    ``unknown``, since nobody knows how far the tool came; so does a result that cannot be recorded. Whatever leaves the
    context goes on its way, also where it cannot be recorded.

    Attributes:
        id: the call's id.
        earlier: the call with the same idempotency key that succeeded before; then ``result`` is its result, and the
            tool must not act again.
    """

    __slots__ = ("_acted", "_calls", "_given", "_loose", "_settled", "_token", "earlier", "id")

    def __init__(self, calls: ToolCalls, call: ToolCall, loose: bool) -> None:
        """For the session's handle."""
        self._calls = calls
        self._given = call
        self._loose = loose
        self._acted = self._settled = False
        self._token: int | None = None
        self.id = call.id
        self.earlier: ToolCall | None = None

    @property
    def result(self) -> Any:
        """The result, where the call (or the earlier one) has succeeded."""
        return self.earlier.result if self.earlier is not None else self._given.result

    def succeed(self, result: Any = None) -> None:
        """Record the result: any JSON value.

        Raises:
            InvalidInput: when it is not JSON or too large, the call has ended already, or has not begun.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        self._check_begun()
        self._acted = True
        self._calls.settle(self.id, result=result, token=self._token)
        self._done(result)

    async def asucceed(self, result: Any = None) -> None:
        """As :meth:`succeed`."""
        self._check_begun()
        self._acted = True
        await self._calls.asettle(self.id, result=result, token=self._token)
        self._done(result)

    def fail(self, error: str) -> None:
        """Record why it failed.

        Raises:
            InvalidInput, SessionNotFound, SessionNotActive: as :meth:`succeed`.
        """
        self._check_begun()
        self._calls.settle(self.id, error=error, token=self._token)
        self._settled = True

    async def afail(self, error: str) -> None:
        """As :meth:`fail`."""
        self._check_begun()
        await self._calls.asettle(self.id, error=error, token=self._token)
        self._settled = True

    def __enter__(self) -> RunningToolCall:
        self._begun(*self._calls.begin(self._given, loose=self._loose))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if (outcome := self._outcome(error)) is not None:
                self._calls.settle(self.id, token=self._token, **outcome)
        except Exception:
            if error is None:  # else the tool's own is what counts; a call that has ended already stays as it is
                raise
        finally:
            self._calls.let_go(self.id, self._token)

    async def __aenter__(self) -> RunningToolCall:
        self._begun(*await self._calls.abegin(self._given, loose=self._loose))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            if (outcome := self._outcome(error)) is not None:
                await asyncio.shield(self._calls.asettle(self.id, token=self._token, **outcome))
        except Exception:
            if error is None:  # as above
                raise
        finally:
            self._calls.let_go(self.id, self._token)

    def _check_begun(self) -> None:
        if self._token is None and self.earlier is None:
            raise InvalidInput(f"tool call {_checks.shown(self._given.name)}: it has not begun; enter it by 'with'")

    def _done(self, result: Any) -> None:
        self._settled = True
        self._given = replace(self._given, result=result)

    def _begun(self, call: ToolCall, token: int | None) -> None:
        self.id, self._token, self._acted = call.id, token, False
        self._settled = call.status == "succeeded"
        self.earlier = call if self._settled else None

    def _outcome(self, error: BaseException | None) -> dict[str, Any] | None:
        if self._settled:
            return None
        if error is None:
            return {"result": None}
        broken_off = self._acted or not isinstance(error, Exception)
        return {"error": _told(error), "unknown": broken_off}


class ToolCalls:
    """The ledger of one session."""

    __slots__ = ("_database", "_keeper", "_key")

    def __init__(self, database: Database, keeper: Keeper, key: Key) -> None:
        """For the session's handle."""
        self._database = database
        self._keeper = keeper
        self._key = key

    def make(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        call_id: str | None,
        idempotency_key: str | None,
        ids: str = "strict",
    ) -> RunningToolCall:
        """A call that begins when its context is entered.

        Raises:
            InvalidInput: naming what cannot be stored.
        """
        if arguments is not None and not isinstance(arguments, Mapping):
            raise InvalidInput(
                f"arguments: expected a mapping, got {type(arguments).__name__} {_checks.shown(arguments)}; use a dict"
            )
        given = dict(arguments or {})
        _checked(given, "arguments")
        call = ToolCall(
            id=new_id() if call_id is None else _checks.identifier(call_id, "id"),
            name=_checks.identifier(name, "name"),
            arguments=given,
            status="running",
            idempotency_key=_checks.optional_identifier(idempotency_key, "idempotency_key"),
        )
        return RunningToolCall(self, call, _checks.one_of(ids, "ids", ("strict", "loose")) == "loose")

    def begin(self, call: ToolCall, *, loose: bool) -> tuple[ToolCall, int | None]:
        """Record that ``call`` runs: as it was recorded, and its lease's token; or the earlier one that succeeded.

        Raises:
            InvalidInput: when the id is another call's (unless ``loose``, which gives this one another), or the
                idempotency key another tool's.
            ToolCallUnsettled: when an earlier call with the key, or the id, still runs or has an unknown outcome.
        """
        return self._renewed(*self._database.write(partial(self._begin, key=fenced(self._key), call=call, loose=loose)))

    async def abegin(self, call: ToolCall, *, loose: bool) -> tuple[ToolCall, int | None]:
        """As :meth:`begin`."""
        work = partial(self._begin, key=fenced(self._key), call=call, loose=loose)
        return self._renewed(*await taken(self._database.awrite(work), self._give_back))

    async def _give_back(self, begun: tuple[ToolCall, int | None]) -> None:
        """Record of a call that never came to act why it did not."""
        call, token = begun
        if token is not None:
            await self.asettle(call.id, error="cancelled before it began", token=token)

    def settle(
        self,
        call_id: str,
        *,
        result: Any = None,
        error: str | None = None,
        unknown: bool = False,
        token: int | None = None,
    ) -> None:
        """Record how a call ended: by who runs it, with the token of its lease; or, its process gone, by who found out.

        Raises:
            InvalidInput: when there is no such call, it has ended already, or the outcome cannot be stored.
            ToolCallUnsettled: when it runs in a process that lives, and another one tells.
        """
        self._database.write(self._settling(call_id, result, error, unknown, token))

    async def asettle(
        self,
        call_id: str,
        *,
        result: Any = None,
        error: str | None = None,
        unknown: bool = False,
        token: int | None = None,
    ) -> None:
        """As :meth:`settle`."""
        await self._database.awrite(self._settling(call_id, result, error, unknown, token))

    def let_go(self, call_id: str, token: int | None) -> None:
        """Renew a call's lease no longer: it has ended, or its outcome could not be recorded."""
        if token is not None:
            self._keeper.drop(self._key.session, _lease(call_id), token)

    def list(self, status: str | None) -> Sequence[ToolCall]:
        """Every call of the session, in the order they were asked for, or those with this status."""
        return self._database.read(self._listing(status), snapshot=True)

    async def alist(self, status: str | None) -> Sequence[ToolCall]:
        """As :meth:`list`."""
        return await self._database.aread(self._listing(status), snapshot=True)

    def rewound(self) -> Sequence[ToolCall]:
        """Calls that a rewind has taken back, may have acted, and still stop others by their idempotency key."""
        return self._database.read(self._rewound, snapshot=True)

    async def arewound(self) -> Sequence[ToolCall]:
        """As :meth:`rewound`."""
        return await self._database.aread(self._rewound, snapshot=True)

    def _rewound(self, conn: Connection) -> Sequence[ToolCall]:
        known = made(conn, self._key)
        ids = [str(value_of("key", row)) for row in sql.every(conn, self._keys)]
        found = [self._one(conn, call_id) for call_id in ids if call_id not in known]
        return [call for call in found if call is not None and call.status == "unknown"]

    def _listing(self, status: str | None) -> Callable[[Connection], Sequence[ToolCall]]:
        if status is not None:
            _checks.one_of(status, "status", TOOL_CALL_STATUSES)

        def work(conn: Connection) -> Sequence[ToolCall]:
            return [call for call in ledger(conn, self._key) if status in (None, call.status)]

        return work

    def _begin(self, conn: Connection, key: Key, call: ToolCall, loose: bool) -> tuple[ToolCall, int | None]:
        earlier = self._one(conn, call.id)
        if earlier is not None:
            wrong = _difference(earlier, call)
            if wrong is None:
                call = replace(call, idempotency_key=earlier.idempotency_key)
            elif loose:
                earlier, call = None, replace(call, id=new_id())
            elif earlier.status != "failed":
                raise InvalidInput(f"id: {_checks.shown(call.id)} {wrong}")
        if call.idempotency_key is not None:
            keyed = sql.one(conn, self._keys, call.idempotency_key)
            if keyed is not None:
                earlier = self._one(conn, value_of("key", keyed))
                if earlier is not None and earlier.name != call.name:
                    raise InvalidInput(
                        f"idempotency_key: {_checks.shown(call.idempotency_key)} is a call's of "
                        f"{_checks.shown(earlier.name)}; give this one another"
                    )
        if earlier is not None and earlier.status == "succeeded":
            return earlier, None
        if earlier is not None and earlier.status in ("running", "unknown"):
            what = {
                "running": "is running elsewhere; wait until it has ended",
                "unknown": "was broken off and may have acted; find out, then say so with session.settle_tool_call()",
            }[earlier.status]
            raise ToolCallUnsettled(f"tool call {_checks.shown(earlier.id)} ({_checks.shown(call.name)}) {what}")
        call = replace(call, started_at=now())
        self._write(conn, key, call)
        at = to_microseconds(now())
        token = sql_leases.take(conn, key.session, _lease(call.id), at=at, until=from_now(self._keeper.lease))
        return call, token

    def _settling(
        self, call_id: str, result: Any, error: str | None, unknown: bool, token: int | None
    ) -> Callable[[Connection], None]:
        call_id = _checks.identifier(call_id, "id")
        _checked(result, "result")
        if error is not None:
            if result is not None:
                raise InvalidInput("error: cannot go with a result; give the one or the other")
            if not isinstance(error, str):
                raise InvalidInput(f"error: {_checks.shown(error)} is no text; give one, by str()")
        key = fenced(self._key)
        status: ToolCallStatus = "unknown" if unknown else "succeeded" if error is None else "failed"

        def work(conn: Connection) -> None:
            call = self._one(conn, call_id)
            if call is None:
                require(conn, key)
                raise InvalidInput(
                    f"id: {_checks.shown(call_id)} is no call made through this session; see tool_calls()"
                )
            if call.status not in ("running", "unknown"):
                raise InvalidInput(f"id: {_checks.shown(call_id)} has ended already: it {call.status}; leave it so")
            newest = sql_leases.token(conn, self._key.session, _lease(call_id))
            if token != newest and (token is not None or call.status == "running"):
                raise ToolCallUnsettled(
                    f"tool call {_checks.shown(call_id)} is running elsewhere; wait until it has ended"
                )
            self._write(conn, key, replace(call, status=status, result=result, error=error, finished_at=now()))
            sql_leases.prolong(conn, [(self._key.session, _lease(call_id), newest or 0)], until=0)

        return work

    def _one(self, conn: Connection, call_id: str) -> ToolCall | None:
        """A call as it stood last, also one that a rewind has taken back: what acted in the world is not forgotten."""
        row = sql.newest(conn, place(self._key), call_id)
        if row is None:
            return None
        lives = sql_leases.held(conn, self._key.session).get(_lease(call_id), 0) > to_microseconds(now())
        return _made(call_id, value_of("call", row), lives)

    @property
    def _keys(self) -> Place:
        """Where the call of each idempotency key is recorded; no rewind takes that back."""
        return replace(place(self._key), kind="key")

    def _write(self, conn: Connection, key: Key, call: ToolCall) -> None:
        last_seq, _, revision = take_numbers(conn, key, 0)
        stamp = Stamp(revision, key.session, last_seq, to_microseconds(now()))
        value = {
            "name": call.name,
            "arguments": call.arguments,
            "status": call.status,
            "idempotency_key": call.idempotency_key,
            "result": call.result,
            "error": call.error,
            "started_at": call.started_at and to_microseconds(call.started_at),
            "finished_at": call.finished_at and to_microseconds(call.finished_at),
        }
        sql.write(conn, place(self._key), {call.id: encode(value, "tool call", around=1)}, stamp)
        if call.idempotency_key is not None and call.status == "running":
            sql.write(conn, self._keys, {call.idempotency_key: encode(call.id, "id")}, stamp)

    def _renewed(self, call: ToolCall, token: int | None) -> tuple[ToolCall, int | None]:
        if token is not None:
            self._keeper.hold(self._key.session, _lease(call.id), token)
        return call, token


def place(key: Key) -> Place:
    """Where the calls made through a session are recorded."""
    return Place(key.tenant, "session", str(key.session), "call")


def made(conn: Connection, key: Key) -> dict[str, ToolCall]:
    """The calls made through the session; one that runs, and whose lease has ended, is unknown."""
    rows = sql.every(conn, place(key))
    if not rows:
        return {}
    ends, at = sql_leases.held(conn, key.session), to_microseconds(now())
    return {row.key: _made(row.key, value_of("call", row), ends.get(_lease(row.key), 0) > at) for row in rows}


def ledger(conn: Connection, key: Key) -> list[ToolCall]:
    """Every call of the session's current run: those its messages ask for, in their order, then those only made."""
    require(conn, key)
    known = made(conn, key)
    found: list[ToolCall] = []
    places: dict[str, int] = {}
    for message in read(conn, key, Reading(archived=None)):
        for part in message.parts:
            if isinstance(part, ToolCallPart) and part.id is not None:
                places[part.id] = len(found)
                found.append(_seen(part, part.id, message, known.pop(part.id, None)))
        for call_id in answers(message):
            index = places.get(call_id)
            if index is not None and found[index].status == "requested":
                found[index] = _answered(found[index], message)
    return found + list(known.values())


def _seen(part: ToolCallPart, call_id: str, message: Message, call: ToolCall | None) -> ToolCall:
    if call is not None:
        return replace(call, seq=message.seq)
    return ToolCall(id=call_id, name=part.name, arguments=part.arguments, status="requested", seq=message.seq)


def _answered(call: ToolCall, message: Message) -> ToolCall:
    if message.is_error:
        return replace(call, status="failed", error=message.text, finished_at=message.created_at)
    return replace(call, status="succeeded", result=message.text, finished_at=message.created_at)


def _made(call_id: str, value: Mapping[str, Any], lives: bool) -> ToolCall:
    status: ToolCallStatus = value["status"] if value["status"] != "running" or lives else "unknown"
    started, finished = value["started_at"], value["finished_at"]
    return ToolCall(
        id=call_id,
        name=value["name"],
        arguments=value["arguments"],
        status=status,
        idempotency_key=value["idempotency_key"],
        result=value["result"],
        error=value["error"],
        started_at=None if started is None else from_microseconds(started),
        finished_at=None if finished is None else from_microseconds(finished),
    )


def _difference(earlier: ToolCall, call: ToolCall) -> str | None:
    """Why a call that has the id of an earlier one is not the same call, and what to do; None where it is."""
    if (earlier.name, earlier.arguments) != (call.name, decode(encode(call.arguments, "arguments"))):
        return "is another call's; leave it out, or give a new one"
    if call.idempotency_key in (None, earlier.idempotency_key):
        return None
    key = None if earlier.idempotency_key is None else _checks.shown(earlier.idempotency_key)
    made = "without an idempotency_key" if key is None else f"with idempotency_key {key}"
    return f"is a call's that was made {made}; make this one so too, and it is the same call"


def _told(error: BaseException) -> str:
    """What the ledger says of an exception; one that cannot be shown is told by its kind."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"[:2_000]
    except Exception:  # noqa: BLE001  # whatever __str__ raises, the tool's own exception is what counts
        return kind


def _lease(call_id: str) -> str:
    return f"call {call_id}"


def _checked(value: Any, argument: str) -> str:
    text = _checks.json_value(value, argument)
    if len(text) > MAX_RESULT:
        raise InvalidInput(
            f"{argument}: {len(text):,} characters of JSON; the limit is {MAX_RESULT:,}: keep it in a file"
        )
    return text
