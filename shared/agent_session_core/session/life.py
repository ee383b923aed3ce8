"""A session's life: the part of the handle that ends, restores, restarts, forks, rewinds and deletes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from agent_session_core import _checks, branching, lifecycle
from agent_session_core.erasure import erase_sessions
from agent_session_core.keys import Key, check_turn, require, take_numbers
from agent_session_core.leases import Turn
from agent_session_core.models import ErasureReceipt
from agent_session_core.session.base import SessionBase, Work
from agent_session_core.sql.sessions import SessionRow

if TYPE_CHECKING:
    from agent_session_core.session import Session

__all__ = ["SessionLife"]

LAST = 2**62


class SessionLife(SessionBase):
    """The methods of a session that are about its life."""

    __slots__ = ()

    def touch(self) -> None:
        """Move the idle deadline, as every write does.

        Raises:
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        self._database.write(partial(_touch, key=self._key))

    async def atouch(self) -> None:
        """As :meth:`touch`."""
        await self._database.awrite(partial(_touch, key=self._key))

    def close(self) -> None:
        """End the session: it can be read and searched, and refuses writes until :meth:`restore`.

        Raises:
            SessionNotFound: when it has been deleted.
            SessionNotActive: when it is expired or archived.
        """
        self._database.write(self._into("closed", "active"))

    async def aclose(self) -> None:
        """As :meth:`close`."""
        await self._database.awrite(self._into("closed", "active"))

    def archive(self) -> None:
        """Put the session away: it can be read, and is searched on request only.

        Raises:
            SessionNotFound: when it has been deleted.
        """
        self._database.write(self._into("archived", "active", "closed", "expired"))

    async def aarchive(self) -> None:
        """As :meth:`archive`."""
        await self._database.awrite(self._into("archived", "active", "closed", "expired"))

    def restore(self) -> None:
        """Make the session active again. Its idle time begins anew; an absolute deadline that has passed is dropped.

        Raises:
            SessionNotFound: when it has been deleted.
        """
        self._database.write(self._into("active", "closed", "expired", "archived"))

    async def arestore(self) -> None:
        """As :meth:`restore`."""
        await self._database.awrite(self._into("active", "closed", "expired", "archived"))

    def restart(self, *, keep_state: bool = True) -> int:
        """Begin a new run under the same id, whatever the status: ``messages()`` starts empty.

        Earlier messages stay searchable, and readable by ``run=``. Files and tasks stay.

        Args:
            keep_state: whether the session's own variables are kept or cleared.

        Returns:
            The number of the new run.

        Raises:
            SessionNotFound: when the session has been deleted.
        """
        return self._database.write(self._restart(keep_state))

    async def arestart(self, *, keep_state: bool = True) -> int:
        """As :meth:`restart`."""
        return await self._database.awrite(self._restart(keep_state))

    def turn(self, timeout: float = 30.0) -> Turn:
        """The session's turn, to be entered with ``with`` or ``async with``: one worker at a time.

        Args:
            timeout: seconds to wait for a worker that has it.

        Raises:
            InvalidInput: for a timeout out of range.
            TurnTaken: on entering, when the turn was not free in time; in the block, by a write that comes after
                another worker took the turn over.
        """
        return Turn(self._database, self._services.keeper, self._plain_key, timeout)

    def fork(self, session_id: str, *, at: int | None = None) -> Session:
        """A new session with everything of this one as it was at the message ``at`` (seq), by default as it is.

        Messages, state, files, tasks and tool calls are copied; the two go their own ways from there. A cut inside a
        turn is moved to the end of the turn before: ``fork.forked_from`` tells. At a message of an earlier run, the
        fork is of that run; beyond the last message, of the session as it is.

        Raises:
            InvalidInput: for an id or seq that cannot be used.
            SessionExists: when the id is taken.
            SessionNotFound: when this session has been deleted.
        """
        row = self._database.write(self._fork(session_id, at))
        return type(self)(self._services, self._plain_key.tenant, row)  # type: ignore[return-value]  # a Session is its own type

    async def afork(self, session_id: str, *, at: int | None = None) -> Session:
        """As :meth:`fork`."""
        row = await self._database.awrite(self._fork(session_id, at))
        return type(self)(self._services, self._plain_key.tenant, row)  # type: ignore[return-value]  # a Session is its own type

    def rewind(self, *, to: int) -> int:
        """Take back everything after the message ``to`` (seq): messages, state, files, tasks and tool calls.

        A cut inside a turn is moved to the end of the turn before; 0 takes back all of the current run. Where there is
        nothing to take back, as beyond the last message, nothing is written. Tool calls made with an idempotency key
        are still remembered by it: what acted in the world is not done twice.

        Returns:
            The seq of the last message that stays; 0 for none.

        Raises:
            InvalidInput: for a seq that cannot be used, or of an earlier run.
            SessionNotFound, SessionNotActive: as :meth:`touch`.
        """
        return self._database.write(self._rewind(to))

    async def arewind(self, *, to: int) -> int:
        """As :meth:`rewind`."""
        return await self._database.awrite(self._rewind(to))

    def undo_rewind(self) -> int:
        """Bring back what the last :meth:`rewind` took, as long as nothing was written since.

        Returns:
            The seq of the last message that is there again.

        Raises:
            InvalidInput: when there is nothing to undo.
            SessionNotFound, SessionNotActive: as :meth:`touch`.
        """
        return self._database.write(partial(branching.undo_rewind, key=self._key))

    async def aundo_rewind(self) -> int:
        """As :meth:`undo_rewind`."""
        return await self._database.awrite(partial(branching.undo_rewind, key=self._key))

    def delete(self, *, forks: bool = False) -> ErasureReceipt:
        """Delete the session with everything in it, from the index too; nothing of it can be brought back.

        Args:
            forks: also what was forked from it.

        Raises:
            SessionNotFound: when it has been deleted before.
        """
        return self._services.confirmed(self._database.write(self._deletion(forks)))

    async def adelete(self, *, forks: bool = False) -> ErasureReceipt:
        """As :meth:`delete`."""
        return await self._services.aconfirmed(await self._database.awrite(self._deletion(forks)))

    def _into(self, status: str, *allowed: str) -> Work[None]:
        return partial(lifecycle.set_status, key=self._key, status=status, allowed=allowed)

    def _restart(self, keep_state: bool) -> Work[int]:
        return partial(lifecycle.restart, key=self._key, keep_state=_checks.flag(keep_state, "keep_state"))

    def _fork(self, session_id: str, at: int | None) -> Work[SessionRow]:
        name = _checks.identifier(session_id, "session_id")
        cut = None if at is None else _checks.whole(at, "at", least=0, most=LAST)
        return partial(branching.fork, key=self._key, name=name, at=cut)

    def _rewind(self, to: int) -> Work[int]:
        return partial(branching.rewind, key=self._key, to=_checks.whole(to, "to", least=0, most=LAST))

    def _deletion(self, forks: bool) -> Work[ErasureReceipt]:
        return partial(self._delete, key=self._key, forks=_checks.flag(forks, "forks"))

    def _delete(self, conn: Connection, key: Key, forks: bool) -> ErasureReceipt:
        check_turn(conn, key)
        return erase_sessions(conn, key.tenant, [require(conn, key)], user_id=key.owner, forks=forks)


def _touch(conn: Connection, key: Key) -> None:
    take_numbers(conn, key, 0)
