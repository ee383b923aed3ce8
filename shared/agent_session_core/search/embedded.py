"""The search index inside the database of the sessions: words and vectors as plain rows, scored in memory."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from agent_session_core.errors import EmbeddingChanged, IndexUnavailable, SessionError
from agent_session_core.indexing import Indexer
from agent_session_core.models import SearchResults
from agent_session_core.search import changes
from agent_session_core.search import statements as sql
from agent_session_core.search.cache import ScopeCache
from agent_session_core.search.elsewhere import require_here, take_over
from agent_session_core.search.making import VectorMaker, patient
from agent_session_core.search.query import read_question
from agent_session_core.search.rebuild import rebuild
from agent_session_core.search.refresh import MOST_MESSAGES, up_to_date
from agent_session_core.search.scope import empty_scope
from agent_session_core.search.searching import search
from agent_session_core.search.verify import mend, verify
from agent_session_core.search.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from agent_session_core.models import IndexReport
    from agent_session_core.ports import Embedder, Vectors
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.scope import Scope
    from agent_session_core.search.words import Analyzer
    from agent_session_core.sql.engine import Database
    from agent_session_core.telemetry import Watch

__all__ = ["EmbeddedIndex"]

CACHE_BYTES = 512 * 1024 * 1024
"""Memory for scopes that were searched lately; a message takes about 1.7 KB of it."""


class EmbeddedIndex:
    """Finds messages by words and by meaning. May be used from several threads and processes at once.

    The index is fed from the outbox, and a search first indexes what is pending in its own scope: it finds what was
    written before it. Everything here blocks; from an event loop, call it in a thread.

    Args:
        database: where the sessions are.
        embedder: gives texts their vectors; without one, a static embedding that needs no network. Any other than that
            is asked by way of an :class:`~agent_session_core.embedding.EmbeddingService`.
        analyzer: ``english`` for stems, ``none`` for words as they are.
        watch: is told of what is indexed.
        cache_bytes: memory for scopes that were searched lately.
    """

    def __init__(
        self,
        database: Database,
        embedder: Embedder | None = None,
        analyzer: Analyzer = "english",
        *,
        watch: Watch | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._database = database
        self._given = embedder
        self._analyzer: Analyzer = analyzer
        self._cache_bytes = cache_bytes
        self._watch = watch
        self._start()

    def _start(self) -> None:
        """Begin with locks of this process's own: a fork may inherit its parent's in the middle of their use."""
        self._process = os.getpid()
        self._maker = VectorMaker(self._database, patient(self._given))
        self._store_words = Words(self._analyzer)
        self._words = {str(self._analyzer): self._store_words}
        self._indexer = Indexer(self._database, self._maker, self._store_words, self._watch)
        self._cache = ScopeCache(self._cache_bytes)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            self._start()

    def search(self, request: SearchRequest) -> SearchResults:
        """Answer a request.

        Raises:
            EmbeddingChanged: when the index was made with another embedder or analyzer, unless by keyword.
            IndexUnavailable: when a purely semantic search cannot embed the question and may not fall back, or rows of
                the index cannot be read.
        """
        self._check_process()
        try:
            return self._answer(request)
        except SessionError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise IndexUnavailable(
                f"the index holds what cannot be read ({error}); store.reindex() makes it anew"
            ) from error

    def _answer(self, request: SearchRequest) -> SearchResults:
        reason = self._index_pending(request)
        vector = None
        if request.mode != "keyword":
            about = self._database.read(partial(self._about, request), snapshot=True)
            try:
                vector = self._maker.question(about)
            except IndexUnavailable as error:
                if request.mode == "semantic" and request.on_outage == "raise":
                    raise
                reason = f"answered by keyword: {error}"
        return self._database.read(partial(self._search, request, vector, reason), snapshot=True)

    def drain(self, tenant: str, user_id: str | None = None) -> int:
        """Index what has changed of a tenant, or of one user of it; how many messages were looked at.

        Raises:
            EmbeddingChanged: when the embedder gives vectors of other dimensions than before.
        """
        self._check_process()
        return self._indexer.drain(tenant, user_id)

    def forget(self, tenant: str) -> None:
        """Take sessions that were deleted out of the index."""
        self._check_process()
        self._indexer.forget(tenant)

    def verify(self, tenant: str) -> IndexReport:
        """Compare what is stored with what is indexed, message by message. What is pending is counted, not compared."""
        self._check_process()
        made = self._database.read(partial(sql.info, tenant=tenant))
        if made is None:
            self._database.read(require_here)
        words = self._store_words if made is None else self._words_of(made.analyzer)
        return verify(self._database, words, tenant)

    def repair(self, tenant: str) -> IndexReport:
        """Index anew whatever differs, try again what was set aside, and index what is pending; how it stands then.

        Raises:
            EmbeddingChanged: when the index was made with another embedder or analyzer: reindex() mends that.
        """
        self._check_process()
        made = self._database.read(partial(sql.info, tenant=tenant))
        if made is not None:
            self._indexer.require(made)
        self._maker.wake()
        mend(self._database, self._store_words, tenant)
        self._indexer.drain(tenant)
        return self.verify(tenant)

    def reindex(self, tenant: str) -> int:
        """Make the tenant's index anew with this embedder and analyzer; how many messages were read.

        The old index answers meanwhile, to those who have its embedder. Broken off, it goes on where it stopped when
        it is called again.

        Raises:
            IndexUnavailable: when the embedder fails.
        """
        self._check_process()
        self._maker.wake()
        self._database.write(take_over)
        count = rebuild(self._database, self._indexer, self._store_words, tenant)
        self._cache.clear()
        return count + self._indexer.drain(tenant)

    def wake(self) -> None:
        """Nothing to do: a search brings its scope up to date by itself."""

    def close(self) -> None:
        """Nothing to do: the index is in the database."""

    def _index_pending(self, request: SearchRequest) -> str | None:
        """Bring the index up to date for a request; why something of it is still not (fully) in it."""
        tenant, user_id = request.tenant, request.user_id
        made, waiting = self._database.read(partial(_standing, tenant, user_id), snapshot=True)
        if made is None:
            self._database.read(require_here)
        if made is not None and request.mode != "keyword":
            self._indexer.require(made)
        if waiting.due:
            try:
                self._indexer.drain(tenant, user_id)
            except EmbeddingChanged:
                if request.mode != "keyword":
                    raise
            _, waiting = self._database.read(partial(_standing, tenant, user_id), snapshot=True)
        if made is not None and not self._indexer.fits(made):
            return "changes wait until store.reindex() is called" if waiting.due else None
        return None if waiting.reason is None else f"some messages have no vectors yet: {waiting.reason}"

    def _search(
        self, request: SearchRequest, vector: Vectors | None, reason: str | None, conn: Connection
    ) -> SearchResults:
        made = sql.info(conn, request.tenant)
        if made is None:
            return SearchResults(degraded=reason)
        if vector is not None:
            self._indexer.require(made)  # another process may have made it anew meanwhile
        scope, marks, truncated = self._scope(request, made, conn)
        if vector is not None and len(vector) != scope.dimensions:
            vector = None  # nothing has a vector yet
        return SearchResults(search(conn, request, scope, marks, vector), degraded=reason, truncated=truncated)

    def _about(self, request: SearchRequest, conn: Connection) -> str:
        """What of the question is embedded: all but the names of those who speak in its scope."""
        made = sql.info(conn, request.tenant)
        if made is None:
            return request.query
        scope, _, _ = self._scope(request, made, conn)
        return read_question(request.query, scope.speakers, scope.words).about

    def _scope(
        self, request: SearchRequest, made: sql.Info, conn: Connection
    ) -> tuple[Scope, Sequence[sql.SessionMark], bool]:
        """The request's scope as it stands, its sessions, and whether older messages of it are left out."""
        key = (request.tenant, request.user_id, made.generation)
        scope = self._cache.get(key)
        if scope is None or len(scope) > MOST_MESSAGES * 5 // 4 or scope.dimensions != (made.dimensions or 0):
            scope = empty_scope(self._words_of(made.analyzer), made.dimensions or 0)
        scope, marks, truncated = up_to_date(conn, scope, made.slot, request.tenant, request.user_id)
        self._cache.put(key, scope)
        return scope, marks, truncated

    def _words_of(self, analyzer: str) -> Words:
        """The tokenizer that an index was made with, which need not be the store's."""
        if analyzer not in self._words:
            self._words[analyzer] = Words("english" if analyzer == "english" else "none")
        return self._words[analyzer]


def _standing(tenant: str, user_id: str | None, conn: Connection) -> tuple[sql.Info | None, changes.Waiting]:
    now = time.time_ns() // 1_000
    return sql.info(conn, tenant), changes.waiting(conn, tenant, user_id, now)
