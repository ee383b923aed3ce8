"""From the two lists that Elasticsearch gives to hits: fused and ranked here, as in the index inside the database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from agent_session_core.filters import matches
from agent_session_core.models import Explanation, Message, SearchHit
from agent_session_core.search import statements as sql
from agent_session_core.search.elastic.requests import is_rough
from agent_session_core.search.hits import file_of, highlights
from agent_session_core.search.ranking import Found, Ranking, Scored, by_message, by_session, score
from agent_session_core.search.scoring import K1, WordScores
from agent_session_core.search.searching import neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from agent_session_core.search.fusion import Mode
    from agent_session_core.search.query import Question, Speakers
    from agent_session_core.search.request import SearchRequest
    from agent_session_core.search.words import Words

__all__ = ["Answer", "Candidates", "Hit", "Listed", "explanation", "hits_of", "listed", "most_of", "ranked"]


class Listed(NamedTuple):
    """A document of a list, by its columns."""

    session: int
    seq: int
    chunk: int
    speaker: str
    created_at: int
    digest: int
    score: float


class Hit(NamedTuple):
    """A hit, and the place of its message among the candidates."""

    hit: SearchHit
    place: int


def listed(response: Mapping[str, Any]) -> list[Listed]:
    """The documents of a response, best first."""
    return [
        Listed(**{name: values[0] for name, values in hit["fields"].items()} | {"score": hit["_score"] or 0.0})
        for hit in response["hits"]["hits"]
    ]


def most_of(vectors: Mapping[str, Any]) -> float:
    """The most that words can earn, told by the term vectors of a document that would hold them.

    Each word earns at most its inverse document frequency, as Elasticsearch computes it over several fields, times the
    constant with which its BM25 begins.
    """
    fields = vectors["term_vectors"].values()
    count = max((field["field_statistics"]["doc_count"] for field in fields), default=0)
    times: dict[str, int] = {}
    holding: dict[str, int] = {}
    for field in fields:
        for word, told in field["terms"].items():
            times[word] = told["term_freq"]
            holding[word] = max(holding.get(word, 0), told.get("doc_freq", 0))
    return (K1 + 1) * sum(
        asked * math.log1p((count - holding[word] + 0.5) / (holding[word] + 0.5)) for word, asked in times.items()
    )


class Candidates:
    """The messages of both lists, each once, in the shape in which messages are ranked.

    Attributes:
        words: what the best chunk of each earned by words.
        near: how near each is to the question; 0 where it is not in that list.
        allowed: whether it passes the filters.
        chunks: the best chunk of each.
        sessions: the internal id of each session, by its number here.
    """

    def __init__(self, lists: Mapping[str, Sequence[Listed]], average: float, speakers: Speakers) -> None:
        """Put lists together: ``words`` and ``vector``, and (after filters) the same of the ``whole`` scope.

        Args:
            lists: the lists, each with its best first.
            average: how near an average message is to the question.
            speakers: everybody who speaks in the scope.
        """
        first: dict[tuple[int, int], Listed] = {}
        for name in ("words", "vector", "whole words", "whole vector"):
            for one in lists.get(name, ()):
                first.setdefault((one.session, one.seq), one)  # of a message's chunks the best, which comes first
        places = {key: place for place, key in enumerate(first)}
        every = list(first.values())
        self.words = np.zeros(len(every), dtype=np.float32)
        self.near = np.zeros(len(every), dtype=np.float32)
        self.allowed = np.zeros(len(every), dtype=np.bool_)
        meant = np.zeros(len(every), dtype=np.bool_)
        for name, found in lists.items():
            for one in found:
                place = places[one.session, one.seq]
                self.allowed[place] |= not name.startswith("whole")
                if name.endswith("words"):
                    self.words[place] = max(self.words[place], one.score)
                else:
                    self.near[place] = 2 * one.score - 1 - average
                    meant[place] = True
        numbers = {session: number for number, session in enumerate(dict.fromkeys(one.session for one in every))}
        self.sessions = tuple(numbers)
        self.keys = list(first)
        self.chunks = [one.chunk for one in every]
        numbers_of = [speakers.find(one.speaker) for one in every]
        self._columns: dict[str, NDArray[Any]] = {
            "id": np.array([one.session << 32 | one.seq for one in every], dtype=np.int64),
            "session": np.array([numbers[one.session] for one in every], dtype=np.int32),
            "speaker": np.array([-1 if number is None else number for number in numbers_of], dtype=np.int32),
            "created_at": np.array([one.created_at for one in every], dtype=np.int64),
            "digest": np.array([one.digest for one in every], dtype=np.int64),
            "meant": meant,
        }

    def __len__(self) -> int:
        return len(self.keys)

    def message(self, column: str) -> NDArray[Any]:
        """A column; see :meth:`agent_session_core.search.scope.Scope.message`."""
        return self._columns[column]


class Answer(NamedTuple):
    """What was found, and how it came by its scores.

    Attributes:
        candidates: the messages of the lists.
        scored: their scores.
        question: what was asked.
        most: the most that the question's words can earn.
        cut: whether more may meet a condition than could be looked at.
    """

    candidates: Candidates
    scored: Scored
    question: Question
    most: float
    cut: bool = False


def ranked(
    request: SearchRequest, mode: Mode, candidates: Candidates, question: Question, most: float, newest: int
) -> Answer:
    """The candidates with their scores."""
    words = WordScores(candidates.words, most, candidates.words)
    scored = score(candidates, mode, words, candidates.near, question.named, request.recency, newest)
    return Answer(candidates, scored, question, most)


def hits_of(conn: Connection, request: SearchRequest, answer: Answer, words: Words) -> list[Hit]:
    """The hits, read from the database: what is no longer there, or is another's, or does not pass, is no hit."""
    candidates, scored = answer.candidates, answer.scored
    allowed = candidates.allowed
    if is_rough(request):
        meeting = sql.matching(conn, request.tenant, request.user_id, request.condition, None)
        allowed = allowed & np.isin(candidates.message("id"), np.array(meeting, dtype=np.int64))
    ranking = Ranking.of(candidates, scored, allowed, request.min_score)
    grouped = request.group_by == "session"
    read: list[tuple[Found, sql.Title, Message]] = []
    statuses: dict[int, str] = {}
    for found in (by_session if grouped else by_message)(ranking, request.limit):
        if len(read) == request.limit:
            break
        session, seq = candidates.keys[found.place]
        at = sql.message_at(conn, request.tenant, request.user_id, session, seq)
        if at is not None and _passes(conn, request, session, at[1], statuses):
            read.append((found, *at))
    marked = highlights([message.text for _, _, message in read], answer.question, words)
    return [
        Hit(
            SearchHit(
                message=message,
                session_id=title.session_id,
                session_title=title.title,
                score=min(1.0, float(scored.shown[found.place])),
                file=file_of(message),
                highlights=pieces,
                neighbours=tuple(
                    neighbours(
                        conn,
                        request,
                        candidates.keys[found.place],
                        [candidates.keys[one][1] for one in found.further],
                        message,
                    )
                ),
                duplicates=found.duplicates,
            ),
            found.place,
        )
        for (found, title, message), pieces in zip(read, marked, strict=True)
    ]


def explanation(answer: Answer, place: int, text: str, earned: Mapping[int, float], words: Words) -> Explanation:
    """How a message with this text came by its score.

    Args:
        answer: what was found.
        place: the message's place among the candidates.
        text: its text.
        earned: what each word of the question earned in its best chunk, by the word's place.
        words: the tokenizer.
    """
    scored, question, candidates = answer.scored, answer.question, answer.candidates
    full, absolute = scored.full, scored.absolute
    said = set(words.stems([text])[0])
    by_word = {question.words[one]: value / (answer.most or 1.0) / full for one, value in sorted(earned.items())}
    stems = dict(zip(question.words, question.stems, strict=True))
    found = candidates.words[place] > 0
    return Explanation(
        score=float(scored.shown[place]),
        words=by_word if found else {},
        nearby=tuple(word for word in by_word if stems[word] not in said),
        meaning=float(absolute.meaning[place]) / full,
        name=float(absolute.named[place]) / full,
        session=float(absolute.session[place]) / full,
        recency=float(scored.recency[place]) / full,
        word_rank=_rank(candidates.words, place) if found else None,
        meaning_rank=_rank(candidates.near, place) if candidates.message("meant")[place] else None,
        order=float(scored.order[place]) / full,
    )


def _passes(conn: Connection, request: SearchRequest, session: int, message: Message, statuses: dict[int, str]) -> bool:
    """Whether a message meets what the index can tell only roughly, or late."""
    if request.condition is not None and not matches(request.condition, message.metadata):
        return False
    if not request.archived:
        if session not in statuses:
            statuses[session] = sql.status_of(conn, session)
        return statuses[session] != "archived"
    return True


def _rank(values: NDArray[np.float32], place: int) -> int:
    return int(np.count_nonzero(values > values[place])) + 1
