"""Asking an embedder that may be far away, slow, or out for a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent_session_core import InvalidInput
from agent_session_core.embedding import EmbeddingService, service
from agent_session_core.embedding.service import may_pass
from agent_session_core.ports import Embedder

if TYPE_CHECKING:
    from agent_session_core.ports import Vectors


class Lengths:
    """An embedder whose vectors tell the length of a text; ``before`` is called with each request."""

    name = "lengths"

    def __init__(self, before: Callable[[Sequence[str]], None] = lambda texts: None) -> None:
        self.before = before
        self.requests: list[list[str]] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """The lengths."""
        self.requests.append(list(texts))
        self.before(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32).reshape(len(texts), 2)

    def embed_query(self, text: str) -> Vectors:
        """The length."""
        vector: Vectors = self.embed_documents([text])[0]
        return vector


class RefusedError(Exception):
    """An error with an HTTP status, as the clients of services raise it."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts of a few milliseconds."""
    monkeypatch.setattr(service, "FIRST_WAIT", 0.002)


def failing(*errors: Exception) -> Callable[[Sequence[str]], None]:
    """What raises these errors, one a request, and then lets all through."""
    left = list(errors)

    def fail(texts: Sequence[str]) -> None:
        if left:
            raise left.pop(0)

    return fail


def test_requests_are_small_and_the_order_is_kept() -> None:
    """No request has more texts, or (but for a single text) characters, than allowed; rows are in the texts' order."""
    embedder = Lengths()
    asked = EmbeddingService(embedder, batch=10)
    texts = [f"{'x' * (number % 7)} {number}" for number in range(95)] + ["y" * 150_000, "z" * 150_001, "w" * 300_000]
    vectors = asked.embed_documents(texts)
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert vectors.dtype == np.float32
    assert max(map(len, embedder.requests)) == 10
    assert all(len(request) == 1 or sum(map(len, request)) <= 200_000 for request in embedder.requests)
    assert isinstance(asked, Embedder)
    assert asked.name == "lengths"
    assert asked.embed_query("four")[0] == 4
    assert asked.embed_documents([]).shape == (0, 2)


def test_few_requests_at_once() -> None:
    """However many threads ask, no more requests are under way than allowed; several are."""
    lock = threading.Lock()
    under_way, most = 0, 0

    def count(texts: Sequence[str]) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.01)
        with lock:
            under_way -= 1

    asked = EmbeddingService(Lengths(count), batch=2, concurrency=3)
    threads = [
        threading.Thread(target=asked.embed_documents, args=([f"{thread} {number}" for number in range(12)],))
        for thread in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


@pytest.mark.parametrize("error", [ConnectionError("reset"), TimeoutError(), RefusedError(429), RefusedError(503)])
def test_what_may_pass_is_tried_again(error: Exception) -> None:
    """A connection that breaks, a time-out and a service that is busy cost a wait, not the answer."""
    embedder = Lengths(failing(error, error))
    assert EmbeddingService(embedder).embed_documents(["a"]).shape == (1, 2)
    assert len(embedder.requests) == 3
    embedder = Lengths(failing(error))
    assert EmbeddingService(embedder).embed_query("a").shape == (2,)


@pytest.mark.parametrize("error", [ValueError("too long"), TypeError(), RefusedError(400), RefusedError(401)])
def test_what_is_refused_is_not(error: Exception) -> None:
    """A request that was refused, or that is wrong, is not sent again, and its error comes as it was raised."""
    embedder = Lengths(failing(error))
    with pytest.raises(type(error)):
        EmbeddingService(embedder).embed_documents(["a"])
    assert len(embedder.requests) == 1


def test_somebody_waits_for_a_question() -> None:
    """After the last attempt the embedder's own error comes; a question has two, documents as many as told."""
    embedder = Lengths(failing(*[ConnectionError("down")] * 20))
    asked = EmbeddingService(embedder, attempts=5)
    with pytest.raises(ConnectionError, match="down"):
        asked.embed_query("a")
    assert len(embedder.requests) == 2
    with pytest.raises(ConnectionError, match="down"):
        asked.embed_documents(["a"])
    assert len(embedder.requests) == 2 + 5


def test_what_was_given_is_not_asked_for_again() -> None:
    """Where one request of several fails, the next call asks only for what is missing; equal texts are one."""

    def refuse(texts: Sequence[str]) -> None:
        if "7" in texts and refusing:
            raise ValueError("too odd")

    refusing = True
    embedder = Lengths(refuse)
    asked = EmbeddingService(embedder, batch=4, concurrency=1)
    texts = [str(number) for number in range(8)]
    with pytest.raises(ValueError, match="too odd"):
        asked.embed_documents(texts)
    refusing = False
    assert asked.embed_documents([*texts, *texts]).shape == (16, 2)
    assert embedder.requests == [texts[:4], texts[4:], texts[4:]]


def test_a_rate_is_kept() -> None:
    """Requests, questions among them, begin no faster than the rate."""
    asked = EmbeddingService(Lengths(), batch=1, per_minute=6_000)
    start = time.monotonic()
    asked.embed_documents([str(number) for number in range(10)])
    asked.embed_query("a")
    assert time.monotonic() - start >= 0.099


@pytest.mark.parametrize("options", [{"batch": 0}, {"concurrency": 0}, {"attempts": 0}, {"per_minute": 0}])
def test_numbers_out_of_range_are_named(options: dict[str, int]) -> None:
    """A number that cannot be used is refused by its name."""
    with pytest.raises(InvalidInput, match=next(iter(options))):
        EmbeddingService(Lengths(), **options)


def test_which_errors_may_pass() -> None:
    """A status decides where there is one, also on the answer that an error carries; interrupts never pass."""
    carrying = Exception("server")
    carrying.response = RefusedError(500)  # type: ignore[attr-defined]  # as the clients of services do
    assert may_pass(carrying)
    assert not may_pass(RefusedError(404))
    assert not may_pass(KeyboardInterrupt())
    assert not may_pass(InvalidInput("x"))
