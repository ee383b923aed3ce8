"""Bytes of files on their way in, before the first version that has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from agent_session_core._checks import shown
from agent_session_core.content import now, to_microseconds
from agent_session_core.errors import InvalidInput
from agent_session_core.exchange import BlobEntry
from agent_session_core.files import MAX_FILE, PIECE, PIECES_AT_A_TIME
from agent_session_core.sql import blobs
from agent_session_core.sql import sessions as sql_sessions
from agent_session_core.sql import transfer as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.sessions import Scope

__all__ = ["IncomingBytes"]


@dataclass(slots=True)
class _Coming:
    """Bytes of which some pieces have come; ``blob`` is None where the tenant has them already."""

    sha256: str
    size: int
    blob: int | None
    come: int = 0
    stored: int = 0
    waiting: list[bytes] = field(default_factory=list)
    digest: Any = field(default_factory=hashlib.sha256)


class IncomingBytes:
    """What bytes a load has brought. A version of a file is given none that did not come with it.

    Otherwise whoever knows a digest could have the bytes of somebody else's file.
    """

    def __init__(self, database: Database, scope: Scope) -> None:
        """For a load into ``scope``."""
        self._database = database
        self._scope = scope
        self._tenant = scope.tenant
        self._coming: _Coming | None = None
        self._whole: dict[str, tuple[int | None, int]] = {}

    def take(self, piece: BlobEntry, session: str | None) -> None:
        """Store the next piece, for a file of ``session``: with that, it is erased.

        Raises:
            InvalidInput: where it does not follow the one before, the bytes are not those that were promised, or they
                have been erased meanwhile.
        """
        if piece.sha256 in self._whole:
            return
        if piece.offset == 0:
            self._begin(piece, session)
        coming = self._coming
        if coming is None or (coming.sha256, coming.size, coming.come) != (piece.sha256, piece.size, piece.offset):
            self._give_up()
            raise InvalidInput(f"bytes {shown(piece.sha256)}: a piece before this one is missing")
        coming.digest.update(piece.data)
        coming.come += len(piece.data)
        if coming.blob is not None:
            coming.waiting += [piece.data[start : start + PIECE] for start in range(0, len(piece.data), PIECE)]
            if coming.waiting and (len(coming.waiting) >= PIECES_AT_A_TIME or coming.come == coming.size):
                first, pieces = coming.stored, coming.waiting
                if not self._database.write(partial(_add, blob=coming.blob, first=first, pieces=pieces)):
                    self._coming = None
                    raise InvalidInput(f"bytes {shown(piece.sha256)}: they were erased while they came")
                coming.stored, coming.waiting = first + len(pieces), []
        if coming.come == coming.size:
            self._end(coming)

    def blob(self, conn: Connection, sha256: str, size: int) -> int | None:
        """The row of the bytes, for a version that has them; None where they have not come."""
        blob, come = self._whole.get(sha256, (None, -1))
        if come != size:
            return None
        if blob is None or not blobs.is_there(conn, blob):
            return sql.blob_named(conn, self._tenant, sha256)
        return blobs.finish(conn, self._tenant, blob, sha256, size)

    def given(self, sha256: str) -> None:
        """Note that a version with these bytes is stored."""
        self._whole[sha256] = (None, self._whole[sha256][1])

    def discard(self) -> None:
        """Throw away what no version has asked for."""
        self._give_up()
        waiting = [blob for blob, _ in self._whole.values() if blob is not None]
        self._whole.clear()
        if waiting:
            self._database.write(partial(blobs.discard, numbers=waiting))

    def _begin(self, piece: BlobEntry, session: str | None) -> None:
        self._give_up()
        if piece.size > MAX_FILE:
            raise InvalidInput(f"bytes {shown(piece.sha256)}: {piece.size:,} of them; the limit is {MAX_FILE:,}")
        there = self._database.read(partial(sql.blob_named, tenant=self._tenant, sha256=piece.sha256)) is not None
        begin = partial(_begin, scope=self._scope, session=session, at=to_microseconds(now()))
        self._coming = _Coming(piece.sha256, piece.size, None if there else self._database.write(begin))

    def _end(self, coming: _Coming) -> None:
        if coming.digest.hexdigest() != coming.sha256:
            self._give_up()
            raise InvalidInput(f"bytes {shown(coming.sha256)}: they are others; the file is damaged")
        self._whole[coming.sha256] = (coming.blob, coming.size)
        self._coming = None

    def _give_up(self) -> None:
        """Throw away pieces whose rest did not come."""
        coming, self._coming = self._coming, None
        if coming is not None and coming.blob is not None:
            self._database.write(partial(blobs.discard, numbers=[coming.blob]))


def _begin(conn: Connection, scope: Scope, session: str | None, at: int) -> int:
    row = None if session is None else sql_sessions.find(conn, scope, session)
    return blobs.begin(conn, scope.tenant, at, None if row is None else row.id)


def _add(conn: Connection, blob: int, first: int, pieces: list[bytes]) -> bool:
    """Add pieces; False where the blob has been erased."""
    if not blobs.is_there(conn, blob):
        return False
    blobs.add(conn, blob, first, pieces)
    return True
