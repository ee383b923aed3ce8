"""Statements about the bytes of files."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from agent_session_core.sql.locks import alone
from agent_session_core.sql.records import Place
from agent_session_core.sql.tables import blob_pieces, blobs, records


def begin(conn: Connection, tenant: str, at: int, session: int | None = None) -> int:
    """A new blob without bytes; unfinished, and the session's (the row's number), until :func:`finish`."""
    made = conn.execute(insert(blobs).values(tenant=tenant, session=session, created_at=at)).inserted_primary_key
    return int(made[0]) if made else 0


def add(conn: Connection, blob: int, first: int, pieces: Sequence[bytes]) -> None:
    """Add pieces, numbered from ``first`` on."""
    conn.execute(
        insert(blob_pieces),
        [{"blob": blob, "number": number, "data": data} for number, data in enumerate(pieces, first)],
    )


def finish(conn: Connection, tenant: str, blob: int, sha256: str, size: int) -> int:
    """Give the blob its name; where the tenant has the same bytes already, that blob stands for it.

    It may have the name already: two versions of files that come in one step can have the same bytes.
    """
    alone(conn, f"files of {tenant}")  # a blob that is found here is not discarded before it is spoken of
    there = conn.execute(select(blobs.c.id).where(blobs.c.tenant == tenant, blobs.c.sha256 == sha256)).scalar()
    if there is not None:
        if there != blob:
            discard(conn, [blob])
        return int(there)
    conn.execute(update(blobs).where(blobs.c.id == blob).values(sha256=sha256, size=size, session=None))
    return blob


def pieces(conn: Connection, tenant: str, blob: int, first: int, count: int) -> list[bytes]:
    """``count`` pieces from ``first`` on."""
    statement = (
        select(blob_pieces.c.data)
        .join(blobs, blobs.c.id == blob_pieces.c.blob)
        .where(blobs.c.id == blob, blobs.c.tenant == tenant, blob_pieces.c.number >= first)
        .order_by(blob_pieces.c.number)
        .limit(count)
    )
    return [bytes(data) for data in conn.execute(statement).scalars()]


def unfinished(conn: Connection, before: int) -> list[int]:
    """Blobs begun before this time and never finished: what a broken-off put has left."""
    statement = select(blobs.c.id).where(blobs.c.sha256.is_(None), blobs.c.created_at < before)
    return [int(row) for row in conn.execute(statement).scalars()]


def is_there(conn: Connection, blob: int) -> bool:
    """Whether the blob has not been discarded."""
    return conn.execute(select(blobs.c.id).where(blobs.c.id == blob)).first() is not None


def unfinished_in(conn: Connection, tenant: str) -> list[int]:
    """Blobs of a tenant that are being put, or were broken off."""
    statement = select(blobs.c.id).where(blobs.c.tenant == tenant, blobs.c.sha256.is_(None))
    return [int(row) for row in conn.execute(statement).scalars()]


def unfinished_of(conn: Connection, sessions: Sequence[int]) -> list[int]:
    """Blobs that are being put into one of these sessions."""
    return [int(row) for row in conn.execute(select(blobs.c.id).where(blobs.c.session.in_(sessions))).scalars()]


def size_of(conn: Connection, place: Place) -> int:
    """The bytes of all versions of the files at a place, the same bytes counted once."""
    here = (records.c.tenant == place.tenant) & (records.c.scope == place.scope) & (records.c.kind == place.kind)
    held = select(records.c.blob).where(here, records.c.subject == place.subject, records.c.blob.is_not(None))
    return int(conn.execute(select(func.coalesce(func.sum(blobs.c.size), 0)).where(blobs.c.id.in_(held))).scalar_one())


def discard_unfinished(conn: Connection, blob: int) -> None:
    """Throw away what a put has brought that came to nothing; where it came to its end, nothing happens."""
    if conn.execute(select(blobs.c.id).where(blobs.c.id == blob, blobs.c.sha256.is_(None))).scalar() is not None:
        discard(conn, [blob])


def discard(conn: Connection, numbers: Sequence[int]) -> int:
    """Delete blobs with their bytes; how many bytes that were."""
    size = conn.execute(
        select(func.coalesce(func.sum(func.length(blob_pieces.c.data)), 0)).where(blob_pieces.c.blob.in_(numbers))
    ).scalar_one()
    conn.execute(delete(blob_pieces).where(blob_pieces.c.blob.in_(numbers)))
    conn.execute(delete(blobs).where(blobs.c.id.in_(numbers)))
    return int(size)
