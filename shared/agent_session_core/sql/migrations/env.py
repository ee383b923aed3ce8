"""What alembic runs: the migrations, on the connection and in the transaction it was handed."""

from __future__ import annotations

from alembic import context

from agent_session_core.sql.migrate import VERSION_TABLE
from agent_session_core.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
