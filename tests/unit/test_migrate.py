"""Migrations: their order, what they make, and that they do it whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect

from agent_session_core.errors import DatabaseTooNew
from agent_session_core.sql import migrate as module
from agent_session_core.sql.migrate import HEAD, VERSION_TABLE, is_current, migrate
from agent_session_core.sql.sqlite import alone_on
from agent_session_core.sql.tables import metadata

FOLDER = Path(module.__file__).parent / "migrations"


@pytest.fixture
def conn() -> Iterator[Connection]:
    """A connection to an empty database."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _migrate(conn: Connection) -> None:
    with alone_on(conn):
        migrate(conn, "memory")


def test_the_newest_migration_is_head() -> None:
    """HEAD, which opening compares with, is the newest of the folder; they are numbered in a row."""
    scripts = ScriptDirectory(str(FOLDER))
    assert scripts.get_heads() == [HEAD]
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert sorted(numbers) == [f"{number:04}" for number in range(1, len(numbers) + 1)]


def test_migrations_make_what_the_tables_say(conn: Connection) -> None:
    """A migrated database has exactly the tables, columns and indexes of the code: alembic finds no difference."""
    _migrate(conn)
    context = MigrationContext.configure(conn, opts={"version_table": VERSION_TABLE})
    assert compare_metadata(context, metadata) == []
    assert set(inspect(conn).get_table_names()) == {VERSION_TABLE, *metadata.tables}


def test_migrations_make_what_creating_would(conn: Connection) -> None:
    """The statements that made the tables are the ones that the code's tables would be made with today."""
    _migrate(conn)
    other = create_engine("sqlite://")
    metadata.create_all(other)
    assert {name: text for name, text in _schema(conn).items() if VERSION_TABLE not in name} == _schema(other)
    other.dispose()


def _schema(target: Connection | Engine) -> dict[str, str]:
    connection = target.connect() if isinstance(target, Engine) else target
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all()
    if isinstance(target, Engine):
        connection.close()
    return {name: " ".join(text.split()) for name, text in rows if not name.startswith("sqlite_")}


def test_a_second_time_changes_nothing(conn: Connection) -> None:
    """A database that is current is left alone, its identity with it."""
    assert not is_current(conn, "memory")
    conn.rollback()
    _migrate(conn)
    identity = conn.exec_driver_sql("SELECT value FROM database WHERE key = 'identity'").scalar_one()
    conn.rollback()
    _migrate(conn)
    assert is_current(conn, "memory")
    assert conn.exec_driver_sql("SELECT value FROM database WHERE key = 'identity'").scalar_one() == identity


def test_a_migration_that_fails_leaves_nothing(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """All or nothing: a fault at the end takes every table back."""
    upgrade = module._upgrade

    def fails_late(connection: Connection) -> None:
        upgrade(connection)
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_upgrade", fails_late)
        with pytest.raises(OSError, match="power cut"):
            _migrate(conn)
    assert inspect(conn).get_table_names() == []
    conn.rollback()
    _migrate(conn)
    assert is_current(conn, "memory")


def test_a_newer_database_is_left_alone(conn: Connection) -> None:
    """A version that this package does not know is refused by name."""
    _migrate(conn)
    conn.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{int(HEAD) + 1:04}'")  # noqa: S608  # constants
    conn.commit()
    with pytest.raises(DatabaseTooNew, match=f"memory: its tables are of version .*, this package knows up to {HEAD}"):
        _migrate(conn)


def test_another_application_may_run_alembic_too(conn: Connection) -> None:
    """Its version table is its own; ours has another name."""
    conn.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    conn.exec_driver_sql("INSERT INTO alembic_version VALUES ('a1b2c3')")
    conn.commit()
    _migrate(conn)
    assert conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all() == ["a1b2c3"]
