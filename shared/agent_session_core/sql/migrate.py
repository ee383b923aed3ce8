"""Bringing a database to the tables of this version, by alembic, from many processes at once."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from agent_session_core._checks import shown
from agent_session_core.errors import DatabaseTooNew, StorageUnavailable
from agent_session_core.sql.locks import alone

HEAD = "0001"
"""The newest migration; a test compares it with the folder ``migrations``."""

VERSION_TABLE = "agent_session_version"
"""Of our own: an application that shares its database with us may run alembic too."""


def is_current(conn: Connection, url: str) -> bool:
    """True where the database has the tables of this version.

    Raises:
        DatabaseTooNew: when a newer version of this package made them.
        StorageUnavailable: when it cannot be told which version made them.
    """
    revision = _revision(conn)
    if revision is not None and not "0001" <= revision <= "9999":
        raise StorageUnavailable(
            f"{url}: {VERSION_TABLE} holds {shown(revision)}, which is no version; restore it from a backup"
        )
    if revision is not None and revision > HEAD:
        raise DatabaseTooNew(
            f"{url}: its tables are of version {revision[:20]}, this package knows up to {HEAD}; "
            "update agent-session-core"
        )
    return revision == HEAD


def migrate(conn: Connection, url: str) -> None:
    """Make or change the tables, in a write transaction of the caller's.

    Of several processes at once, one does it and the others wait.

    Raises:
        DatabaseTooNew: when a newer version of this package made them.
    """
    alone(conn, "migration")
    if not is_current(conn, url):
        _upgrade(conn)


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table(VERSION_TABLE):
        return None
    revision = conn.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608  # a constant
    return None if revision is None else str(revision)


def _upgrade(conn: Connection) -> None:
    from alembic import command  # a third of a second, which opening a current database does not pay
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
