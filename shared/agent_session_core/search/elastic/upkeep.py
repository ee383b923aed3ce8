"""What is done now and then: tombstones that nothing late can reach any more are dug up, what was deleted expunged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent_session_core.search.elastic import bulk, outbox

if TYPE_CHECKING:
    from agent_session_core.search.elastic.client import Server
    from agent_session_core.search.elastic.delivering import Deliverer
    from agent_session_core.search.elastic.indexes import Indexes
    from agent_session_core.sql.engine import Database

__all__ = ["expunge", "purge"]

KEPT = 3_600.0
"""Seconds for which a tombstone stands: what a worker sends later than that has been stopped for longer."""
SECONDS = 60.0
"""Seconds that a request may take."""
PAGE = 1_000


def purge(database: Database, server: Server, indexes: Indexes, deliverer: Deliverer, *, older: float = KEPT) -> int:
    """Take tombstones away; how many there were.

    What came back of a session that is gone, from a worker that had stood still, is taken away with them.

    Raises:
        IndexUnavailable: when the server cannot do it just now.
    """
    count = 0
    before = time.time_ns() // 1_000 - int(older * 1_000_000)
    for index in database.read(outbox.indexes):
        if index.made:
            target = indexes.target(index.generation)
            while found := _stones(server, target, before):
                gone = {
                    hit["_source"]["gone_session"]: hit["_version"] for hit in found if "gone_session" in hit["_source"]
                }
                if gone:
                    deliverer.bury(index.generation, gone)
                operations = [
                    bulk.deletion(hit["_id"], hit.get("_routing"), hit["_seq_no"], hit["_primary_term"])
                    for hit in found
                ]
                with server.speaking():
                    bulk.send(server.client(SECONDS), target, operations, patience=SECONDS)
                count += len(found)
    return count


def expunge(database: Database, server: Server, indexes: Indexes, *, wait: bool) -> None:
    """Leave nothing of what was deleted in the files of the server: when this returns, or (without ``wait``) soon.

    Raises:
        IndexUnavailable: when the server cannot do it just now.
    """
    for index in database.read(outbox.indexes):
        if index.made:
            with server.speaking():
                admin = server.client(SECONDS).indices
                target = indexes.target(index.generation)
                admin.flush(index=target, wait_if_ongoing=True)
                admin.forcemerge(index=target, only_expunge_deletes=True, wait_for_completion=wait)
                if wait:
                    admin.flush(index=target, force=True, wait_if_ongoing=True)


def _stones(server: Server, target: str, before: int) -> list[dict[str, Any]]:
    with server.speaking():
        client = server.client(SECONDS)
        client.indices.refresh(index=target)
        answer = client.search(
            index=target,
            query={"range": {"gone_at": {"lte": before}}},
            size=PAGE,
            sort=["_doc"],
            version=True,
            seq_no_primary_term=True,
            track_total_hits=False,
            allow_partial_search_results=False,
        )
        found: list[dict[str, Any]] = answer["hits"]["hits"]
        return found
