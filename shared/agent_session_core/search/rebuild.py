"""Making a tenant's index anew, beside the one that answers meanwhile.

The new index grows in the other slot, session by session, and takes over when it holds everything. How far it has come
stands in its marks, so a rebuilding that was broken off goes on where it stopped. Whatever changes behind it takes its
mark back (:func:`agent_session_core.search.tasks.unsettle`), and its epoch shows that to a batch under way.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from agent_session_core.search import changes as sql
from agent_session_core.search import tasks
from agent_session_core.search.statements import Info, info

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from agent_session_core.indexing import Indexer
    from agent_session_core.search.tasks import Task
    from agent_session_core.search.words import Words
    from agent_session_core.sql.engine import Database

__all__ = ["rebuild"]

T = TypeVar("T")

BATCH = 256
"""Messages made ready and written together."""


def rebuild(database: Database, indexer: Indexer, words: Words, tenant: str) -> int:
    """Make the index of ``tenant`` anew with the store's own embedder and analyzer; how many messages were read.

    Raises:
        IndexUnavailable: when the embedder fails; what was made so far is kept for the next call.
    """

    def write(work: Callable[[Connection], T]) -> T:
        def alone(conn: Connection) -> T:
            sql.alone_in(conn, tenant)
            return work(conn)

        return database.write(alone)

    made = write(partial(_begin, tenant, indexer))
    if made is None:
        return indexer.drain(tenant)
    if made.dimensions is None:  # begun just now: the slot may hold what was given up
        while write(lambda conn: _is(conn, tenant, made) and sql.empty_some(conn, tenant, made.slot)):
            pass
    count = 0
    while not write(partial(_finish, tenant, made)):
        batch = database.read(partial(_load, tenant, made), snapshot=True)
        for task in batch:
            tasks.make(task, words)
        indexer.make_vectors(tenant, batch)
        write(partial(_write, tenant, indexer, made, batch))
        count += sum(task.size for task in batch)
    while write(partial(_clear, tenant, 1 - made.slot)):
        pass
    return count


def _begin(tenant: str, indexer: Indexer, conn: Connection) -> Info | None:
    """The index being built, begun now where there is none that fits; None where nothing was ever indexed."""
    answering = info(conn, tenant)
    if answering is None:
        return None
    building = info(conn, tenant, building=True)
    if building is not None and indexer.fits(building):
        return building
    last = answering.generation if building is None else building.generation
    made = indexer.made_now(1 - answering.slot, last + 1, building=True)
    sql.write_info(conn, tenant, made)
    return made


def _is(conn: Connection, tenant: str, made: Info) -> bool:
    """Whether ``made`` is still the one being built."""
    building = info(conn, tenant, building=True)
    return building is not None and building.generation == made.generation


def _load(tenant: str, made: Info, conn: Connection) -> list[Task]:
    batch = []
    room = BATCH
    for session in sql.unfinished(conn, tenant, made.slot):
        task = tasks.load_rest(conn, tenant, session, made.slot, room)
        if task is not None:
            batch.append(task)
            room -= task.size
        if room <= 0:
            break
    return batch


def _write(tenant: str, indexer: Indexer, made: Info, batch: list[Task], conn: Connection) -> None:
    building = info(conn, tenant, building=True)
    if building is None or building.generation != made.generation:
        return
    indexer.know_dimensions(conn, tenant, building, batch)
    for task in batch:
        standing = sql.standing(conn, tenant, task.session, made.slot)
        if standing is not None and (standing.indexed or 0, standing.epoch or 0) == (task.indexed, task.epoch):
            tasks.settle(conn, tenant, made.slot, task)
            sql.write_entries(conn, made.slot, task.rows)
            indexer.keep_vectors(conn, tenant, task)


def _finish(tenant: str, made: Info, conn: Connection) -> bool:
    """Let the new index take over if it holds everything; whether there is nothing left to do."""
    building = info(conn, tenant, building=True)
    if building is None or building.generation != made.generation:
        return True  # somebody else has finished it, or begun another
    if sql.unfinished(conn, tenant, made.slot):
        return False
    sql.delete_info(conn, tenant, 1 - made.slot)
    sql.write_info(conn, tenant, building._replace(building=False))
    return True


def _clear(tenant: str, slot: int, conn: Connection) -> bool:
    """Empty some of a slot that nothing is in; whether there was anything."""
    used = {made.slot for made in (info(conn, tenant), info(conn, tenant, building=True)) if made is not None}
    return slot not in used and sql.empty_some(conn, tenant, slot)
