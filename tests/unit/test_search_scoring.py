"""What messages earn, and how it becomes one score."""

from __future__ import annotations

import random
import sqlite3

import numpy as np
import pytest

from agent_session_core.content import from_microseconds
from agent_session_core.search.entries import Source, entries
from agent_session_core.search.fusion import fuse, largest
from agent_session_core.search.query import read_question
from agent_session_core.search.ranking import Ranking, by_message, score
from agent_session_core.search.rows import WEIGHTS, context, date_words
from agent_session_core.search.scope import Addition, Mark, Scope, empty_scope
from agent_session_core.search.scoring import nearness, word_scores
from agent_session_core.search.statements import IndexRow, key_of
from agent_session_core.search.vectors import pack, unit, unpack
from agent_session_core.search.words import Words

WORDS = Words("english")
VOCABULARY = ["run", "runs", "running", "dog", "dogs", "cat", "flight", "flights", "hotel", "rain", "train", "budget"]


def sources(texts: list[str]) -> list[tuple[Source, list[str]]]:
    """One message for each text, with the texts before it."""
    made = []
    for place, text in enumerate(texts):
        at = place * 86_400_000_000
        source = Source(place + 1, 1, 0, "user", None, None, at, 0, text)
        made.append((source, texts[max(0, place - 2) : place][::-1]))
    return made


def scope_of(texts: list[str], vectors: np.ndarray | None = None, session: int = 7) -> Scope:
    """A scope of one session with these messages."""
    dimensions = 0 if vectors is None else vectors.shape[1]
    blobs = [None] * len(texts) if vectors is None else pack(vectors)
    rows = [
        IndexRow(key_of(session, place + 1), blob, *entry)
        for place, (entry, blob) in enumerate(zip(entries(sources(texts), WORDS), blobs, strict=True))
    ]
    return empty_scope(WORDS, dimensions).extended([Addition(session, Mark(len(texts), 1), rows)])


def test_bm25_equals_fts5() -> None:
    """Scores are those of FTS5's bm25() with column weights over rows of body, prev, prev2 and date."""
    random.seed(5)
    texts = [" ".join(random.choices(VOCABULARY, k=random.randint(1, 12))) for _ in range(150)]
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(body, prev, prev2, date, tokenize='porter unicode61')")
    for source, before in sources(texts):
        date = date_words(from_microseconds(source.created_at))
        db.execute("INSERT INTO t VALUES (?, ?, ?, ?)", (source.text, *context(source.text, before), date))
    scope = scope_of(texts)
    for asked in ("running dogs", "hotel lisbon rain budget", "ticket January Monday", "run running train"):
        question = read_question(asked, scope.speakers, WORDS)
        match = " OR ".join(question.words)
        weights = ", ".join(str(weight) for weight in WEIGHTS.values())
        expected = np.zeros(len(texts))
        for place, value in db.execute(f"SELECT rowid, -bm25(t, {weights}) FROM t WHERE t MATCH ?", (match,)):  # noqa: S608
            expected[place - 1] = value
        assert np.allclose(word_scores(scope, question.stems).messages, expected, rtol=1e-5)
    db.close()


def test_a_long_message_is_scored_by_its_best_chunk() -> None:
    """A word at the end of a long message is found there, and a message has one score."""
    texts = ["hotel " * 400 + "submarine", "dog cat", "submarine " + "rain " * 20]
    scope = scope_of(texts)
    assert len(scope) == 3
    assert len(scope.row("length")) == 6
    found = word_scores(scope, WORDS.stem(["submarine"]))
    assert found.messages[0] > 0
    assert found.messages[1] == 0
    assert found.messages.shape == (3,)


def test_words_that_nobody_said_lower_what_could_be_earned() -> None:
    """The most that a question can earn counts words without a match too."""
    scope = scope_of(["dog", "cat", "rain"])
    with_match = word_scores(scope, WORDS.stem(["dog"])).most
    assert word_scores(scope, WORDS.stem(["dog", "zebra"])).most > 2 * with_match * 0.9


def test_vectors_survive_packing() -> None:
    """Packed vectors come back within half a hundredth, zero vectors as none."""
    vectors = unit(np.random.default_rng(1).normal(size=(20, 64)).astype(np.float32))
    blobs = pack(vectors)
    assert all(blob is not None and len(blob) == 68 for blob in blobs)
    assert np.abs(unpack([blob for blob in blobs if blob], 64) - vectors).max() < 0.005
    assert pack(np.zeros((1, 4), dtype=np.float32)) == [None]


def test_nearness_is_about_the_average_message() -> None:
    """A message that is the mean direction itself counts 0; only the question is centred."""
    random_vectors = np.random.default_rng(2).normal(size=(50, 32)).astype(np.float32)
    vectors = unit(random_vectors + 2)  # all of them lean one way
    scope = scope_of([f"word{number}" for number in range(50)], vectors)
    question = vectors[3]
    near = nearness(scope, question)
    assert near.argmax() == 3
    assert abs(float(near.mean())) < 1e-3
    mean = vectors.mean(axis=0)
    direction = unit(question - mean)
    assert np.allclose(near, vectors @ direction - mean @ direction, atol=0.02)


def test_fusion_by_hand() -> None:
    """The best words are worth 1, meaning 2, a named speaker .5, and .3 of the session's best comes on top."""
    words = np.array([1.0, 0.5, 0.0], dtype=np.float32)
    near = np.array([0.1, 0.4, -0.2], dtype=np.float32)
    fused = fuse(words, near, np.array([False, True, False]), np.array([0, 0, 1]))
    own = np.array([1.2, 1.8, 0.0])
    assert np.allclose(fused.total, own + 0.3 * np.array([1.8, 1.8, 0.0]))
    parts = fused.words + fused.meaning + fused.named + fused.session
    assert np.allclose(parts, fused.total)


def test_the_largest_score_is_one() -> None:
    """A message that has everything reaches the largest total of its mode, and no more."""
    one = np.ones(1, dtype=np.float32)
    fused = fuse(one, one, np.array([True]), np.array([0]))
    assert fused.total[0] == pytest.approx(largest("hybrid"))
    assert largest("keyword") < largest("semantic") < largest("hybrid")


def test_equal_scores_go_to_the_newer() -> None:
    """Between messages that earned the same the newer one stands first, and what is said twice stands once."""
    scope = scope_of(["alpha", "dog", "beta", "gamma", "cat"])
    words = word_scores(scope, ())
    near = np.zeros(5, dtype=np.float32)
    scored = score(scope, "keyword", words, near, frozenset(), 0.0)
    ranking = Ranking(scope, np.arange(5), scored.order, near)
    assert [found.place for found in by_message(ranking, 10)] == [4, 3, 2, 1, 0]
    twice = scope_of(["Dog!", "cat", "dog", "DOG."])
    ranking = Ranking(twice, np.arange(4), np.array([4, 3, 2, 1], dtype=np.float32), near[:4])
    assert [(found.place, found.duplicates) for found in by_message(ranking, 10)] == [(0, 2), (1, 0)]
