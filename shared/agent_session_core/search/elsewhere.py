"""Where the index of a database is: inside it, or on Elasticsearch. The outbox feeds one of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, literal_column, select

from agent_session_core.errors import IndexUnavailable
from agent_session_core.sql.tables import elastic_indexes, elastic_sessions, outbox, sessions

__all__ = ["REMEDY", "is_elsewhere", "require_here", "take_over"]

REMEDY = (
    "open the store with the server's address (index='http://...'), or call store.reindex() to bring the index back "
    "into the database"
)
"""What to do about an index that is elsewhere."""


def is_elsewhere(conn: Connection) -> bool:
    """Whether the index is on Elasticsearch."""
    return conn.execute(select(elastic_indexes.c.generation).limit(1)).first() is not None


def require_here(conn: Connection) -> None:
    """Check that the index is the one inside the database. Asked where nothing is in it, as while it is elsewhere.

    Raises:
        IndexUnavailable: when it is on Elasticsearch.
    """
    if is_elsewhere(conn):
        raise IndexUnavailable(f"index: this database is searched by way of Elasticsearch; {REMEDY}")


def take_over(conn: Connection) -> None:
    """Bring the index back into the database, if it is on Elasticsearch: all that is stored is to be indexed.

    What is on the server stays there until somebody deletes it.
    """
    if is_elsewhere(conn):
        for table in (elastic_indexes, elastic_sessions, outbox):
            conn.execute(delete(table))
        columns: tuple[ColumnElement[Any], ...] = (
            sessions.c.tenant,
            sessions.c.id,
            literal_column("1"),
            sessions.c.last_seq,
        )
        told = select(*columns).where(sessions.c.last_seq > 0)
        conn.execute(insert(outbox).from_select(["tenant", "session", "first_seq", "last_seq"], told))
