"""Bulk requests: bounded in size, tried again where that may help, each document's fate told by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from agent_session_core.errors import IndexUnavailable
from agent_session_core.search.elastic.client import LOST, is_busy, reason_of

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

__all__ = ["Operation", "deletion", "send", "writing"]

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one request, unless a single document is larger."""
MOST_OPERATIONS = 1_000
"""Documents of one request."""
LOOK_AGAIN = 0.1
"""Seconds between two looks at whether to stop."""
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0
"""Seconds before a request is tried again; doubled each time, and drawn by chance from nothing to that."""

_DONE = frozenset({200, 201, 409})
_PASSING = frozenset({429, 500, 502, 503, 504})
_REFUSED = frozenset({400, 413})


class Operation(NamedTuple):
    """One document to be written or deleted.

    Attributes:
        action: the line that says what is done with which document.
        body: the document; None where it is deleted.
    """

    action: bytes
    body: bytes | None


def writing(id: str, version: int, routing: str | None, body: bytes) -> Operation:
    """A document of a version: where there is one of the same version or a newer one, that one stays."""
    told: dict[str, Any] = {"_id": id, "version": version, "version_type": "external"}
    return Operation(orjson.dumps({"index": told | _routed(routing)}), body)


def deletion(id: str, routing: str | None, seq_no: int, primary_term: int) -> Operation:
    """The deletion of a document, unless it was written meanwhile; a document that is gone already is fine."""
    told = {"_id": id, "if_seq_no": seq_no, "if_primary_term": primary_term}
    return Operation(orjson.dumps({"delete": told | _routed(routing)}), None)


def send(
    client: Elasticsearch,
    target: str,
    operations: Iterable[Operation],
    *,
    patience: float,
    before_each: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[int, str]:
    """Write and delete documents through an alias; why some were refused for good, by their places.

    A document that lost to a newer version is as good as written.

    Args:
        client: with its time for one request.
        target: an alias; where there is none, nothing is written (and no index made by itself).
        operations: what to do.
        patience: seconds for which what the server refuses for now is tried again; one that cannot be reached is not.
        before_each: called before each request; what it raises ends the sending.
        stop: asked before what was refused is tried again; True ends the sending.

    Raises:
        ApiError, TransportError: the driver's own, when the server cannot do it just now, or the alias is missing.
        IndexUnavailable: when documents are refused for reasons that may pass, or that are not their own.
    """
    refused: dict[int, str] = {}
    for batch in _batches(operations):
        refused |= _send(client, target, batch, time.monotonic() + patience, before_each, stop)
    return refused


def _send(
    client: Elasticsearch,
    target: str,
    batch: list[tuple[int, Operation]],
    deadline: float,
    before_each: Callable[[], None],
    stop: Callable[[], bool],
) -> dict[int, str]:
    from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

    def is_over(state: RetryCallState) -> bool:
        return stop() or time.monotonic() + (state.upcoming_sleep or 0) > deadline

    def rest(seconds: float) -> None:
        until = time.monotonic() + seconds
        while not stop() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_AGAIN))

    refused: dict[int, str] = {}
    waiting = batch
    patiently = Retrying(
        stop=is_over,
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        sleep=rest,
        retry=retry_if_exception(lambda error: isinstance(error, _Busy) or is_busy(error)),
        reraise=True,
    )
    for attempt in patiently:
        with attempt:
            before_each()
            waiting = _once(client, target, waiting, refused)
            if waiting:
                raise _Busy("Elasticsearch refuses documents just now (429); they are tried again later")
    return refused


class _Busy(IndexUnavailable):
    """Some documents were refused for a reason that may pass."""


def _once(
    client: Elasticsearch, target: str, batch: list[tuple[int, Operation]], refused: dict[int, str]
) -> list[tuple[int, Operation]]:
    """Send one request; those operations that are to be tried again."""
    from elasticsearch import ApiError

    lines: list[Any] = [line for _, operation in batch for line in operation if line is not None]
    try:
        answer = client.bulk(index=target, operations=lines, require_alias=True)
    except ApiError as error:
        if error.status_code != 413:
            raise
        if len(batch) == 1:
            refused[batch[0][0]] = "413: the document is larger than the server takes (http.max_content_length)"
            return []
        middle = len(batch) // 2
        return [*_once(client, target, batch[:middle], refused), *_once(client, target, batch[middle:], refused)]
    if not answer["errors"]:
        return []
    again = []
    for (place, operation), item in zip(batch, answer["items"], strict=True):
        ((action, outcome),) = item.items()
        status, why = outcome["status"], outcome.get("error")
        if status in _DONE or (status == 404 and action == "delete" and why is None):
            continue
        if status in _PASSING:
            again.append((place, operation))
        elif status == 404:
            raise IndexUnavailable(LOST)
        elif _is_its_own(status, why):
            refused[place] = f"{status} {reason_of(why)}"
        else:
            raise IndexUnavailable(f"Elasticsearch refuses to write ({status} {reason_of(why)}); see the index there")
    return again


def _is_its_own(status: int, why: Any) -> bool:
    """Whether a document was refused for what it is: not for a block on the index, a closed one, or missing rights."""
    return status in _REFUSED and not (isinstance(why, Mapping) and why.get("type") == "index_closed_exception")


def _batches(operations: Iterable[Operation]) -> Iterator[list[tuple[int, Operation]]]:
    batch: list[tuple[int, Operation]] = []
    size = 0
    for place, operation in enumerate(operations):
        added = sum(len(line) for line in operation if line is not None)
        if batch and (size + added > MOST_BYTES or len(batch) == MOST_OPERATIONS):
            yield batch
            batch, size = [], 0
        batch.append((place, operation))
        size += added
    if batch:
        yield batch


def _routed(routing: str | None) -> dict[str, str]:
    return {} if routing is None else {"routing": routing}
