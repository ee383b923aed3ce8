"""Bringing a database to the tables of this version, by alembic, from many processes at once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from agent_session_core.errors import DatabaseTooNew

HEAD = "0001"
"""The newest migration; a test compares it with the folder ``migrations``."""


def is_current(conn: Connection, url: str) -> bool:
    """True where the database has the tables of this version.

    Raises:
        DatabaseTooNew: when a newer version of this package made them.
    """
    revision = _revision(conn)
    if revision is not None and revision > HEAD:
        raise DatabaseTooNew(
            f"{url}: its tables are of version {revision[:20]}, this package knows up to {HEAD}; "
            "update agent-session-core"
        )
    return revision == HEAD


def migrate(conn: Connection, url: str) -> None:
    """Make or change the tables, all or nothing; of several processes at once, one does it and the others wait.

    Raises:
        DatabaseTooNew: when a newer version of this package made them.
    """
    conn.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        if not is_current(conn, url):
            _upgrade(conn)
        conn.commit()
    except BaseException:
        conn.rollback()
        raise


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    revision = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if revision is None else str(revision)


def _upgrade(conn: Connection) -> None:
    from alembic import command  # a third of a second, which opening a current database does not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
