"""Asking an embedder that may be far away, slow, or out for a moment."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

from agent_session_core._checks import shown, whole
from agent_session_core.errors import InvalidInput, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent_session_core.ports import Embedder, Vectors

__all__ = ["EmbeddingService", "digest", "may_pass"]

MOST_CHARACTERS = 200_000
"""Characters of one request, unless a single text is longer."""
MOST_REMEMBERED = 1_000
"""Vectors kept until they stand in the database: what one part of a request gave while another failed."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0
"""Seconds before an embedder is asked again; doubled each time, and drawn by chance from nothing to that."""
PASSING = frozenset({408, 409, 425, 429})
"""HTTP answers below 500 after which the same request may be answered."""


class EmbeddingService:
    """An embedder as a store asks it: in small requests, a few at a time, again where an error may pass.

    A store puts this before every embedder but its own default; make one yourself to choose the numbers::

        SessionStore.open(embedder=EmbeddingService(LangChainEmbedder(...), batch=16, per_minute=500))

    Args:
        embedder: the one that is asked. Its methods are called from several threads.
        batch: texts of one request.
        concurrency: requests for documents under way at once; questions do not wait for them.
        attempts: how often a request for documents is tried in all, further and further apart; a question, for which
            somebody waits, at most twice.
        per_minute: requests begun in a minute, evenly spread; None for no limit.

    Raises:
        InvalidInput: when a number is out of range.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch: int = 64,
        concurrency: int = 4,
        attempts: int = 3,
        per_minute: float | None = None,
    ) -> None:
        self._embedder = embedder
        self._batch = whole(batch, "batch", most=10_000)
        self._concurrency = whole(concurrency, "concurrency", most=256)
        self._attempts = whole(attempts, "attempts", most=100)
        if per_minute is not None and not per_minute > 0:
            raise InvalidInput(f"per_minute: {shown(per_minute)} is no rate; give a positive number, or None")
        self._pace = _Pace(0.0 if per_minute is None else 60 / per_minute)
        self._under_way = threading.BoundedSemaphore(self._concurrency)
        self._remembered: OrderedDict[bytes, Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"EmbeddingService({self.name!r})"

    @property
    def name(self) -> str:
        """The identity of the embedder's vector space."""
        return self._embedder.name

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """One row for each text: float32, shape (len(texts), dimensions). Equal texts are embedded once.

        Raises:
            Exception: what the embedder raised last. What it gave until then is remembered for the next call.
        """
        import numpy as np

        keys = [digest(text) for text in texts]
        with self._lock:
            known = {key: self._remembered[key] for key in keys if key in self._remembered}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        requests = list(self._requests(list(missing.items())))
        if not requests and not known:
            return np.asarray(self._embedder.embed_documents([]), dtype=np.float32)
        with ThreadPoolExecutor(max_workers=max(1, min(self._concurrency, len(requests)))) as pool:
            futures = [pool.submit(self._documents, request) for request in requests]
            try:
                for future in futures:
                    known.update(future.result())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        return np.stack([known[key] for key in keys])

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question: float32, shape (dimensions,).

        Raises:
            Exception: what the embedder raised last.
        """
        return self._patiently(min(2, self._attempts), lambda: self._embedder.embed_query(text))

    def _requests(self, items: list[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
        request: list[tuple[bytes, str]] = []
        characters = 0
        for key, text in items:
            if request and (len(request) == self._batch or characters + len(text) > MOST_CHARACTERS):
                yield request
                request, characters = [], 0
            request.append((key, text))
            characters += len(text)
        if request:
            yield request

    def _documents(self, request: list[tuple[bytes, str]]) -> dict[bytes, Vectors]:
        import numpy as np

        texts = [text for _, text in request]
        with self._under_way:
            given = self._patiently(self._attempts, lambda: self._embedder.embed_documents(texts))
        vectors = np.asarray(given, dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(f"gave an array of shape {vectors.shape} for {len(texts)} texts")
        made = {key: vector for (key, _), vector in zip(request, vectors, strict=True)}
        with self._lock:
            self._remembered.update(made)
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return made

    def _patiently(self, attempts: int, ask: Callable[[], Vectors]) -> Vectors:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        for attempt in Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
            retry=retry_if_exception(may_pass),
            reraise=True,
        ):
            with attempt:
                self._pace.wait()
                return ask()
        raise AssertionError  # Retrying gives an answer or raises


class _Pace:
    """Lets one through in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Come back when it is one's turn."""
        if self._seconds:
            with self._lock:
                now = time.monotonic()
                turn = max(now, self._next)
                self._next = turn + self._seconds
            time.sleep(turn - now)


def digest(text: str) -> bytes:
    """What a text is known by: its SHA-256."""
    return sha256(text.encode("utf-8", "replace")).digest()


def may_pass(error: BaseException) -> bool:
    """Whether the same request may be answered later: not where it was refused, or where the program is wrong."""
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int):
        return status >= 500 or status in PASSING
    wrong = (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        TypeError,
        ValueError,
        SessionError,
    )
    return isinstance(error, Exception) and not isinstance(error, wrong)
