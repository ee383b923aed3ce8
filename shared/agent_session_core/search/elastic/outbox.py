"""The indexes there are, and the outbox as workers share it: who is at which session's changes, and until when.

A worker takes changes of whole sessions, so that no two are at one session. It may lose them to another when it stands
still for longer than its lease: then it finds that out before it writes anything down.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from agent_session_core.errors import IndexUnavailable
from agent_session_core.ports import Backlog
from agent_session_core.search.changes import ASIDE, Delayed
from agent_session_core.sql.locks import alone_within, hold
from agent_session_core.sql.tables import (
    database,
    elastic_indexes,
    index_info,
    index_messages,
    index_sessions,
    outbox,
    sessions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

__all__ = [
    "Claimed",
    "Index",
    "announce",
    "announce_some",
    "backlog",
    "begin",
    "change_index",
    "claim",
    "drop_index",
    "extent",
    "finish",
    "forget_aside",
    "forget_others_aside",
    "identity",
    "indexes",
    "is_being_filled",
    "mine",
    "newest",
    "owed",
    "owed_alone",
    "pass_on",
    "put_back",
    "release",
    "shorten",
    "why_waiting",
]

MOST_ROWS = 1_000
"""Changes that one worker takes at a time."""
PATIENCE = 30.0
"""Seconds for which a worker waits for another one that takes changes."""
MOST_SESSIONS = 500
"""Sessions that are announced in one transaction."""

_o, _s, _i = outbox.c, sessions.c, elastic_indexes.c


class Index(NamedTuple):
    """A row of ``elastic_indexes``."""

    generation: int
    building: bool
    made: bool
    announced: int
    announce_to: int
    format: int
    analyzer: str
    embedding: str
    dimensions: int | None
    shards: int
    routing: str | None


class Claimed(NamedTuple):
    """A change that a worker is at: of its messages, those up to ``reach`` for now."""

    id: int
    tenant: str
    session: int
    first_seq: int
    last_seq: int
    generation: int | None
    attempts: int
    queued_at: int
    reach: int


def identity(conn: Connection) -> str:
    """What a database is known by, for ever."""
    return str(conn.execute(select(database.c.value).where(database.c.key == "identity")).scalar_one())


def indexes(conn: Connection, *, held: bool = False, within: float = PATIENCE) -> list[Index]:
    """The indexes there are; ``held``, nobody else takes changes or changes them until the transaction ends.

    Raises:
        IndexUnavailable: where another one holds them for longer than ``within`` seconds.
    """
    if held and not alone_within(conn, "elasticsearch", within):
        raise IndexUnavailable("another worker stands still while it takes changes, and others wait for it; try again")
    wanted = select(*(_i[name] for name in Index._fields)).order_by(_i.generation)
    return [Index(*row) for row in conn.execute(wanted)]


def begin(conn: Connection, index: Index) -> None:
    """Have an index from now on, in which every session there is must come.

    With the first one Elasticsearch takes the place of the index inside the database, which is emptied, as is the
    outbox: nothing of what waits there is anywhere else than in the sessions.
    """
    if not indexes(conn):
        conn.execute(delete(outbox))
    last = conn.execute(select(func.coalesce(func.max(_s.id), 0))).scalar_one()
    conn.execute(insert(elastic_indexes).values(**index._replace(announced=0, announce_to=last)._asdict()))
    for table in (index_info, index_sessions, index_messages):
        conn.execute(delete(table))


def change_index(conn: Connection, generation: int, **values: Any) -> None:
    """Write something down about an index."""
    conn.execute(update(elastic_indexes).where(_i.generation == generation).values(**values))


def drop_index(conn: Connection, generation: int) -> None:
    """Have an index no longer; what it alone was owed is owed to nobody."""
    conn.execute(delete(elastic_indexes).where(_i.generation == generation))
    conn.execute(delete(outbox).where(_o.generation == generation))


def announce_some(conn: Connection, generation: int) -> bool:
    """Put some sessions into the outbox for an index that is new; whether there may be more."""
    index = next((one for one in indexes(conn) if one.generation == generation), None)
    if index is None or index.announced >= index.announce_to:
        return False
    wanted = select(_s.id, _s.tenant, _s.last_seq).where(_s.id > index.announced, _s.id <= index.announce_to)
    rows = conn.execute(wanted.order_by(_s.id).limit(MOST_SESSIONS).with_for_update()).all()
    told = [{**_change(row.tenant, row.id, 1, row.last_seq), "generation": generation} for row in rows if row.last_seq]
    if told:
        conn.execute(insert(outbox), told)
    change_index(conn, generation, announced=rows[-1].id if rows else index.announce_to)
    return True


def announce(
    conn: Connection, tenant: str, session: int, spans: Sequence[tuple[int, int]], generation: int | None = None
) -> None:
    """Have messages looked at again, for every index or for one."""
    if spans:
        hold(conn, session)
        told = [{**_change(tenant, session, first, last), "generation": generation} for first, last in spans]
        conn.execute(insert(outbox), told)


def newest(conn: Connection) -> int:
    """The number of the newest change, 0 where there is none."""
    return int(conn.execute(select(func.coalesce(func.max(_o.id), 0))).scalar_one())


def extent(conn: Connection, tenant: str) -> int:
    """How many messages a tenant has, those that were taken back included."""
    return int(conn.execute(select(func.coalesce(func.sum(_s.last_seq), 0)).where(_s.tenant == tenant)).scalar_one())


def backlog(conn: Connection) -> Backlog:
    """What waits in the outbox, but for what is set aside; messages that changed twice are counted twice."""
    waits = or_(_o.leased_until.is_(None), _o.leased_until < ASIDE)
    size = func.coalesce(func.sum(_o.last_seq - _o.first_seq + 1), 0)
    messages, queued_at = conn.execute(select(size, func.min(_o.queued_at)).where(waits)).one()
    age = 0.0 if queued_at is None else max(0.0, time.time() - queued_at / 1e6)
    return Backlog(int(messages), age)


def claim(
    conn: Connection,
    worker: str,
    fits: Sequence[int],
    *,
    now: int,
    until: int,
    room: int,
    tenant: str | None = None,
    user_id: str | None = None,
    gone: bool = False,
) -> list[Claimed]:
    """Take changes that nobody is at, the oldest first, and tell others so.

    Args:
        conn: a write transaction that holds the indexes.
        worker: who takes them.
        fits: the indexes that this worker can write to.
        now: the time, in microseconds.
        until: when others may take them.
        room: messages to look at, about.
        tenant: only this tenant's.
        user_id: only this user's, and those of sessions that are gone.
        gone: only those of sessions that are gone.
    """
    other = outbox.alias()
    taken = exists().where(
        other.c.tenant == _o.tenant,
        other.c.session == _o.session,
        other.c.leased_by.is_not(None),
        other.c.leased_until > now,
        other.c.leased_until < ASIDE,
    )
    due = and_(or_(_o.leased_until.is_(None), _o.leased_until <= now), _for(fits), ~taken)
    columns = [_o[name] for name in Claimed._fields if name != "reach"]
    wanted = select(*columns).where(due, *_within(tenant, user_id, gone=gone)).order_by(_o.id).limit(MOST_ROWS)
    claimed = []
    for row in conn.execute(wanted):
        if room <= 0:
            break
        reach = min(row.last_seq, row.first_seq + room - 1)
        room -= reach - row.first_seq + 1
        claimed.append(Claimed._make((*row, reach)))
    if claimed:
        chosen = _o.id.in_([one.id for one in claimed])
        conn.execute(update(outbox).where(chosen).values(leased_by=worker, leased_until=until))
    return claimed


def owed(
    conn: Connection, generation: int, up_to: int, *, tenant: str | None = None, user_id: str | None = None
) -> bool:
    """Whether an index lacks changes up to a number; what waits for an embedder, or is set aside, left out."""
    waits = and_(_o.id <= up_to, _o.error.is_(None), _for([generation]))
    wanted = select(_o.id).where(waits, *_within(tenant, user_id)).limit(1)
    return conn.execute(wanted).first() is not None


def is_being_filled(conn: Connection, index: Index, tenant: str, user_id: str | None) -> bool:
    """Whether an index lacks something of a scope that was there before it, or that only others could bring."""
    if index.announced < index.announce_to:
        return True
    wanted = select(_o.id).where(_alone(index.generation), *_within(tenant, user_id)).limit(1)
    return conn.execute(wanted).first() is not None


def owed_alone(conn: Connection, generation: int, up_to: int) -> bool:
    """Whether an index alone has not got a change up to a number; what is set aside left out."""
    wanted = select(_o.id).where(_alone(generation), _o.id <= up_to).limit(1)
    return conn.execute(wanted).first() is not None


def why_waiting(conn: Connection, generation: int) -> str | None:
    """Why something that an index alone is owed must wait, None where nothing must."""
    found = conn.execute(select(_o.error).where(_alone(generation), _o.error.is_not(None)).limit(1)).scalar()
    return None if found is None else str(found)


def mine(conn: Connection, worker: str, claimed: Sequence[Claimed]) -> bool:
    """Whether a worker is still at all of these."""
    ids = [one.id for one in claimed]
    wanted = select(func.count()).where(_o.id.in_(ids), _o.leased_by == worker)
    return bool(conn.execute(wanted).scalar_one() == len(ids))


def finish(conn: Connection, ids: Sequence[int]) -> None:
    """Take changes out of the outbox."""
    conn.execute(delete(outbox).where(_o.id.in_(ids)))


def pass_on(conn: Connection, ids: Sequence[int], generation: int) -> None:
    """Leave changes to those who can write to another index, the only one that has not got them yet."""
    values = {"generation": generation, "leased_by": None, "leased_until": None}
    conn.execute(update(outbox).where(_o.id.in_(ids)).values(values))


def shorten(conn: Connection, claimed: Claimed) -> None:
    """Take what was done out of a change, and let it go."""
    values = {"first_seq": claimed.reach + 1, "leased_by": None, "leased_until": None}
    conn.execute(update(outbox).where(_o.id == claimed.id).values(values))


def release(conn: Connection, worker: str, claimed: Sequence[Claimed]) -> None:
    """Let changes go that were not delivered."""
    chosen = _o.id.in_([one.id for one in claimed]) & (_o.leased_by == worker)
    conn.execute(update(outbox).where(chosen).values(leased_by=None, leased_until=None))


def put_back(conn: Connection, tenant: str, generation: int | None, rows: Sequence[Delayed]) -> None:
    """Put changes of one session into the outbox that must wait, or that are set aside."""
    if rows:
        hold(conn, rows[0].session)
        conn.execute(insert(outbox), [{"tenant": tenant, "generation": generation, **row._asdict()} for row in rows])


def forget_aside(conn: Connection, session: int, generation: int | None, spans: Iterable[tuple[int, int]]) -> None:
    """Drop what was set aside of these messages: they were looked at anew."""
    of_index = _o.generation.is_(None) if generation is None else _o.generation == generation
    for first, last in spans:
        here = and_(_o.session == session, _o.leased_until == ASIDE, _o.first_seq.between(first, last), of_index)
        conn.execute(delete(outbox).where(here))


def forget_others_aside(conn: Connection, generation: int) -> None:
    """Drop what was set aside for other indexes than a new one, which has been offered everything."""
    others = or_(_o.generation.is_(None), _o.generation != generation)
    conn.execute(delete(outbox).where(_o.leased_until == ASIDE, others))


def _change(tenant: str, session: int, first: int, last: int) -> dict[str, Any]:
    return {"tenant": tenant, "session": session, "first_seq": first, "last_seq": last}


def _alone(generation: int) -> ColumnElement[bool]:
    return and_(_o.generation == generation, or_(_o.leased_until.is_(None), _o.leased_until < ASIDE))


def _for(generations: Sequence[int]) -> ColumnElement[bool]:
    return or_(_o.generation.is_(None), _o.generation.in_(generations))


def _within(tenant: str | None, user_id: str | None, *, gone: bool = False) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = [] if tenant is None else [_o.tenant == tenant]
    of_session = exists().where(_s.id == _o.session)
    if gone:
        clauses.append(~of_session)
    elif user_id is not None:
        clauses.append(
            or_(_o.session.in_(select(_s.id).where(_s.tenant == tenant, _s.user_id == user_id)), ~of_session)
        )
    return clauses
