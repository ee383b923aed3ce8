"""Where the index of a database is: inside it, or on Elasticsearch. The outbox feeds one of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, literal_column, select

from agent_session_core.errors import IndexUnavailable
from agent_session_core.sql.tables import database, elastic_indexes, elastic_sessions, outbox, sessions

__all__ = ["REMEDY", "is_elsewhere", "let_go", "require_free", "require_here", "take_over"]

TAKEN_BACK = "index taken back"
"""What the database says of itself when its index was on Elasticsearch, and no longer is."""
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
        conn.execute(insert(database).values(key=TAKEN_BACK, value="yes"))


def require_free(conn: Connection) -> None:
    """Check that an index on Elasticsearch may be begun by the way, as one is where there was none.

    Raises:
        IndexUnavailable: when it was there, and was brought back into the database.
    """
    if conn.execute(select(database.c.value).where(database.c.key == TAKEN_BACK)).first():
        raise IndexUnavailable(
            "index: it was brought back from Elasticsearch into the database; open the store without the server's "
            "address, or call store.reindex() to have it there again"
        )


def let_go(conn: Connection) -> None:
    """Have the index on Elasticsearch from now on, whatever was before."""
    conn.execute(delete(database).where(database.c.key == TAKEN_BACK))
