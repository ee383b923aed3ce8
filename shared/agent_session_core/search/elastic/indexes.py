"""The indexes of a database on the server: their names, making them, and which of them a store can use.

Each index has a generation, a number of its own, and an alias for it, by which it is written and searched: where the
alias is not there, nothing is written, and nothing made by the way. Which generation answers stands in the database, so
that a search sees it in the same moment as all else it reads there; one more alias follows it, for people and their
tools.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agent_session_core.errors import EmbeddingChanged
from agent_session_core.search.elastic import outbox
from agent_session_core.search.elastic.mapping import FORMAT, definition
from agent_session_core.search.elastic.outbox import Index
from agent_session_core.search.elsewhere import require_free

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agent_session_core.search.elastic.client import Server
    from agent_session_core.search.elastic.settings import ElasticsearchIndex
    from agent_session_core.search.words import Analyzer
    from agent_session_core.sql.engine import Database

__all__ = ["Indexes", "answering"]

MAKING = 30.0
"""Seconds that making an index may take."""


def answering(indexes: Sequence[Index]) -> Index | None:
    """The index that answers searches."""
    return next((index for index in indexes if not index.building), None)


class Indexes:
    """The indexes of one database.

    Args:
        database: the database.
        server: where they are.
        settings: what they are made with.
        analyzer: what words are cut with.
        embedding: the name of the vector space.
    """

    def __init__(
        self, database: Database, server: Server, settings: ElasticsearchIndex, analyzer: Analyzer, embedding: str
    ) -> None:
        self._database = database
        self._server = server
        self._settings = settings
        self._analyzer: Analyzer = analyzer
        self._embedding = embedding
        self.name = f"sessions-{database.read(outbox.identity)}"
        """The alias of the index that answers."""

    def target(self, generation: int) -> str:
        """The alias by which an index is written and searched."""
        return f"{self.name}-{generation}"

    def index(self, generation: int) -> str:
        """The name of an index."""
        return f"{self.name}-v{FORMAT}-{generation}"

    def new(self, there: Sequence[Index], *, building: bool) -> Index:
        """An index as it would be made now, to answer at once or (``building``) when it is filled."""
        generation = max([int(time.time()), *(index.generation + 1 for index in there)])  # a name that was never used
        now, given = answering(there), self._settings
        shards = given.shards or (1 if now is None else now.shards)
        rule = given.routing or (None if now is None else now.routing)
        return Index(
            generation,
            building=building,
            made=False,
            announced=0,
            announce_to=0,
            format=FORMAT,
            analyzer=self._analyzer,
            embedding=self._embedding,
            dimensions=None,
            shards=shards,
            routing=None if rule == "none" else rule,
        )

    def fits(self, index: Index) -> bool:
        """Whether an index was made with this analyzer and embedder, by this version of the package."""
        mine = (FORMAT, self._analyzer, self._embedding)
        return (index.format, index.analyzer, index.embedding) == mine

    def require(self, index: Index) -> None:
        """Check that an index can be used with this analyzer and embedder.

        Raises:
            EmbeddingChanged: naming both and the remedy.
        """
        if not self.fits(index):
            raise EmbeddingChanged(
                f"embedder: the index was made with {index.embedding!r:.80} and analyzer {index.analyzer!r} (format "
                f"{index.format}), the store was opened with {self._embedding!r:.80} and {self._analyzer!r} (format "
                f"{FORMAT}); open it with those, or call store.reindex()"
            )

    def make(self, seconds: float = MAKING) -> None:
        """Make what is to be there and is not yet, and put into the outbox what is to come into it.

        Args:
            seconds: that a request may take.

        Raises:
            IndexUnavailable: when the server cannot do it just now.
        """
        found = self._database.read(outbox.indexes)
        if not found:
            self._database.write(self._begin_first)
            found = self._database.read(outbox.indexes)
        for index in found:
            if not index.made and self.fits(index):
                self._make(index, seconds)
            if index.announced < index.announce_to:
                while self._database.write(partial(outbox.announce_some, generation=index.generation)):
                    pass

    def is_lost(self, index: Index) -> bool:
        """Whether an index that was made is not on the server.

        Raises:
            IndexUnavailable: when the server cannot tell just now.
        """
        if not index.made:
            return False
        with self._server.speaking():
            admin = self._server.client(self._settings.timeout).indices
            return not admin.exists_alias(name=self.target(index.generation))

    def remove(self, generation: int) -> None:
        """Delete an index from the server."""
        with self._server.speaking():
            self._server.client(self._settings.timeout).indices.delete(
                index=self.index(generation), ignore_unavailable=True
            )

    def point(self) -> None:
        """Let the alias for people follow the index that answers."""
        index = answering(self._database.read(outbox.indexes))
        if index is not None:
            actions: list[dict[str, Any]] = [
                {"remove": {"index": f"{self.name}-v*", "alias": self.name, "must_exist": False}},
                {"add": {"index": self.index(index.generation), "alias": self.name}},
            ]
            with self._server.speaking():
                self._server.client(self._settings.timeout).indices.update_aliases(actions=actions)

    def _begin_first(self, conn: Connection) -> None:
        if not outbox.indexes(conn, held=True):
            require_free(conn)
            outbox.begin(conn, self.new([], building=False))

    def _make(self, index: Index, seconds: float) -> None:
        from elasticsearch import BadRequestError

        with self._server.speaking():
            client = self._server.client(seconds)
            aliases: dict[str, Any] = {self.target(index.generation): {}} | ({} if index.building else {self.name: {}})
            body = definition(self._settings, index.shards, self._analyzer)
            try:
                client.indices.create(index=self.index(index.generation), aliases=aliases, **body)
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise
                client.cluster.health(
                    index=self.index(index.generation), wait_for_status="yellow"
                )  # another's, just now
        self._database.write(partial(outbox.change_index, generation=index.generation, made=True))
