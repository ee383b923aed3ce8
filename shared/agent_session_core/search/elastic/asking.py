"""Asking the server: one multi-search for a question, and what its words could have earned at most."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from agent_session_core.errors import IndexUnavailable
from agent_session_core.search.elastic import requests
from agent_session_core.search.elastic.answer import (
    Answer,
    Candidates,
    Hit,
    Listed,
    explanation,
    listed,
    most_of,
    ranked,
)
from agent_session_core.search.elastic.documents import id_of
from agent_session_core.search.elastic.routing import routing_of
from agent_session_core.search.rows import WEIGHTS
from agent_session_core.search.vectors import unit

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from agent_session_core.ports import Vectors
    from agent_session_core.search.elastic.client import Server
    from agent_session_core.search.elastic.outbox import Index
    from agent_session_core.search.elastic.profiles import Profile
    from agent_session_core.search.elastic.requests import Where
    from agent_session_core.search.elastic.settings import ElasticsearchIndex
    from agent_session_core.search.fusion import Mode
    from agent_session_core.search.query import Question
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.words import Words

__all__ = ["Asked", "Asking"]

STARTING = (0.05, 0.2, 0.4, 0)
"""Seconds between the tries where shards are out (503), as they are for a moment when they start."""


class Asked(NamedTuple):
    """What is asked.

    Attributes:
        request: the search.
        target: the alias of the index.
        current: the index.
        profile: the scope of the search.
        where: its sessions.
        question: its question.
        mode: by what is searched.
        vector: the unit vector of the question, where by meaning.
    """

    request: SearchRequest
    target: str
    current: Index
    profile: Profile
    where: Where
    question: Question
    mode: Mode
    vector: Vectors | None

    @property
    def routing(self) -> str | None:
        """Where the documents of its scope are kept; None where they may be anywhere."""
        return routing_of(self.current.routing, self.request.tenant, self.request.user_id)


class Asking:
    """One search's dealings with the server, all of them within its time.

    Args:
        server: the server.
        settings: how long it may take.
    """

    def __init__(self, server: Server, settings: ElasticsearchIndex) -> None:
        self._server = server
        self._settings = settings
        self._deadline = time.monotonic() + settings.timeout

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._deadline - time.monotonic()

    def client(self) -> Elasticsearch:
        """The client, for a request that must be answered in the time that is left.

        Raises:
            IndexUnavailable: when none is left.
        """
        if self.left <= 0:
            raise IndexUnavailable(
                f"{self._server.name}: it did not answer within {self._settings.timeout:g} s; try again, or give it a "
                "longer timeout"
            )
        return self._server.client(self.left)

    def ask(self, asked: Asked) -> Answer:
        """Ask the server, and rank what it gives.

        A search with filters asks for the best of the whole scope too: filters choose among what is ranked there.

        Raises:
            IndexUnavailable: when the server cannot answer, in time or in full.
        """
        request, question, profile = asked.request, asked.question, asked.profile
        size = requests.size_of(request)
        restrictions = {"": requests.restriction(request, asked.where)}
        if requests.is_filtered(request):
            restrictions["whole "] = requests.restriction(requests.unfiltered(request), requests.EVERYWHERE)
        bodies: dict[str, dict[str, Any]] = {}
        average = 0.0
        for which, restriction in restrictions.items():
            if asked.mode != "semantic" and question.words:
                bodies[which + "words"] = requests.by_words(question.words, restriction, size)
            if asked.vector is not None and profile.mean is not None:
                direction = unit(asked.vector - profile.mean)
                average = float(profile.mean @ direction)
                if direction.any():
                    bodies[which + "vector"] = requests.by_vector(direction, restriction, size)
            if request.recency:
                bodies["newest"] = requests.newest(restriction)  # at last that of the whole scope
        found = self._listed(asked, bodies)
        most = self._most(asked) if any("words" in name for name in bodies) else 0.0
        newest = max((one.created_at for one in found.pop("newest", ())), default=0)
        candidates = Candidates(found, average, profile.speakers)
        cut = requests.is_rough(request) and any(len(one) >= size for one in found.values())
        return ranked(request, asked.mode, candidates, question, most, newest)._replace(cut=cut)

    def explained(self, target: str, answer: Answer, hits: list[Hit], words: Words) -> list[Hit]:
        """The hits with their explanations.

        Raises:
            IndexUnavailable: when the server cannot answer in time.
        """
        candidates, question = answer.candidates, answer.question
        ids = [id_of(*candidates.keys[place], candidates.chunks[place]) for _, place in hits]
        earned: dict[str, dict[int, float]] = {}
        if ids and question.words:
            with self._server.speaking():
                sought = requests.parts_of_words(question.words, ids)
                response = self.client().search(index=target, include_named_queries_score=True, **sought)
            for found in response["hits"]["hits"]:
                earned[found["_id"]] = {int(name): part for name, part in found.get("matched_queries", {}).items()}
        explained = []
        for (hit, place), document in zip(hits, ids, strict=True):
            reason = explanation(answer, place, hit.message.text, earned.get(document, {}), words)
            explained.append(Hit(replace(hit, explanation=reason), place))
        return explained

    def _listed(self, asked: Asked, bodies: dict[str, dict[str, Any]]) -> dict[str, list[Listed]]:
        if not bodies:
            return {}
        header: dict[str, Any] = {"index": asked.target, "allow_partial_search_results": False}
        routing = asked.routing
        if routing is not None:
            header["routing"] = routing
        elif asked.current.shards > 1:
            header["search_type"] = "dfs_query_then_fetch"  # else each shard scores by its own counts of words
        searches = [part for body in bodies.values() for part in (header, body)]
        for pause in STARTING:
            with self._server.speaking():
                responses = self.client().msearch(searches=searches)["responses"]
            if all(response["status"] != 503 for response in responses):
                break
            time.sleep(min(pause, max(self.left, 0)))
        found = {}
        for name, response in zip(bodies, responses, strict=True):
            self._server.check(response)
            found[name] = listed(response)
        return found

    def _most(self, asked: Asked) -> float:
        """The most that the question's words can earn."""
        fields = list(WEIGHTS)
        with self._server.speaking():
            answer = self.client().termvectors(
                index=asked.target,
                doc=dict.fromkeys(fields, " ".join(asked.question.words)),
                fields=fields,
                routing=asked.routing,
                term_statistics=True,
                field_statistics=True,
                positions=False,
                offsets=False,
                payloads=False,
            )
        return most_of(answer.body)
