"""The search index on Elasticsearch, as a store uses it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from agent_session_core.errors import EmbeddingChanged, IndexUnavailable, SessionError
from agent_session_core.models import SearchResults
from agent_session_core.search import changes
from agent_session_core.search import statements as sql
from agent_session_core.search.elastic import outbox
from agent_session_core.search.elastic.answer import (
    hits_of,
)
from agent_session_core.search.elastic.asking import Asked, Asking
from agent_session_core.search.elastic.client import Server
from agent_session_core.search.elastic.delivering import Deliverer, Only
from agent_session_core.search.elastic.follower import Follower
from agent_session_core.search.elastic.indexes import Indexes, answering
from agent_session_core.search.elastic.outage import answer_from_database
from agent_session_core.search.elastic.profiles import Profile, Profiles
from agent_session_core.search.elastic.rebuild import rebuild
from agent_session_core.search.elastic.requests import Where
from agent_session_core.search.elastic.upkeep import expunge, purge
from agent_session_core.search.elastic.verify import Verifier, mend
from agent_session_core.search.elastic.worker import Worker
from agent_session_core.search.making import VectorMaker, patient
from agent_session_core.search.query import Question, read_question
from agent_session_core.search.words import Words

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agent_session_core.models import IndexReport
    from agent_session_core.ports import Embedder, Vectors
    from agent_session_core.search.elastic.outbox import Index
    from agent_session_core.search.elastic.settings import ElasticsearchIndex
    from agent_session_core.search.fusion import Mode
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.words import Analyzer
    from agent_session_core.sql.engine import Database
    from agent_session_core.telemetry import Watch

__all__ = ["ElasticIndex"]

UPKEEP = 1_800.0
"""Seconds between two looks at what may be cleared away."""
LOOK_AGAIN = 0.02
"""Seconds between two looks at changes that another worker is at."""
FORGET_SECONDS = 5.0
"""Seconds that a deletion waits for the index at most; later it is told by the receipt alone."""


class _Plan(NamedTuple):
    """What a search knows of the database before it asks the server."""

    current: Index | None
    profile: Profile | None
    where: Where
    reason: str | None


class _Standing(NamedTuple):
    """The index that answers, and the newest change, at one moment."""

    current: Index | None
    newest: int

    def is_of(self, index: Index) -> bool:
        """Whether all that was stored by then has its place in the outbox for this index.

        For an index that was begun later, or announced to its end later, it was put there anew, with later numbers.
        """
        mine = self.current
        return mine is not None and mine.generation == index.generation and mine.announced >= mine.announce_to


def _standing(conn: Connection) -> _Standing:
    return _Standing(answering(outbox.indexes(conn)), outbox.newest(conn))


class ElasticIndex:
    """Finds messages by words and by meaning. May be used from several threads and processes at once.

    Fed from the outbox, by a thread of this process or by workers. Everything here blocks; from an event loop, call it
    in a thread.

    Args:
        database: where the sessions are.
        settings: what the caller said.
        embedder: gives texts their vectors; without one, a static embedding that needs no network.
        analyzer: ``english`` for stems, ``none`` for words as they are.
        watch: is told of what is indexed.
    """

    def __init__(
        self,
        database: Database,
        settings: ElasticsearchIndex,
        *,
        embedder: Embedder | None,
        analyzer: Analyzer,
        watch: Watch | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._given = embedder
        self._analyzer: Analyzer = analyzer
        self._watch = watch
        remake = None if settings.is_theirs else settings.connect
        self._server = Server(settings.connect(), settings.name, remake)
        self._start()

    def _start(self) -> None:
        """Begin with locks of this process's own: a fork may inherit its parent's in the middle of their use."""
        self._process = os.getpid()
        self._words = Words(self._analyzer)
        self._maker = VectorMaker(self._database, patient(self._given))
        self._profiles = Profiles(self._words)
        self._indexes = Indexes(self._database, self._server, self._settings, self._analyzer, self._maker.name)
        self._deliverer = Deliverer(
            self._database, self._server, self._settings, self._indexes, self._maker, self._words, self._watch
        )
        self._verifier = Verifier(self._database, self._server, self._indexes, self._words)
        self._follower = Follower(self._follow, self._upkeep, UPKEEP)
        if self._settings.follow:
            self._follower.wake()

    def _check_process(self) -> None:
        if self._process != os.getpid():
            self._start()

    def wake(self) -> None:
        """Something was written: bring it to the index soon."""
        self._check_process()
        if self._settings.follow:
            self._follower.wake()

    def close(self) -> None:
        """Stop following, and close the client where it is ours; what is pending waits in the database."""
        if self._process == os.getpid():
            self._follower.close(self._settings.timeout)
        self._server.close()

    def search(self, request: SearchRequest) -> SearchResults:
        """Answer a request.

        Raises:
            EmbeddingChanged: when the index was made with another embedder or analyzer, unless by keyword.
            IndexUnavailable: when the server cannot answer in time, or a purely semantic search cannot embed the
                question, and the request does not say ``on_outage="keyword"``.
        """
        self._check_process()
        asking = Asking(self._server, self._settings)
        try:
            with self._understanding():
                return self._answer(request, asking)
        except EmbeddingChanged:
            raise
        except IndexUnavailable as error:
            if request.on_outage == "raise":
                raise
            reason = f"answered from the database alone, by words: {error}"
        answer = partial(answer_from_database, request=request, words=self._words, reason=reason)
        return self._database.read(answer, snapshot=True)

    def drain(self, tenant: str, user_id: str | None = None) -> int:
        """Deliver what has changed of a tenant, or of one user of it; how many messages were looked at.

        Raises:
            IndexUnavailable: when the server cannot take it just now.
        """
        self._check_process()
        return self._deliverer.deliver(Only(tenant, user_id))

    def forget(self, tenant: str) -> None:
        """Take sessions that were deleted out of the index, where it can be told so just now."""
        self._check_process()
        try:
            self._deliverer.deliver(Only(tenant, gone=True), hurry=FORGET_SECONDS)
        except IndexUnavailable:
            self.wake()  # it waits in the outbox, and the receipt says so

    def verify(self, tenant: str) -> IndexReport:
        """Compare what is stored with what is indexed, message by message. What is pending is counted, not compared.

        Raises:
            IndexUnavailable: when the server cannot answer just now, or the index is missing there.
        """
        self._check_process()
        with self._understanding():
            return self._verifier.report(tenant)

    def repair(self, tenant: str) -> IndexReport:
        """Index anew whatever differs, try again what was set aside, and index what is pending; how it stands then.

        An index that is missing on the server is made anew.

        Raises:
            IndexUnavailable: when the server or the embedder fails.
            EmbeddingChanged: when the index was made with another embedder or analyzer: reindex() mends that.
        """
        self._check_process()
        self._maker.wake()
        index = answering(self._database.read(outbox.indexes))
        if index is not None:
            self._indexes.require(index)
            if self._indexes.is_lost(index):
                self.reindex(tenant)
            with self._understanding():
                mend(self._database, self._verifier, tenant)
        self._deliverer.deliver(Only(tenant))
        return self.verify(tenant)

    def reindex(self, tenant: str) -> int:
        """Make the index anew, for all tenants, with this embedder and analyzer; how many of this tenant were read.

        The old index answers meanwhile, to those who have its embedder, and both get what changes. Broken off, it goes
        on where it stopped when it is called again.

        Raises:
            IndexUnavailable: when the server or the embedder fails.
        """
        self._check_process()
        self._maker.wake()
        rebuild(self._database, self._indexes, self._deliverer)
        return self._database.read(partial(outbox.extent, tenant=tenant))

    def worker(self) -> Worker:
        """What brings changes to the index in the foreground."""
        self._check_process()
        return Worker(self._database, self._deliverer, self._upkeep, UPKEEP)

    def purge(self) -> None:
        """Leave nothing of what was deleted in the server's files.

        Raises:
            IndexUnavailable: when the server cannot do it just now.
        """
        self._check_process()
        expunge(self._database, self._server, self._indexes, wait=True)

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Within this, an answer of no known shape is no answer: another program's document, or another server's."""
        try:
            yield
        except SessionError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise IndexUnavailable(
                f"{self._server.name}: its answer cannot be read ({type(error).__name__}); see that it is "
                "Elasticsearch, and that nobody else writes into the index"
            ) from error

    def _upkeep(self) -> None:
        if purge(self._database, self._server, self._indexes, self._deliverer):
            expunge(self._database, self._server, self._indexes, wait=False)

    def _follow(self, follower: Follower) -> int:
        return self._deliverer.deliver(stop=lambda: follower.interrupted)

    def _answer(self, request: SearchRequest, asking: Asking) -> SearchResults:
        if request.wait:
            self._wait(request, asking)
        plan = self._database.read(partial(self._plan, request), snapshot=True)
        if plan.current is None or not plan.current.made:
            self._indexes.make(asking.left)
            plan = self._database.read(partial(self._plan, request), snapshot=True)
        if plan.current is None or not plan.current.made:
            raise IndexUnavailable(f"{self._server.name}: the index is being made anew; try again when it is done")
        if plan.profile is None or (plan.where.sessions is not None and not plan.where.sessions):
            return SearchResults(degraded=plan.reason)
        if request.mode != "keyword":
            self._indexes.require(plan.current)
        question = read_question(request.query, plan.profile.speakers, self._words)
        mode, vector, reason = self._vector(request, question, plan)
        target = self._indexes.target(plan.current.generation)
        try:
            answer = asking.ask(Asked(request, target, plan.current, plan.profile, plan.where, question, mode, vector))
        except IndexUnavailable:
            now = self._database.read(outbox.indexes)
            if answering(now) == plan.current:
                raise
            return self._answer(request, asking)  # it was made anew just now
        hits = self._database.read(partial(hits_of, request=request, answer=answer, words=self._words), snapshot=True)
        if request.explain:
            hits = asking.explained(target, answer, hits, self._words)
        return SearchResults([hit.hit for hit in hits], degraded=reason, truncated=answer.cut)

    def _plan(self, request: SearchRequest, conn: Connection) -> _Plan:
        tenant, user_id = request.tenant, request.user_id
        index = answering(outbox.indexes(conn))
        profile = None if index is None else self._profiles.of(conn, index.generation, tenant, user_id)
        chosen = None if request.session_ids is None else sql.numbers_of(conn, tenant, request.session_ids)
        excluded = sql.numbers_of(conn, tenant, request.exclude_session_ids or ())
        waits = changes.why_waiting(conn, tenant, user_id)
        reason = None if waits is None else f"some messages have no vectors yet: {waits}"
        if index is not None and outbox.is_being_filled(conn, index, tenant, user_id):
            reason = "the index is being filled: not all that was stored before it can be found yet"
        return _Plan(index, profile, Where(chosen, excluded), reason)

    def _vector(
        self, request: SearchRequest, question: Question, plan: _Plan
    ) -> tuple[Mode, Vectors | None, str | None]:
        """By what is searched, and the unit vector of the question where that is by meaning."""
        if request.mode == "keyword" or plan.profile is None or plan.profile.mean is None:
            return "keyword", None, plan.reason  # nothing has a vector yet
        try:
            vector = self._maker.question(question.about)
        except IndexUnavailable as error:
            if request.mode == "semantic" and request.on_outage == "raise":
                raise
            return "keyword", None, f"answered by keyword: {error}"
        if len(vector) != len(plan.profile.mean):
            return "keyword", None, plan.reason
        return request.mode, vector, plan.reason

    def _wait(self, request: SearchRequest, asking: Asking) -> None:
        """Wait until what was committed before can be found.

        Raises:
            IndexUnavailable: when that takes longer than the search may.
        """
        scope = Only(request.tenant, request.user_id)
        begun = self._database.read(_standing, snapshot=True)
        while True:
            self._deliverer.deliver(scope, hurry=asking.left, stop=lambda: asking.left <= 0)
            standing = self._database.read(_standing, snapshot=True)
            index = standing.current
            if index is None:
                return
            if not begun.is_of(index):
                begun = standing
            owed = partial(
                outbox.owed,
                generation=index.generation,
                up_to=begun.newest,
                tenant=request.tenant,
                user_id=request.user_id,
            )
            if begun.is_of(index) and not self._database.read(owed):
                break
            if asking.left <= LOOK_AGAIN:
                raise IndexUnavailable(
                    f"{self._server.name}: changes were not indexed within {self._settings.timeout:g} s; search "
                    "without wait, give it a longer timeout, or see that its workers run"
                )
            time.sleep(LOOK_AGAIN)
        with self._server.speaking():
            asking.client().indices.refresh(index=self._indexes.target(index.generation))
