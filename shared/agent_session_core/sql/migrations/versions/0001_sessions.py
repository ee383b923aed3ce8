"""Sessions, messages, the outbox, the embedded index and nodes."""

from __future__ import annotations

import uuid

from alembic import op

from agent_session_core.sql.tables import database, metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, and give the database its identity."""
    if op.get_bind().dialect.name == "postgresql":
        for table in metadata.tables.values():
            for index in table.indexes:  # partial where SQLite's are; said here, where its dialect is loaded
                index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    metadata.create_all(op.get_bind(), checkfirst=False)  # a table that is there is another program's
    op.bulk_insert(database, [{"key": "identity", "value": str(uuid.uuid4())}])
