"""Making the index anew, beside the one that answers meanwhile.

Every session is put into the outbox for the new index alone, and whatever changes meanwhile goes to both. When the new
one has got everything, it takes the other's place in one transaction of the database. Broken off, it goes on where it
stopped when it is called again; every worker helps.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from agent_session_core.errors import IndexUnavailable
from agent_session_core.search.elastic import outbox, profiles
from agent_session_core.search.elastic.indexes import Indexes, answering
from agent_session_core.search.elsewhere import let_go

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from agent_session_core.search.elastic.delivering import Deliverer
    from agent_session_core.search.elastic.outbox import Index
    from agent_session_core.sql.engine import Database

__all__ = ["rebuild"]

LOOK_AGAIN = 0.1
"""Seconds between two looks at what other workers are at."""


def rebuild(
    database: Database, indexes: Indexes, deliverer: Deliverer, told: Callable[[int], None] = lambda _: None
) -> None:
    """Make the index anew with the store's own embedder, analyzer and settings.

    Raises:
        IndexUnavailable: when the server or the embedder fails; what was done so far is kept for the next call.
    """
    lost = {index.generation for index in database.read(outbox.indexes) if indexes.is_lost(index)}
    given_up, generation = database.write(partial(_begin, indexes, lost))
    for one in given_up:
        indexes.remove(one)
    indexes.make()
    while True:
        up_to = database.read(outbox.newest)
        deliverer.deliver(told=told)
        done, replaced = database.write(partial(_finish, generation, up_to))
        if done:
            break
        reason = database.read(partial(outbox.why_waiting, generation=generation))
        if reason is not None:
            raise IndexUnavailable(f"the new index waits for vectors: {reason}; call store.reindex() again")
        time.sleep(LOOK_AGAIN)
    indexes.point()
    for one in replaced:
        indexes.remove(one)


def _begin(indexes: Indexes, lost: set[int], conn: Connection) -> tuple[list[int], int]:
    """The generation that is being built, begun now where there is none that fits, and those that are given up."""
    there = outbox.indexes(conn, held=True)
    let_go(conn)
    building = next((one for one in there if one.building and one.generation not in lost and indexes.fits(one)), None)
    given_up = [one.generation for one in there if one.generation in lost or (one.building and one is not building)]
    for one in given_up:
        _drop(conn, one)
    if building is not None:
        return given_up, building.generation
    new = indexes.new(there, building=bool(there))  # what was lost does not come back half filled
    outbox.begin(conn, new)
    return given_up, new.generation


def _finish(generation: int, up_to: int, conn: Connection) -> tuple[bool, list[int]]:
    """Let an index take over if it has got everything; whether that is done, and what it replaced."""
    there = outbox.indexes(conn, held=True)
    new: Index | None = next((one for one in there if one.generation == generation), None)
    if new is None:
        return True, []  # somebody else began another one
    if new.announced < new.announce_to or outbox.owed_alone(conn, generation, up_to):
        return False, []
    old = answering(there)
    outbox.change_index(conn, generation, building=False)
    outbox.forget_others_aside(conn, generation)
    if old is None or old.generation == generation:
        return True, []
    _drop(conn, old.generation)
    return True, [old.generation]


def _drop(conn: Connection, generation: int) -> None:
    outbox.drop_index(conn, generation)
    profiles.forget_generation(conn, generation)
