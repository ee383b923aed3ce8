"""Functions and tools that record their calls in a session's ledger."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput
from agent_session_core.session import Session
from agent_session_core.tool_calls import MAX_RESULT, RunningToolCall

__all__ = ["Recording", "checked_key", "plain", "recorded"]

P = ParamSpec("P")
T = TypeVar("T")
Key: TypeAlias = Callable[..., str | None]

MAX_ARGUMENT = 64 * 1024
"""Characters of JSON in one recorded argument; a longer one is recorded by its beginning."""

_WORDS = reprlib.Repr()
_WORDS.maxstring = _WORDS.maxother = 2_000


UNSHOWN = "not JSON"
"""Under this name the ledger shows a function's result that it cannot hold."""


def _given(result: Any) -> Any:
    return result


def _never(_: Any) -> None:
    return None


def plain(value: Any, most: int = MAX_RESULT) -> Any:
    """``value`` as it is recorded: itself if it is JSON of at most ``most`` characters, else a text that shows it."""
    try:
        if len(_checks.json_value(value, "value")) <= most:
            return value
    except InvalidInput:
        pass
    return _WORDS.repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Generic[T]):
    """How the calls of one tool are recorded.

    Attributes:
        name: the tool's name in the ledger.
        dump: makes JSON of a result; what it gives and is not JSON is recorded as a text that shows it.
        show: what is recorded of such a text.
        load: makes a result of that JSON, for a call that is not to act again.
        failure: why a result says that the tool failed; None where it does not.
    """

    name: str
    dump: Callable[[T], Any] = _given
    show: Callable[[str], Any] = _given
    load: Callable[[Any], T] = _given
    failure: Callable[[T], str | None] = _never

    def run(
        self,
        session: Session,
        act: Callable[[str], T],
        arguments: Mapping[str, Any],
        *,
        call_id: str | None = None,
        key: str | None = None,
    ) -> T:
        """Act, and record it; or the result of the earlier call with the same key (or id), without acting.

        Args:
            session: whose ledger it is.
            act: the tool; it is given the call's id.
            arguments: what the ledger shows of what the tool is given.
            call_id: the model's id of the call; where another call has it, a new one is made.
            key: the idempotency key.

        Raises:
            ToolCallUnsettled: when an earlier call with the key or id runs, or ended nobody knows how.
            InvalidInput: when the key or the arguments cannot be recorded; nothing was done.
        """
        with self._call(session, arguments, call_id, key) as call:
            if call.earlier is not None:
                return self.load(call.result)
            result = act(call.id)
            error = self.failure(result)
            if error is None:
                call.succeed(self._kept(result))
            else:
                call.fail(error)
            return result

    async def arun(
        self,
        session: Session,
        act: Callable[[str], Awaitable[T]],
        arguments: Mapping[str, Any],
        *,
        call_id: str | None = None,
        key: str | None = None,
    ) -> T:
        """As :meth:`run`."""
        async with self._call(session, arguments, call_id, key) as call:
            if call.earlier is not None:
                return self.load(call.result)
            result = await act(call.id)
            error = self.failure(result)
            if error is None:
                await call.asucceed(self._kept(result))
            else:
                await call.afail(error)
            return result

    def _kept(self, result: T) -> Any:
        """What is recorded of a result; the tool has acted, so nothing that goes wrong here undoes it."""
        try:
            dumped = self.dump(result)
        except Exception:  # noqa: BLE001  # whatever the caller's function raises
            return self.show(_WORDS.repr(result))
        kept = plain(dumped)
        return kept if kept is dumped else self.show(kept)

    def _call(
        self, session: Session, arguments: Mapping[str, Any], call_id: str | None, key: str | None
    ) -> RunningToolCall:
        shown = {name: plain(value, MAX_ARGUMENT) for name, value in arguments.items()}
        return session.tool_call(self.name, shown, id=call_id, idempotency_key=key, ids="loose")


def recorded(
    session: Session | Callable[[], Session | Awaitable[Session]],
    *,
    name: str | None = None,
    idempotency_key: Key | None = None,
    dump: Callable[[Any], Any] = _given,
    load: Callable[[Any], Any] = _given,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator: every call of the function is recorded in the session's ledger, while it runs and when it has ended.

    A process that dies in the middle leaves the call ``unknown``. A call with the idempotency key of one that
    succeeded does not act again: it gives the earlier result. An exception is recorded as the call's failure, and goes
    on its way.

    Arguments and results that are not JSON are recorded as texts that show them. An earlier result comes back as its
    JSON does (a tuple as a list); a repeated call whose earlier result was no JSON is refused. For such results give
    ``dump`` and ``load``.

    Args:
        session: whose ledger it is, or what gives the session of a call (for an async function also an async one).
        name: the tool's name in the ledger; the function's by default.
        idempotency_key: makes the key of the arguments; None for a call without one.
        dump: makes JSON of a result.
        load: makes the result of that JSON again.

    Raises:
        InvalidInput: for a session, name or function that cannot be used; in a call, for a key that is no id, and
            for an earlier result that was no JSON.
        ToolCallUnsettled: in a call, when an earlier one with the key runs, or ended nobody knows how.
    """
    if not isinstance(session, Session) and (not callable(session) or _asks_for_arguments(session)):
        raise InvalidInput(
            f"session: expected a Session, or a function without arguments that gives one, got "
            f"{_checks.shown(session)}; write @recorded(session)"
        )
    checked_key(idempotency_key)
    for argument, function in (("dump", dump), ("load", load)):
        _check_function(function, argument)
    given = session

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        if not callable(function):
            raise InvalidInput(
                f"function: expected a function, got {_checks.shown(function)}; write @recorded(session)"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidInput("function: a generator has no one result to record; record a function that returns")
        called = getattr(function, "__name__", type(function).__name__) if name is None else name
        recording: Recording[Any] = Recording(
            name=_checks.identifier(called, "name"), dump=dump, show=_shown, load=partial(_loaded, called, load)
        )
        signature = inspect.signature(function)

        def shown(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
            arguments = signature.bind(*args, **kwargs).arguments
            return {key: value for key, value in arguments.items() if key not in ("self", "cls")}

        def key(*args: P.args, **kwargs: P.kwargs) -> str | None:
            return None if idempotency_key is None else idempotency_key(*args, **kwargs)

        @wraps(function)
        def calling(*args: P.args, **kwargs: P.kwargs) -> Any:
            arguments = shown(*args, **kwargs)
            found = given if isinstance(given, Session) else given()
            session = _checked(found)
            return recording.run(session, lambda _: function(*args, **kwargs), arguments, key=key(*args, **kwargs))

        @wraps(function)
        async def acalling(*args: P.args, **kwargs: P.kwargs) -> Any:
            arguments = shown(*args, **kwargs)
            found = given if isinstance(given, Session) else given()
            session = _checked(await found if inspect.isawaitable(found) else found)
            acting = cast("Callable[P, Awaitable[Any]]", function)
            return await recording.arun(session, lambda _: acting(*args, **kwargs), arguments, key=key(*args, **kwargs))

        return cast("Callable[P, T]", acalling if _is_async(function) else calling)

    return decorated


def checked_key(idempotency_key: object) -> None:
    """See that what is to make keys is a function, or None.

    Raises:
        InvalidInput: saying how one is given.
    """
    if idempotency_key is not None:
        _check_function(idempotency_key, "idempotency_key")


def _check_function(value: object, argument: str) -> None:
    if not callable(value):
        raise InvalidInput(f"{argument}: expected a function, got {_checks.shown(value)}; write lambda ...: ...")


def _asks_for_arguments(function: Callable[..., Any]) -> bool:
    """Whether it cannot be called without arguments, as far as that can be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return any(each.default is each.empty and each.kind not in free for each in parameters)


def _shown(text: str) -> dict[str, str]:
    return {UNSHOWN: text}


def _loaded(name: str, load: Callable[[Any], Any], result: Any) -> Any:
    if isinstance(result, dict) and result.keys() == {UNSHOWN}:
        raise InvalidInput(
            f"{name}: an earlier call with this key gave {result[UNSHOWN]:.200}, which is no JSON; "
            "give dump= and load= to have it again"
        )
    return load(result)


def _checked(session: object) -> Session:
    if not isinstance(session, Session):
        raise InvalidInput(f"session: expected a function that gives a Session, got {_checks.shown(session)}")
    return session


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004  # whether it is async, not whether it can be called
