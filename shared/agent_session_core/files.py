"""A session's files: versions by name, streamed in and out, their text found together with the messages."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, TypeAlias

from sqlalchemy import Connection

from agent_session_core import _checks
from agent_session_core._json import encode
from agent_session_core.content import from_microseconds, now, to_microseconds
from agent_session_core.errors import FileNotInSession, InvalidInput
from agent_session_core.keys import Key, require, require_active, take_numbers
from agent_session_core.leases import fenced
from agent_session_core.passages import announce_passages, passages_of
from agent_session_core.record_values import value_of
from agent_session_core.sql import blobs
from agent_session_core.sql import records as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.records import Place, RecordRow, Stamp

__all__ = ["FileVersion", "Files", "is_text"]

Content: TypeAlias = bytes | BinaryIO | Iterable[bytes]

PIECE = 256 * 1024
"""Bytes in one stored piece."""
PIECES_AT_A_TIME = 8
"""Pieces read, or written in one commit."""
MAX_FILE = 1024 * 1024 * 1024
"""Bytes in one version of a file."""
MAX_SESSION = 4 * 1024 * 1024 * 1024
"""Bytes in all versions of all files of a session, the same bytes counted once."""
MAX_TEXT = 1024 * 1024
"""Bytes of a text file that are searchable: its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """One version of a file.

    Attributes:
        version: 1 for the first of its name.
        size: bytes.
        sha256: of the bytes, in hexadecimal.
        data: the bytes, where they were asked for.
    """

    name: str
    version: int
    media_type: str
    size: int
    sha256: str
    created_at: datetime
    data: bytes | None = None


class Files:
    """The files of a session."""

    __slots__ = ("_database", "_key", "_place")

    def __init__(self, database: Database, key: Key) -> None:
        """For the session's handle."""
        self._database = database
        self._key = key
        self._place = Place(key.tenant, "session", str(key.session), "file")

    def put(self, name: str, data: Content, *, media_type: str | None = None) -> FileVersion:
        """Store a file, as a new version where the name is there already; the same bytes again change nothing.

        Large content is stored in pieces as it comes, and becomes a version in the last step: a put that is broken
        off leaves nothing to be seen.

        Args:
            name: 1-512 characters; slashes have no meaning.
            data: the bytes, a file opened for reading bytes, or pieces of bytes.
            media_type: as in ``text/markdown``; without one, told by the name.

        Raises:
            InvalidInput: naming what cannot be stored, or the limit that is passed.
            SessionNotFound: when the session has been deleted.
            SessionNotActive: when it is closed, expired or archived.
        """
        putting, pieces = _Putting(name, media_type), _pieces(data)
        self._database.read(partial(require_active, key=self._key))
        try:
            while batch := _some(pieces):
                putting.count(batch)
                putting.blob = self._database.write(partial(self._store, putting=putting, batch=batch))
                putting.stored += len(batch)
            return self._database.write(partial(self._finish, key=fenced(self._key), putting=putting))
        except BaseException:
            if putting.blob is not None:
                self._database.write(partial(blobs.discard_unfinished, blob=putting.blob))
            raise

    async def aput(self, name: str, data: Content, *, media_type: str | None = None) -> FileVersion:
        """As :meth:`put`; ``data`` is read in a thread."""
        putting, pieces = _Putting(name, media_type), _pieces(data)
        await self._database.aread(partial(require_active, key=self._key))
        try:
            while batch := await self._database.in_thread(partial(_some, pieces)):
                putting.count(batch)
                putting.blob = await self._database.awrite(partial(self._store, putting=putting, batch=batch))
                putting.stored += len(batch)
            return await self._database.awrite(partial(self._finish, key=fenced(self._key), putting=putting))
        except BaseException:
            if putting.blob is not None:
                await asyncio.shield(self._database.awrite(partial(blobs.discard_unfinished, blob=putting.blob)))
            raise

    def get(self, name: str, version: int | None = None) -> FileVersion:
        """A file with its bytes: the newest version, or the one asked for.

        Raises:
            FileNotInSession: when there is none.
        """
        found, blob = self._database.read(self._finding(name, version))
        return replace(found, data=b"".join(self._read(found, blob)))

    async def aget(self, name: str, version: int | None = None) -> FileVersion:
        """As :meth:`get`."""
        found, blob = await self._database.aread(self._finding(name, version))
        return replace(found, data=b"".join([piece async for piece in self._aread(found, blob)]))

    def stream(self, name: str, version: int | None = None) -> Iterator[bytes]:
        """A file's bytes in pieces of at most 256 KiB.

        Raises:
            FileNotInSession: when there is none, or it is erased while it is read.
        """
        return self._read(*self._database.read(self._finding(name, version)))

    async def astream(self, name: str, version: int | None = None) -> AsyncGenerator[bytes, None]:
        """As :meth:`stream`."""
        found, blob = await self._database.aread(self._finding(name, version))
        async for piece in self._aread(found, blob):
            yield piece

    def list(self) -> Sequence[FileVersion]:
        """The newest version of each file, without bytes, by name."""
        return self._database.read(self._list)

    async def alist(self) -> Sequence[FileVersion]:
        """As :meth:`list`."""
        return await self._database.aread(self._list)

    def history(self, name: str) -> Sequence[FileVersion]:
        """Every version that a file ever had, oldest first, without bytes; none where there never was one.

        Raises:
            SessionNotFound: when the session has been deleted.
        """
        return self._database.read(partial(self._history, name=_name(name)))

    async def ahistory(self, name: str) -> Sequence[FileVersion]:
        """As :meth:`history`."""
        return await self._database.aread(partial(self._history, name=_name(name)))

    def delete(self, name: str) -> None:
        """Take a file out of the session: it is no longer listed or found; its history stays until erasure.

        Raises:
            FileNotInSession: when there is none.
            SessionNotFound, SessionNotActive: as :meth:`put`.
        """
        self._database.write(partial(self._delete, key=fenced(self._key), name=_name(name)))

    async def adelete(self, name: str) -> None:
        """As :meth:`delete`."""
        await self._database.awrite(partial(self._delete, key=fenced(self._key), name=_name(name)))

    def _store(self, conn: Connection, putting: _Putting, batch: Sequence[bytes]) -> int:
        """The blob that the pieces were added to."""
        require_active(conn, self._key)  # nothing comes in behind an erasure
        blob = self._begin(conn) if putting.blob is None else putting.blob
        blobs.add(conn, blob, putting.stored, batch)
        return blob

    def _finish(self, conn: Connection, key: Key, putting: _Putting) -> FileVersion:
        require_active(conn, key)
        blob = putting.blob if putting.blob is not None else self._begin(conn)
        blob = blobs.finish(conn, self._key.tenant, blob, putting.sha256, putting.size)
        newest = sql.one(conn, self._place, putting.name)
        if newest is not None:
            there = _version(newest)
            if (there.sha256, there.media_type) == (putting.sha256, putting.media_type):
                return there
        if blobs.size_of(conn, self._place) + putting.size > MAX_SESSION:
            raise InvalidInput(
                f"data: the session's files would be over {MAX_SESSION:,} bytes, all versions together; "
                "put it into another session"
            )
        number = 1 + max((version.version for version in self._versions(conn, putting.name)), default=0)
        passages = passages_of(putting.text()) if putting.is_text else []
        value = {"version": number, "media_type": putting.media_type, "size": putting.size, "sha256": putting.sha256}
        last, run, revision = take_numbers(conn, key, len(passages))
        stamp = Stamp(revision, self._key.session, last, to_microseconds(now()))
        sql.write(conn, self._place, {putting.name: encode({**value, "blob": blob}, "file")}, stamp, blob=blob)
        announce_passages(conn, self._key, putting.name, number, passages, first_seq=last - len(passages) + 1, run=run)
        row = sql.one(conn, self._place, putting.name)
        if row is None:
            raise FileNotInSession(f"name: {_checks.shown(putting.name)} is not found")
        return _version(row)

    def _finding(self, name: str, version: int | None) -> Callable[[Connection], tuple[FileVersion, int]]:
        name = _name(name)
        if version is not None:
            _checks.whole(version, "version")

        def work(conn: Connection) -> tuple[FileVersion, int]:
            row: RecordRow | None
            if version is None:
                row = sql.one(conn, self._place, name)
            else:
                rows = [row for row in sql.history(conn, self._place, name) if row.value is not None]
                row = next((row for row in rows if _version(row).version == version), None)
            if row is None:
                require(conn, self._key)
                what = "" if version is None else f" in version {version}"
                raise FileNotInSession(
                    f"name: {_checks.shown(name)} is not found{what}; files.list() has those there are"
                )
            return _version(row), int(value_of("file", row)["blob"])

        return work

    def _list(self, conn: Connection) -> Sequence[FileVersion]:
        rows = sql.every(conn, self._place)
        if not rows:
            require(conn, self._key)
        return sorted((_version(row) for row in rows), key=lambda version: version.name)

    def _history(self, conn: Connection, name: str) -> Sequence[FileVersion]:
        versions = self._versions(conn, name)
        if not versions:
            require(conn, self._key)
        return versions

    def _versions(self, conn: Connection, name: str) -> Sequence[FileVersion]:
        """Each version once, as it was first written: a rewind, and its undoing, write some again."""
        found: dict[int, FileVersion] = {}
        for row in sql.history(conn, self._place, name):
            if row.value is not None:
                version = _version(row)
                found.setdefault(version.version, version)
        return [found[number] for number in sorted(found)]

    def _begin(self, conn: Connection) -> int:
        return blobs.begin(conn, self._key.tenant, to_microseconds(now()), self._key.session)

    def _delete(self, conn: Connection, key: Key, name: str) -> None:
        if sql.one(conn, self._place, name) is None:
            require(conn, self._key)
            raise FileNotInSession(f"name: {_checks.shown(name)} is not found; files.list() has those there are")
        last, run, revision = take_numbers(conn, key, 0)
        sql.write(conn, self._place, {name: None}, Stamp(revision, self._key.session, last, to_microseconds(now())))
        announce_passages(conn, self._key, name, 0, [], first_seq=last + 1, run=run)

    def _read(self, version: FileVersion, blob: int) -> Iterator[bytes]:
        for first in range(0, _pieces_in(version), PIECES_AT_A_TIME):
            yield from self._database.read(self._batch(version, blob, first))

    async def _aread(self, version: FileVersion, blob: int) -> AsyncIterator[bytes]:
        for first in range(0, _pieces_in(version), PIECES_AT_A_TIME):
            for piece in await self._database.aread(self._batch(version, blob, first)):
                yield piece

    def _batch(self, version: FileVersion, blob: int, first: int) -> Callable[[Connection], Sequence[bytes]]:
        count = min(PIECES_AT_A_TIME, _pieces_in(version) - first)

        def work(conn: Connection) -> Sequence[bytes]:
            found = blobs.pieces(conn, self._key.tenant, blob, first, count)
            if len(found) < count:
                raise FileNotInSession(f"name: {_checks.shown(version.name)} was erased while it was read")
            return found

        return work


class _Putting:
    """A put under way: what has come so far."""

    def __init__(self, name: str, media_type: str | None) -> None:
        self.name = _name(name)
        kind, encoding = mimetypes.guess_type(name)
        guessed = kind if kind is not None and encoding is None else "application/octet-stream"  # plan.md.gz is no text
        self.media_type = guessed if media_type is None else _checks.identifier(media_type, "media_type")
        self.blob: int | None = None
        self.stored = self.size = 0
        self._hash = hashlib.sha256()
        self._beginning = bytearray()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def is_text(self) -> bool:
        return is_text(self.media_type)

    def count(self, batch: Sequence[bytes]) -> None:
        for piece in batch:
            self.size += len(piece)
            self._hash.update(piece)
            if self.is_text and len(self._beginning) < MAX_TEXT:
                self._beginning += piece[: MAX_TEXT - len(self._beginning)]
        if self.size > MAX_FILE:
            raise InvalidInput(
                f"data: over {MAX_FILE:,} bytes in {_checks.shown(self.name)}; keep it elsewhere, and its address here"
            )

    def text(self) -> str:
        return self._beginning.decode("utf-8", errors="replace")


def is_text(media_type: str) -> bool:
    """Whether files of this media type are read as text."""
    kind = media_type.partition(";")[0]
    return kind.startswith("text/") or kind.endswith(("json", "xml", "yaml", "toml", "javascript"))


def _pieces(data: Content) -> Iterator[bytes]:
    if isinstance(data, bytes | bytearray | memoryview):
        whole = bytes(data)
        return (whole[start : start + PIECE] for start in range(0, len(whole), PIECE))
    if isinstance(data, str):
        raise InvalidInput("data: expected bytes, got a string; encode it, as by .encode()")
    if hasattr(data, "read"):
        return _resized(iter(partial(_read_bytes, data), b""))  # a pipe gives less at a time than it is asked for
    if not isinstance(data, Iterable):
        raise InvalidInput(
            f"data: expected bytes, got {type(data).__name__} {_checks.shown(data)}; use bytes or a file"
        )
    return _resized(data)


def _read_bytes(file: Any) -> bytes:
    piece = file.read(PIECE)
    if not isinstance(piece, bytes):
        raise InvalidInput("data: the file gives text; open it for reading bytes, with mode 'rb'")
    return piece


def _resized(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = bytearray()
    for piece in pieces:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise InvalidInput(f"data: expected pieces of bytes, got {type(piece).__name__} {_checks.shown(piece)}")
        rest += piece
        while len(rest) >= PIECE:
            yield bytes(rest[:PIECE])
            del rest[:PIECE]
    if rest:
        yield bytes(rest)


def _some(pieces: Iterator[bytes]) -> Sequence[bytes]:
    return list(islice(pieces, PIECES_AT_A_TIME))


def _version(row: RecordRow) -> FileVersion:
    value = value_of("file", row)
    return FileVersion(
        name=row.key,
        version=value["version"],
        media_type=value["media_type"],
        size=value["size"],
        sha256=value["sha256"],
        created_at=from_microseconds(row.written_at),
    )


def _pieces_in(version: FileVersion) -> int:
    return -(-version.size // PIECE)


def _name(name: object) -> str:
    return _checks.identifier(name, "name")
