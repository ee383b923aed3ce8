"""The tables. Times are whole microseconds since 1970 (UTC); JSON is ASCII-escaped text.

Ids of sessions and outbox rows are never reused (AUTOINCREMENT): handles, caches and index versions depend on it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from agent_session_core.sql.moment import this_moment

LIVE, ARCHIVED, REMOVED, ATTACHED = 0, 1, 2, 3
"""States of a message: in its session's history; set aside by the framework; taken back; a passage of a file, which no
history shows and the index knows."""

Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

database = Table(
    "database",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the database itself, ``identity`` (a UUID made with it) among them."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", String(512), nullable=False),
    Column("session_id", String(512), nullable=False),
    Column("user_id", String(512)),
    Column("agent_id", String(512)),
    Column("title", Text),
    Column("metadata", Text),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("run", Integer, nullable=False, server_default="1"),
    Column("revision", BigInteger, nullable=False, server_default="0"),
    Column("last_seq", BigInteger, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("idle_timeout", BigInteger),  # microseconds after the last change
    Column("expires_at", BigInteger),
    Column("due_at", BigInteger),  # the earlier of the two deadlines; moved by every change
    Column("parent_id", String(512)),  # the session it was forked from, by its session_id
    Column("forked_from", BigInteger),  # at this seq
    UniqueConstraint("tenant", "session_id"),
    Index("ix_sessions_due", "tenant", "due_at", sqlite_where=text("status = 'active' AND due_at IS NOT NULL")),
    Index("ix_sessions_ended", "tenant", "status", "updated_at", sqlite_where=text("status <> 'active'")),
    Index(None, "tenant", "updated_at", "id"),
    Index(None, "tenant", "user_id", "updated_at", "id"),
    sqlite_autoincrement=True,
)

messages = Table(
    "messages",
    metadata,
    Column("session", Serial, primary_key=True, autoincrement=False),  # a foreign key would cost an append a tenth
    Column("seq", Serial, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False, server_default="0"),
    Column("changed_at_revision", BigInteger),  # the session's, when the state was last changed
    Column("role", String(16), nullable=False),
    Column("name", Text),
    Column("tool_call_id", Text),
    Column("author", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("utc_offset", Integer, nullable=False, server_default="0"),  # seconds east
    Column("text", Text, nullable=False),  # for search and reading: without what a text column cannot hold
    Column("payload", Text),  # JSON: parts, usage and the exact text, each only where the columns do not say it
    Column("metadata", Text),
    Column("origin", Text),  # "framework/version"
    Column("origin_data", Text),
    Index(
        "uq_messages_session_id",
        "session",
        "id",
        unique=True,
        sqlite_where=text("state <> 2"),
    ),
    sqlite_with_rowid=False,
)

records = Table(
    "records",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", String(512), nullable=False),
    Column("scope", String(16), nullable=False),  # session, user or app
    Column("subject", String(512), nullable=False),  # the session's row, the user's id, or "" for the application
    Column("kind", String(16), nullable=False),  # state, task, call, file, ...
    Column("key", String(512), nullable=False),
    Column("value", Text),  # JSON; null where this version is the deletion
    Column("revision", BigInteger, nullable=False),  # of the scope
    Column("session", Serial),  # the session that wrote it
    Column("seq", BigInteger, nullable=False),  # that session's last seq then
    Column("written_at", BigInteger, nullable=False),
    Column("current", SmallInteger, nullable=False, server_default="1"),
    Column("blob", Serial),  # the bytes it speaks of
    Index(
        "uq_records_current", "tenant", "scope", "subject", "kind", "key", unique=True, sqlite_where=text("current = 1")
    ),
    Index("ix_records_blob", "blob", sqlite_where=text("blob IS NOT NULL")),
    Index("ix_records_history", "tenant", "scope", "subject", "kind", "key", "id"),
    sqlite_autoincrement=True,
)
"""Everything of a session but its messages: each write of a key is a row, and the newest one is ``current``. With the
seq at which it happened, a session can be seen, forked and rewound as it was at any message."""

scopes = Table(
    "scopes",
    metadata,
    Column("tenant", String(512), primary_key=True),
    Column("scope", String(16), primary_key=True),
    Column("subject", String(512), primary_key=True),
    Column("revision", BigInteger, nullable=False),
)
"""How often the state of a scope has been written."""

leases = Table(
    "leases",
    metadata,
    Column("session", Serial, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("name", String(600), primary_key=True),  # "turn", or "call " and a tool call's id
    Column("token", BigInteger, nullable=False),  # counts its holders: a late writer's token is no longer this one
    Column("expires_at", BigInteger, nullable=False),
)
"""What one process holds for a while, and renews for as long as it lives."""

blobs = Table(
    "blobs",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", String(512), nullable=False),
    Column("sha256", String(64)),  # null until its last piece has come
    Column("session", Serial),  # until then: the session it is put into
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Index("uq_blobs_tenant_sha256", "tenant", "sha256", unique=True),
    Index("ix_blobs_session", "session", sqlite_where=text("session IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""The bytes of files, once for all files of a tenant that have the same."""

blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column("blob", Serial, ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(512), nullable=False),
    Column("user_id", String(512)),  # whose sessions they were, where they were one user's
    Column("erased_at", BigInteger, nullable=False),
    Column("counts", Text, nullable=False),  # JSON
    Column("sessions", Text, nullable=False),  # JSON: [row, session_id] of each
)
"""Receipts. They name the sessions that were erased and nothing of what was in them."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant", String(512), nullable=False),
    Column("session", Serial, nullable=False),  # no foreign key: the row outlives its session
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("leased_until", BigInteger),
    Column("leased_by", String(64)),  # the worker that is at it; of a session, one at a time
    Column("generation", BigInteger),  # null: for every index; else for this one on Elasticsearch alone
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("queued_at", BigInteger, nullable=False, server_default=this_moment()),
    Index(None, "tenant", "session", "id"),
    Index("ix_outbox_error", "tenant", sqlite_where=text("error IS NOT NULL")),
    Index("ix_outbox_generation", "generation", sqlite_where=text("generation IS NOT NULL")),
    sqlite_autoincrement=True,
)
"""What the index must look at again: messages ``first_seq`` to ``last_seq`` of a session changed (came, went or were
edited). The indexer reads how they stand now, so applying a row twice, or late, changes nothing. A session that is
no longer there is to be forgotten whole. A row waits for ``leased_until``; ``error`` says why, and ``queued_at`` when
the change came, for people: nothing is ordered by it. The numbers of a
session's rows are in the order of its changes, since whoever changes a session holds its row: they are the versions of
documents."""

index_info = Table(
    "index_info",
    metadata,
    Column("tenant", String(512), primary_key=True),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False),  # never used twice for a tenant: caches depend on it
    Column("building", Boolean, nullable=False),  # being made beside the one that answers
    Column("format", Integer, nullable=False),
    Column("analyzer", String(64), nullable=False),
    Column("embedding", Text, nullable=False),
    Column("dimensions", Integer),  # unknown until the first vector is made
)
"""What a tenant's embedded index was made with. A second one may be built in the other slot, and then takes over."""

index_sessions = Table(
    "index_sessions",
    metadata,
    Column("session", Serial, primary_key=True, autoincrement=False),
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),  # every message up to this one was looked at
    Column("epoch", BigInteger, nullable=False),  # moves when anything but messages after last_seq changed
    sqlite_with_rowid=False,
)

index_messages = Table(
    "index_messages",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=False),  # slot << 62 | session << 32 | seq
    Column("chunks", LargeBinary, nullable=False),  # uint16 pairs: distinct stems, length in words
    Column("stems", LargeBinary, nullable=False),  # uint32: crc32 of each stem
    Column("weights", LargeBinary, nullable=False),  # uint16: its weighted count in the chunk
    Column("vector", LargeBinary),  # float32 scale, then int8 values; none where the text has no meaning
    Column("role", SmallInteger, nullable=False),
    Column("name", Text),
    Column("author", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("digest", BigInteger, nullable=False),  # of speaker and words: equal where the same was said
)

index_embeddings = Table(
    "index_embeddings",
    metadata,
    Column("tenant", String(512), primary_key=True),
    Column("embedding", Text, primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the text
    Column("session", Serial, nullable=False),  # whose text it was: its rows go with it, whoever else said the same
    Column("vector", LargeBinary, nullable=False),  # as in index_messages
    Index(None, "session"),
    sqlite_with_rowid=False,
)
"""Vectors that an embedding service made, so that no text is sent to it twice."""

elastic_indexes = Table(
    "elastic_indexes",
    metadata,
    Column(
        "generation", BigInteger, primary_key=True, autoincrement=False
    ),  # the second in which it was begun: a name that was never used
    Column("building", Boolean, nullable=False),  # being filled beside the one that answers
    Column("made", Boolean, nullable=False),  # whether it was made on the server: missing there, it was lost
    Column("announced", BigInteger, nullable=False),  # sessions up to this one were put into the outbox for it
    Column("announce_to", BigInteger, nullable=False),  # the last one that has to be
    Column("format", Integer, nullable=False),
    Column("analyzer", String(64), nullable=False),
    Column("embedding", Text, nullable=False),
    Column("dimensions", Integer),  # unknown until the first vector is made
    Column("shards", Integer, nullable=False),
    Column("routing", String(16)),  # the rule by which documents are kept on a shard; null for none
)
"""The indexes that Elasticsearch holds for this database: the one that answers, and one that is being made. Where there
is one, the outbox is for Elasticsearch, and the index inside the database is not used."""

elastic_sessions = Table(
    "elastic_sessions",
    metadata,
    Column("session", Serial, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", String(512), nullable=False),
    Column("user_id", String(512)),
    Column("mark", BigInteger, nullable=False),  # moves with every delivery; about when that was, 0 before the first
    Column("speakers", Text, nullable=False),  # JSON: who speaks, as [name, whether it is a tool]
    Column("vectors", BigInteger, nullable=False),  # how many messages have one
    Column("vector_sum", LargeBinary),  # float64
    Column("counted", LargeBinary, nullable=False),  # a bit for each seq whose vector is in the sum
    Index(None, "generation", "tenant", "mark"),
    Index(None, "generation", "tenant", "user_id", "mark"),
)
"""What of a session has (or may have, as soon as a worker is at it) come to Elasticsearch, and what a search must know
before it asks there."""

node_collections = Table(
    "node_collections",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),  # never reused: caches depend on it
    Column("tenant", String(512), nullable=False),
    Column("user_id", String(512), nullable=False, server_default=""),  # "" for no user, so that the key holds
    Column("name", String(512), nullable=False),
    Column("analyzer", String(16), nullable=False),  # that made the stems in it
    Column("dimensions", Integer, nullable=False),  # of every vector in it
    Column("epoch", BigInteger, nullable=False, server_default="0"),  # moves when anything but a new node changed
    UniqueConstraint("tenant", "user_id", "name"),
    sqlite_autoincrement=True,
)
"""Collections of a vector store: made by the first node, gone when they are cleared."""

nodes = Table(
    "nodes",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("collection", Serial, ForeignKey("node_collections.id", ondelete="CASCADE"), nullable=False),
    Column("node_id", String(512), nullable=False),
    Column("ref_doc_id", Text),
    Column("vector", LargeBinary, nullable=False),  # float32, of unit length
    Column("stems", LargeBinary, nullable=False),  # uint32: crc32 of each distinct stem
    Column("counts", LargeBinary, nullable=False),  # uint16: how often it stands in the text
    Column("metadata", Text),  # JSON object, for filters: without what a JSON column cannot hold
    Column("text", Text, nullable=False),  # without what a text column cannot hold
    Column("payload", Text, nullable=False),  # JSON: the rest of the node, and what the columns do not say exactly
    UniqueConstraint("collection", "node_id"),
    Index(None, "collection", "id"),
    Index(None, "collection", "ref_doc_id"),
    sqlite_autoincrement=True,
)
"""Nodes of a vector store that are not messages. What every scan reads stands before what only winners are read for."""
