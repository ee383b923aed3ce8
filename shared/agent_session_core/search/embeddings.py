"""Vectors that stand in the database already, by the hash of their text.

A row belongs to the session for which it was made, is written in the transaction that finds the session there, and goes
when the session does: no trace of a text outlives its erasure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, delete, select

from agent_session_core.sql.statement import Statement
from agent_session_core.sql.tables import index_embeddings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["forget", "keep", "known"]

_e = index_embeddings.c
_KNOWN = Statement(
    select(_e.vector).where(
        _e.tenant == bindparam("tenant"), _e.embedding == bindparam("embedding"), _e.digest == bindparam("digest")
    )
)
_COLUMNS = ("tenant", "embedding", "digest", "session", "vector")
_KEEP = Statement(
    lambda insert_into: (
        insert_into(index_embeddings).values({name: bindparam(name) for name in _COLUMNS}).on_conflict_do_nothing()
    )
)
_FORGET = Statement(delete(index_embeddings).where(_e.session == bindparam("of_session")))


def known(conn: Connection, tenant: str, embedding: str, digests: Iterable[bytes]) -> dict[bytes, bytes]:
    """The packed vectors that ``embedding`` made for some of these texts."""
    key = {"tenant": tenant, "embedding": embedding}
    rows = ((digest, _KNOWN.one(conn, {**key, "digest": digest})) for digest in digests)
    return {digest: row[0] for digest, row in rows if row is not None}


def keep(conn: Connection, tenant: str, embedding: str, session: int, made: Mapping[bytes, bytes]) -> None:
    """Keep packed vectors, by their texts' digests, for as long as ``session`` is there."""
    if made:
        rows = [(tenant, embedding, digest, session, vector) for digest, vector in sorted(made.items())]
        _KEEP.run_many(conn, _COLUMNS, rows)


def forget(conn: Connection, session: int) -> None:
    """Forget what was made for a session."""
    _FORGET.run(conn, {"of_session": session})
