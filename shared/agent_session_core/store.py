"""The store: where sessions are kept, found and searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import URL, Connection, Engine

from agent_session_core import _checks, erasure
from agent_session_core.content import new_id, now, to_microseconds
from agent_session_core.cursors import from_cursor, to_cursor
from agent_session_core.erasure import erase_tenant, erase_user
from agent_session_core.errors import IndexUnavailable, InvalidInput, SessionNotFound
from agent_session_core.exchange import Entry, Problem, dump, parse
from agent_session_core.filters import equals
from agent_session_core.leases import LEASE, Keeper, NoKeeper
from agent_session_core.lifecycle import Retention, Sweeper, SweepReport, duration, sweep
from agent_session_core.models import STATUSES, ErasureReceipt, IndexReport, Page, Role, SearchResults, Status
from agent_session_core.ports import Embedder, Followed, IndexWorker
from agent_session_core.search.elastic.settings import ElasticsearchIndex, elasticsearch_index
from agent_session_core.search.elastic.waking import WakingDatabase
from agent_session_core.session import Session
from agent_session_core.session.base import Services, deadline
from agent_session_core.sql import sessions as sql
from agent_session_core.sql.engine import Database
from agent_session_core.sql.open import open_database
from agent_session_core.telemetry import Telemetry, Watch, telemetry_of
from agent_session_core.transfer import LoadReport, export, load

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from agent_session_core.filters import Filter
    from agent_session_core.nodes import NodeCollection
    from agent_session_core.ports import SearchIndex
    from agent_session_core.search.request import SearchRequest

__all__ = ["SessionStore"]

Mode: TypeAlias = Literal["hybrid", "keyword", "semantic"]
GroupBy: TypeAlias = Literal["message", "session"]
OnOutage: TypeAlias = Literal["raise", "keyword"]
Analyzer: TypeAlias = Literal["english", "none"]

DEFAULT_URL = "sqlite:///sessions.db"


class SessionStore:
    """Sessions of one tenant in one database, with the index that finds what was said in them.

    Made by :meth:`open`. One store serves any number of threads and event loops; every method with input or output
    has an async form with the prefix ``a``. A store that is bound to a user (:meth:`for_user`) reaches nothing of
    anybody else's; one that is not is the application's own view of all its sessions.
    """

    def __init__(
        self,
        database: Database,
        index: SearchIndex | None,
        scope: sql.Scope,
        *,
        analyzer: Analyzer,
        retention: Retention,
        keeper: Keeper,
        owner: bool,
        watch: Watch | None = None,
    ) -> None:
        """For :meth:`open` and :meth:`for_user`; ``owner`` says whether closing the store closes the database."""
        self._database = database
        self._index = index
        self._scope = scope
        self._analyzer: Analyzer = analyzer
        self._retention = retention
        self._keeper = keeper
        self._services = Services(database, keeper, self._confirmed, self._aconfirmed, watch)
        self._owner = owner
        self._watch = watch

    @classmethod
    def open(
        cls,
        url: str | URL | Engine | AsyncEngine = DEFAULT_URL,
        *,
        index: str | ElasticsearchIndex | Elasticsearch | None = None,
        embedder: Embedder | None = None,
        tenant: str = "default",
        analyzer: Analyzer = "english",
        retention: Retention | None = None,
        lease: timedelta = timedelta(seconds=LEASE),
        telemetry: Telemetry | bool | None = None,
    ) -> SessionStore:
        """Open a database, making or updating its tables where needed; safe from several processes at once.

        Args:
            url: ``sqlite:///path``, ``sqlite://`` (in memory) or ``postgresql+psycopg://user:password@host/database``;
                ``sqlite+aiosqlite``, ``postgresql+asyncpg`` and ``postgresql+psycopg_async`` run the async form
                natively. Or an engine of the caller's, which the store never closes.
            index: None for the index inside the database, ``"off"`` for none; the address of an Elasticsearch server
                (``http://host:9200``), a client of it, or an :class:`ElasticsearchIndex` with settings.
            embedder: what gives texts their vectors; without one, a small static embedding that needs no network.
            tenant: whose sessions these are; stores of different tenants share a database and nothing else.
            analyzer: ``"english"`` stems words, ``"none"`` does not.
            retention: how long ended sessions are kept, carried out by :meth:`sweep`; without one, for ever.
            lease: how long after the death of this process its turns are given to others, and its running tool calls
                are ``unknown``; one second to a day.
            telemetry: True for spans and metrics by the application's OpenTelemetry providers, or a
                :class:`Telemetry` with others.

        Raises:
            InvalidInput: when an argument cannot be used.
            StorageUnavailable: when the database cannot be opened; DatabaseTooNew when a newer version made it.
        """
        tenant = _checks.identifier(tenant, "tenant")
        _checks.one_of(analyzer, "analyzer", ("english", "none"))
        server = None if index is None or index == "off" else elasticsearch_index(index)
        if embedder is not None and not isinstance(embedder, Embedder):
            raise InvalidInput(
                f"embedder: {_checks.shown(embedder)} has no name, embed_documents and embed_query; wrap an embedding "
                "of LangChain in LangChainEmbedder, one of LlamaIndex in LlamaIndexEmbedder"
            )
        if retention is not None and not isinstance(retention, Retention):
            raise InvalidInput(f"retention: expected a Retention, got {_checks.shown(retention)}; use Retention(...)")
        seconds = (duration(lease, "lease", least=timedelta(seconds=1), most=timedelta(days=1)) or 0) / 1e6
        told = telemetry_of(telemetry)
        database = open_database(url)
        keeper = Keeper(database, seconds)  # what it renews is nothing for the index
        watch = None if told is None else Watch(told, database, None if server is None else server.name)
        made: SearchIndex | None = None
        if server is not None:
            from agent_session_core.search.elastic.index import ElasticIndex  # numpy, for those who search

            made = ElasticIndex(database, server, embedder=embedder, analyzer=analyzer, watch=watch)
            database = WakingDatabase(database, made.wake)
        elif index is None:
            from agent_session_core.search.embedded import EmbeddedIndex  # numpy, for those who search

            made = EmbeddedIndex(database, embedder=embedder, analyzer=analyzer, watch=watch)
        if watch is not None and made is not None:
            watch.follow(database, tenant)
        return cls(
            database,
            made,
            sql.Scope(tenant),
            analyzer=analyzer,
            retention=retention or Retention(),
            keeper=keeper,
            owner=True,
            watch=watch,
        )

    def __repr__(self) -> str:
        bound = "" if self.user_id is None else f", user_id={self.user_id!r}"
        return f"SessionStore({self._database.url!r}, tenant={self.tenant!r}{bound})"

    @property
    def tenant(self) -> str:
        """The tenant the store is bound to."""
        return self._scope.tenant

    @property
    def user_id(self) -> str | None:
        """The user the store is bound to, or None where it is the application's own view."""
        return self._scope.user_id

    def for_user(self, user_id: str) -> SessionStore:
        """The same store, bound to one user: sessions of others answer like ids that do not exist.

        Raises:
            InvalidInput: when the id cannot be used, or the store is bound to another user already.
        """
        scope = self._scoped(_checks.identifier(user_id, "user_id"))
        return SessionStore(
            self._database,
            self._index,
            scope,
            analyzer=self._analyzer,
            retention=self._retention,
            keeper=self._keeper,
            owner=False,
            watch=self._watch,
        )

    def bind(self, connection: Connection | AsyncConnection) -> SessionStore:
        """The same store inside a transaction of the caller's: what it writes is stored when the caller commits.

        Whether with the caller's own rows or not at all, then. Each write stands under a savepoint; nothing is
        committed, rolled back or closed here. Turns, running tool calls and searches are the store's own.

        Args:
            connection: a SQLAlchemy Connection to the store's database, or an AsyncConnection for the async forms.

        Raises:
            InvalidInput: when it is none, or not of this database.
        """
        from agent_session_core.sql.bound import BoundDatabase  # for those who need it

        bound = BoundDatabase(connection, self._database)
        return SessionStore(
            bound,
            None,
            self._scope,
            analyzer=self._analyzer,
            retention=self._retention,
            keeper=NoKeeper(bound),
            owner=False,
            watch=self._watch,
        )

    def session(
        self,
        session_id: str | None = None,
        *,
        user_id: str | None = None,
        create: bool = True,
        agent_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idle_timeout: timedelta | None = None,
        expires_at: datetime | None = None,
    ) -> Session:
        """The session with this id, made if it is not there.

        Args:
            session_id: 1-512 characters, unique in the tenant; without one, a new id (UUIDv7) is made.
            user_id: whose session it is.
            create: False to find an existing session only.
            agent_id: for a new session: the agent it is made for.
            title: for a new session: what it is about.
            metadata: for a new session: JSON values of the caller's.
            idle_timeout: for a new session: after how long without a change it expires.
            expires_at: for a new session: when it expires at the latest (aware).

        Raises:
            InvalidInput: naming the argument that cannot be used.
            SessionNotFound: when it is not there and ``create`` is False, or the id is somebody else's.
        """
        scope, name, find, make = self._opening(
            session_id, user_id, create, agent_id, title, metadata, idle_timeout, expires_at
        )
        row = self._database.read(find)
        if row is None and make is not None:
            row = self._database.write(make, again=make)
        return self._handle(scope, name, row)

    async def asession(
        self,
        session_id: str | None = None,
        *,
        user_id: str | None = None,
        create: bool = True,
        agent_id: str | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        idle_timeout: timedelta | None = None,
        expires_at: datetime | None = None,
    ) -> Session:
        """As :meth:`session`."""
        scope, name, find, make = self._opening(
            session_id, user_id, create, agent_id, title, metadata, idle_timeout, expires_at
        )
        row = await self._database.aread(find)
        if row is None and make is not None:
            row = await self._database.awrite(make, again=make)
        return self._handle(scope, name, row)

    def sessions(
        self,
        *,
        user_id: str | None = None,
        status: Status | Sequence[Status] | None = None,
        metadata: Mapping[str, Any] | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Page[Session]:
        """A page of sessions, the one that changed last first.

        Args:
            user_id: only this user's.
            status: only those with this status, or one of these.
            metadata: only those whose metadata has all of these keys with these values.
            text: only those whose title or id holds this text, in any case of letters.
            before: the ``next_cursor`` of the page before.
            limit: 1 to 1,000.

        Raises:
            InvalidInput: naming the argument that cannot be used.
        """
        work, scope, limit = self._listing(user_id, status, metadata, text, before, limit)
        return self._page(self._database.read(work), scope, limit)

    async def asessions(
        self,
        *,
        user_id: str | None = None,
        status: Status | Sequence[Status] | None = None,
        metadata: Mapping[str, Any] | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Page[Session]:
        """As :meth:`sessions`."""
        work, scope, limit = self._listing(user_id, status, metadata, text, before, limit)
        return self._page(await self._database.aread(work), scope, limit)

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_ids: Sequence[str] | None = None,
        exclude_session_ids: Sequence[str] | None = None,
        roles: Sequence[Role] | None = None,
        metadata: Mapping[str, Any] | Filter | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        max_length: int | None = None,
        limit: int = 10,
        min_score: float = 0.0,
        mode: Mode = "hybrid",
        group_by: GroupBy = "message",
        neighbours: int = 0,
        author: str | None = None,
        archived: bool = False,
        recency: float = 0.0,
        explain: bool = False,
        wait: bool = False,
        on_outage: OnOutage = "raise",
    ) -> SearchResults:
        """Find messages of past sessions by their words and by their meaning, best first.

        Args:
            query: a question, or words.
            user_id: only this user's sessions.
            session_ids: only these sessions.
            exclude_session_ids: not these, for one the session that asks.
            roles: only messages of these roles.
            metadata: only messages whose metadata has these values, or meets a filter of
                :mod:`agent_session_core.filters`.
            since: only messages written at or after this (aware) time.
            until: only messages written before it.
            max_length: only messages of at most so many characters, to leave out long output of tools.
            limit: 1 to 1,000 hits.
            min_score: only hits with at least this score, 0-1.
            mode: ``hybrid``, ``keyword`` or ``semantic``.
            group_by: ``session`` for one hit a session, with its best messages as neighbours.
            neighbours: how many messages around each hit come with it, whole turns.
            author: only messages by this author.
            archived: archived sessions too.
            recency: how much the newest messages are favoured, 0-1.
            explain: tell with each hit how its score came about.
            wait: first wait until the index has all that was stored before; the embedded index always has.
            on_outage: ``keyword`` to be answered by words alone, and told so, where meaning is out of reach, or the
                server of the index (then from the newest messages in the database).

        Raises:
            InvalidInput: naming the argument that cannot be used.
            IndexUnavailable: when the index cannot answer; EmbeddingChanged when it was made with another embedding.
        """
        request = self._request(
            query,
            user_id,
            session_ids=session_ids,
            exclude_session_ids=exclude_session_ids,
            roles=roles,
            metadata=metadata,
            since=since,
            until=until,
            max_length=max_length,
            limit=limit,
            min_score=min_score,
            mode=mode,
            group_by=group_by,
            neighbours=neighbours,
            author=author,
            archived=archived,
            recency=recency,
            explain=explain,
            wait=wait,
            on_outage=on_outage,
        )
        index = self._required_index()
        if self._watch is None:
            return index.search(request)
        with self._watch.search(request) as answered:
            return answered(index.search(request))

    async def asearch(
        self,
        query: str,
        *,
        user_id: str | None = None,
        session_ids: Sequence[str] | None = None,
        exclude_session_ids: Sequence[str] | None = None,
        roles: Sequence[Role] | None = None,
        metadata: Mapping[str, Any] | Filter | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        max_length: int | None = None,
        limit: int = 10,
        min_score: float = 0.0,
        mode: Mode = "hybrid",
        group_by: GroupBy = "message",
        neighbours: int = 0,
        author: str | None = None,
        archived: bool = False,
        recency: float = 0.0,
        explain: bool = False,
        wait: bool = False,
        on_outage: OnOutage = "raise",
    ) -> SearchResults:
        """As :meth:`search`, in a thread."""
        request = self._request(
            query,
            user_id,
            session_ids=session_ids,
            exclude_session_ids=exclude_session_ids,
            roles=roles,
            metadata=metadata,
            since=since,
            until=until,
            max_length=max_length,
            limit=limit,
            min_score=min_score,
            mode=mode,
            group_by=group_by,
            neighbours=neighbours,
            author=author,
            archived=archived,
            recency=recency,
            explain=explain,
            wait=wait,
            on_outage=on_outage,
        )
        work = partial(self._required_index().search, request)
        if self._watch is None:
            return await self._database.in_thread(work)
        with self._watch.search(request) as answered:
            return answered(await self._database.in_thread(work))

    def verify(self) -> IndexReport:
        """Compare the index with what is stored, in both directions; nothing is changed.

        Raises:
            IndexUnavailable: when the store was opened without an index.
            InvalidInput: when the store is bound to a user.
        """
        return self._whole_index().verify(self.tenant)

    async def averify(self) -> IndexReport:
        """As :meth:`verify`, in a thread."""
        return await self._database.in_thread(self.verify)

    def repair(self) -> IndexReport:
        """Index what is missing or stale and take out what is not stored: the report is of how it stands then.

        Raises:
            IndexUnavailable: when the index cannot be written.
            EmbeddingChanged: when it was made with another embedding.
        """
        return self._whole_index().repair(self.tenant)

    async def arepair(self) -> IndexReport:
        """As :meth:`repair`, in a thread."""
        return await self._database.in_thread(self.repair)

    def reindex(self) -> int:
        """Make the index anew, with this store's embedder and analyzer; how many messages were read.

        The index there was goes on answering until the new one holds everything. What was broken off goes on where it
        stopped when this is called again.

        Raises:
            IndexUnavailable: when the embedder fails.
        """
        return self._whole_index().reindex(self.tenant)

    async def areindex(self) -> int:
        """As :meth:`reindex`, in a thread."""
        return await self._database.in_thread(self.reindex)

    def index_worker(self) -> IndexWorker:
        """A worker that brings changes of every tenant to the index on Elasticsearch, in the foreground.

        A store with telemetry tells from now on how far the index of all tenants is behind.

        Raises:
            InvalidInput: when the store's index is not there.
        """
        index = self._whole_index()
        if not isinstance(index, Followed):
            raise InvalidInput("index: the index inside the database needs no worker; open the store with a server's")
        if self._watch is not None:
            self._watch.follow(self._database, None)
        return index.worker()

    def nodes(self, collection: str) -> NodeCollection:
        """A collection of nodes that are not messages, for a vector store: of the store's tenant and user.

        Raises:
            InvalidInput: when the name cannot be used.
        """
        from agent_session_core.nodes import NodeCollection  # numpy, for those who search

        name = _checks.identifier(collection, "collection")
        return NodeCollection(self._database, self._scope.tenant, self._scope.user_id, name, analyzer=self._analyzer)

    def export(self, session_ids: Sequence[str] | None = None) -> Iterator[str]:
        """The store's sessions as JSON lines, lossless: each with its messages, state, tasks, tool calls and files.

        All versions of them, as they were written. At the end come the variables of the users and of the application
        (of the one user where the store is bound to one).

        Args:
            session_ids: only these, and no variables that sessions share.

        Raises:
            InvalidInput: for one of ``session_ids`` that is not there.
        """
        chosen = _checks.identifiers(session_ids, "session_ids")
        return dump(export(self._database, self._scope, chosen))

    async def aexport(self, session_ids: Sequence[str] | None = None) -> AsyncIterator[str]:
        """As :meth:`export`."""
        lines = self.export(session_ids)
        while batch := await self._database.in_thread(lambda: list(islice(lines, 50))):
            for line in batch:
                yield line

    def load(self, lines: Iterable[str | bytes] | Iterable[Entry | Problem]) -> LoadReport:
        """Store the sessions of an export, into this store's tenant and user, whatever the lines say.

        Args:
            lines: JSON lines as :meth:`export` writes them, or entries that
                :func:`agent_session_core.exchange.read_file` reads from a file.

        Returns:
            What was stored, what was there already, and what could not be read, with the line and the reason. The
            rest is loaded all the same; loading again goes on where a load was broken off.

        Raises:
            InvalidInput: when the lines are no export at all, or one of a newer version.
        """
        return load(self._database, self._scope, _entries(lines))

    async def aload(self, lines: Iterable[str | bytes] | Iterable[Entry | Problem]) -> LoadReport:
        """As :meth:`load`, in a thread."""
        return await self._database.in_thread(partial(self.load, lines))

    def erase(self, *, user_id: str | None = None) -> ErasureReceipt:
        """Erase a user: every session, the user's state and nodes, and all of it from the index.

        Args:
            user_id: the user; a store that is bound to one needs none.

        Raises:
            InvalidInput: when no user is named.
        """
        return self._confirmed(self._database.write(self._erasing(user_id)))

    async def aerase(self, *, user_id: str | None = None) -> ErasureReceipt:
        """As :meth:`erase`."""
        return await self._aconfirmed(await self._database.awrite(self._erasing(user_id)))

    def erase_tenant(self) -> ErasureReceipt:
        """Erase everything of the tenant; only the receipts stay.

        Raises:
            InvalidInput: when the store is bound to a user.
        """
        self._require_unbound("erase_tenant")
        return self._confirmed(self._database.write(partial(erase_tenant, tenant=self.tenant)))

    async def aerase_tenant(self) -> ErasureReceipt:
        """As :meth:`erase_tenant`."""
        self._require_unbound("erase_tenant")
        return await self._aconfirmed(await self._database.awrite(partial(erase_tenant, tenant=self.tenant)))

    def receipt(self, receipt_id: str) -> ErasureReceipt:
        """The receipt of an erasure, complete once the index has confirmed it and no reader holds what was erased.

        Raises:
            InvalidInput: when there is none with this id.
        """
        return self._purged(self._given(receipt_id, self._database.read(self._receipt(receipt_id))))

    async def areceipt(self, receipt_id: str) -> ErasureReceipt:
        """As :meth:`receipt`."""
        receipt = self._given(receipt_id, await self._database.aread(self._receipt(receipt_id)))
        return await self._database.in_thread(partial(self._purged, receipt))

    def sweep(self, now: datetime | None = None, *, dry_run: bool = False) -> SweepReport:
        """Expire the sessions that are past a deadline, and archive and delete by the store's retention.

        Safe from many processes at once: each session's change happens once, and is told by one of them.

        Args:
            now: the (aware) moment to judge by; without one, this moment.
            dry_run: change nothing, and tell what is due.

        Raises:
            InvalidInput: when ``now`` has no time zone.
        """
        report = sweep(self._database, self._scope, self._retention, at=now, dry=dry_run)
        if report.deleted and not dry_run:
            self._forget_erased()
        return report

    async def asweep(self, now: datetime | None = None, *, dry_run: bool = False) -> SweepReport:
        """As :meth:`sweep`, in a thread."""
        return await self._database.in_thread(partial(self.sweep, now, dry_run=dry_run))

    def sweeper(self, every: timedelta = timedelta(minutes=5)) -> Sweeper:
        """A sweep every so often, in a thread of its own, from ``start()`` to ``stop()``; also a ``with`` block.

        Raises:
            InvalidInput: when ``every`` is no time span.
        """
        return Sweeper(self.sweep, every)

    def close(self) -> None:
        """Close what :meth:`open` opened; the stores made by :meth:`for_user` close nothing. Closing twice is fine."""
        if self._owner:
            self._stop_telling()
            self._keeper.close()
            if self._index is not None:
                self._index.close()
            self._database.close()

    async def aclose(self) -> None:
        """As :meth:`close`."""
        if self._owner:
            self._stop_telling()
            self._keeper.close()
            if self._index is not None:
                await self._database.in_thread(self._index.close)
            await self._database.aclose()

    def _stop_telling(self) -> None:
        if self._watch is not None:
            self._watch.close()

    def __enter__(self) -> SessionStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> SessionStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _scoped(self, user_id: str | None) -> sql.Scope:
        """The scope of a call that may name a user: a bound store never leaves its own."""
        if user_id is None:
            return self._scope
        _checks.identifier(user_id, "user_id")
        if self._scope.user_id is not None and user_id != self._scope.user_id:
            raise InvalidInput(
                f"user_id: {_checks.shown(user_id)} is not the user this store is bound to; leave it out, or use the "
                "store that for_user() was called on"
            )
        return replace(self._scope, user_id=user_id)

    def _opening(
        self,
        session_id: str | None,
        user_id: str | None,
        create: bool,
        agent_id: str | None,
        title: str | None,
        metadata: Mapping[str, Any] | None,
        idle_timeout: timedelta | None,
        expires_at: datetime | None,
    ) -> tuple[sql.Scope, str, Any, Any]:
        scope = self._scoped(user_id)
        if not _checks.flag(create, "create") and session_id is None:
            raise InvalidInput("session_id: None names no session; give its id, or leave create=False out")
        name = new_id() if session_id is None else _checks.identifier(session_id, "session_id")
        at = to_microseconds(now())
        idle, latest = duration(idle_timeout, "idle_timeout"), deadline(expires_at)
        due = [moment for moment in (latest, None if idle is None else at + idle) if moment is not None]
        values = {
            "agent_id": _checks.optional_identifier(agent_id, "agent_id"),
            "title": _checks.title(title),
            "metadata": _checks.json_object(metadata, "metadata"),
            "created_at": at,
            "updated_at": at,
            "idle_timeout": idle,
            "expires_at": latest,
            "due_at": min(due, default=None),
        }
        find = partial(sql.find, scope=scope, name=name)
        return scope, name, find, partial(_made, scope=scope, name=name, values=values) if create else None

    def _handle(self, scope: sql.Scope, name: str, row: sql.SessionRow | None) -> Session:
        if row is None:
            raise SessionNotFound(
                f"session_id: {_checks.shown(name)} is not found; check the id, or choose another for a new session"
            )
        return Session(self._services, scope.tenant, row)

    def _listing(
        self,
        user_id: str | None,
        status: Status | Sequence[Status] | None,
        metadata: Mapping[str, Any] | None,
        text: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[Any, sql.Scope, int]:
        scope = self._scoped(user_id)
        statuses = (status,) if isinstance(status, str) else status
        if statuses is not None and not isinstance(statuses, Iterable):
            raise InvalidInput(f"status: {_checks.shown(status)} is not known; use one of {', '.join(STATUSES)}")
        limit = _checks.whole(limit, "limit", most=1_000)
        _checks.json_object(metadata, "metadata")
        work = partial(
            sql.page,
            scope=scope,
            statuses=None if statuses is None else tuple(_checks.one_of(s, "status", STATUSES) for s in statuses),
            text=None if text is None else _checks.identifier(text, "text"),
            metadata=equals(metadata) if metadata else None,
            before=None if before is None else from_cursor(before),
            limit=limit + 1,
        )
        return work, scope, limit

    def _page(self, rows: list[sql.SessionRow], scope: sql.Scope, limit: int) -> Page[Session]:
        shown = rows[:limit]
        cursor = to_cursor(shown[-1].updated_at, shown[-1].id) if len(rows) > limit else None
        return Page(tuple(self._handle(scope, row.session_id, row) for row in shown), cursor)

    def _request(self, query: str, user_id: str | None, **options: Any) -> SearchRequest:
        from agent_session_core.search.request import SearchRequest  # for those who search

        scope = self._scoped(user_id)
        return SearchRequest(query=query, tenant=scope.tenant, user_id=scope.user_id, **options)

    def _required_index(self) -> SearchIndex:
        if self._index is None:
            raise IndexUnavailable(
                "index: this store has none (index='off', or bound to a connection); search by one that has"
            )
        return self._index

    def _confirmed(self, receipt: ErasureReceipt) -> ErasureReceipt:
        """The receipt, complete where the index has forgotten what was erased."""
        gone = self._forget_erased()
        told = self._database.read(self._receipt(receipt.id)) or receipt
        return replace(told, complete=told.complete and gone)

    async def _aconfirmed(self, receipt: ErasureReceipt) -> ErasureReceipt:
        """As :meth:`_confirmed`: what has no async form in a thread, the rest where a caller's connection can be."""
        gone = await self._database.in_thread(self._forget_erased)
        told = await self._database.aread(self._receipt(receipt.id)) or receipt
        return replace(told, complete=told.complete and gone)

    def _forget_erased(self) -> bool:
        """Take what was erased out of the index and the database's log; False where a reader holds that up."""
        if self._index is not None:
            self._index.forget(self.tenant)
        return self._database.purge()

    def _purged(self, receipt: ErasureReceipt) -> ErasureReceipt:
        """The receipt, complete where the database's log too has nothing of what was erased by now."""
        return replace(receipt, complete=receipt.complete and self._database.purge())

    def _erasing(self, user_id: str | None) -> Any:
        user = self._scoped(user_id).user_id
        if user is None:
            raise InvalidInput("user_id: whose? Name the user; erase_tenant() erases everything")
        return partial(erase_user, tenant=self.tenant, user_id=user)

    def _receipt(self, receipt_id: str) -> Any:
        name = _checks.identifier(receipt_id, "receipt_id")
        return partial(erasure.receipt, scope=self._scope, receipt_id=name)

    def _given(self, receipt_id: str, receipt: ErasureReceipt | None) -> ErasureReceipt:
        if receipt is None:
            raise InvalidInput(f"receipt_id: {_checks.shown(receipt_id)} is not found; give the id of a receipt")
        return receipt

    def _require_unbound(self, method: str) -> None:
        if self._scope.user_id is not None:
            raise InvalidInput(f"{method}: this store is bound to a user; use erase(), or the store it was made from")

    def _whole_index(self) -> SearchIndex:
        """The index, for what concerns all of the tenant: not for a store that is bound to one user."""
        if self._scope.user_id is not None:
            raise InvalidInput("user_id: this store is bound to a user; use the store that for_user() was called on")
        return self._required_index()


def _entries(lines: Iterable[Any]) -> Iterator[Entry | Problem]:
    remedy = "give load(exchange.read_file(path)), an open file of JSON lines, or text.splitlines()"
    if isinstance(lines, str | bytes | PathLike) or not isinstance(lines, Iterable):
        raise InvalidInput(f"lines: expected lines, got {type(lines).__name__} {_checks.shown(lines)}; {remedy}")
    given = iter(lines)
    first = next(given, "")
    if isinstance(first, bytes):
        first = first.decode(errors="surrogateescape")
    if isinstance(first, str) and first.lstrip("\ufeff \t\r\n").startswith("["):
        raise InvalidInput(f"lines: these begin with a JSON array, as a ChatGPT data export does; {remedy}")
    together = chain([first], given)
    return together if isinstance(first, Entry | Problem) else parse(together)


def _made(conn: Connection, scope: sql.Scope, name: str, values: Mapping[str, Any]) -> sql.SessionRow | None:
    sql.create(conn, scope, name, values)
    return sql.find(conn, scope, name)
