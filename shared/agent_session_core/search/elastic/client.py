"""Speaking with Elasticsearch: making a client, and what its errors mean. The only module that knows the driver."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent_session_core import _checks
from agent_session_core.errors import IndexUnavailable, InvalidInput

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

__all__ = ["LOST", "Server", "is_busy", "is_client", "make_client", "reason_of"]

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Answers after which the same request may be answered."""
LOST = (
    "the index is missing there, though it was made: the server may have come back empty; store.reindex() makes it "
    "anew from the database"
)
_OLDER = "media_type_header_exception"
"""The error of a server that does not know the version of the client."""
_BARE = re.compile(r"[\w.-]+(:\d+)?|\[[\da-f:]+\](:\d+)?", re.IGNORECASE)
"""A host, perhaps with a port, where an address is to be."""
_REASON = re.compile(r"\. Preview of field's value.*|: '.*", re.DOTALL)
"""What an error says of a document's own content."""


def is_client(target: object) -> bool:
    """Whether ``target`` is a client, told without importing the driver."""
    return any(
        cls.__module__.startswith("elasticsearch") and cls.__name__ == "Elasticsearch" for cls in type(target).__mro__
    )


def make_client(target: object, options: Mapping[str, Any]) -> tuple[Elasticsearch, str]:
    """A client, and the address by which messages name the server, without passwords.

    Raises:
        InvalidInput: when there is no client installed, or it cannot be made of this.
    """
    if find_spec("elasticsearch") is None:
        raise InvalidInput(
            "index: the Elasticsearch client is not installed; pip install 'agent-session-core[elasticsearch]'"
        )
    from elasticsearch import Elasticsearch

    if is_client(target):
        if options:
            raise InvalidInput(
                f"index: {', '.join(sorted(options))} cannot be given with a client; give them to the client"
            )
        client: Any = target
    elif target is None or isinstance(target, str):
        _check(target, options)
        try:
            client = Elasticsearch(target, **options)
        except (TypeError, ValueError) as error:
            named = ", ".join(sorted(options)) or "the address"
            raise InvalidInput(
                f"index: no Elasticsearch client can be made of {named} ({type(error).__name__}); give an address like "
                "https://host:9200 and options that elasticsearch.Elasticsearch takes"
            ) from None
    else:
        raise InvalidInput(
            f"index: expected an address or an elasticsearch.Elasticsearch, got {type(target).__name__}; a client that "
            "is async is not needed: the async form of every method runs in a thread"
        )
    return client, ", ".join(node.base_url for node in client.transport.node_pool.all())


def _check(target: str | None, options: Mapping[str, Any]) -> None:
    """Check what a client is to be made of for the slips that are frequent.

    Raises:
        InvalidInput: for an option that is not known, and an address without its scheme.
    """
    from elasticsearch import Elasticsearch

    from agent_session_core.search.elastic.settings import ElasticsearchIndex

    theirs = inspect.signature(Elasticsearch).parameters
    unknown = next((name for name in sorted(options) if name not in theirs), None)
    if unknown is not None:
        meant = get_close_matches(unknown, [*inspect.signature(ElasticsearchIndex).parameters, *theirs], n=1)
        raise InvalidInput(
            f"index: neither ElasticsearchIndex nor elasticsearch.Elasticsearch knows the option {unknown}"
            + (f"; write {meant[0]}" if meant else "; leave it out")
        )
    host = (target or "").rpartition("@")[2]  # without a password
    if target is not None and "://" not in target and _BARE.fullmatch(host):
        raise InvalidInput(f"index: the address {host} has no scheme; give http://{host}")


class Server:
    """The server, as one process speaks with it.

    Args:
        client: the client.
        name: how messages name the server.
        remake: makes a client for a forked process, which must not use its parent's connections; None where the client
            is a caller's.
    """

    def __init__(self, client: Elasticsearch, name: str, remake: Any = None) -> None:
        self.name = name
        self._client = client
        self._remake = remake
        self._process = os.getpid()

    def client(self, seconds: float) -> Elasticsearch:
        """The client, for requests that may take so long.

        Raises:
            IndexUnavailable: in a forked process, for a caller's client.
        """
        if self._process != os.getpid():
            if self._remake is None:
                raise IndexUnavailable(
                    f"{self.name}: the client was made by the process this one was forked from; open the store in this "
                    "one, or give the server's address in place of a client"
                )
            self._client, self._process = self._remake(), os.getpid()
        others = len(self._client.transport.node_pool) - 1  # a request is tried on another node at most
        return self._client.options(request_timeout=seconds, max_retries=min(others, 3), retry_on_timeout=False)

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Within this, the driver's errors come out as ours.

        Raises:
            IndexUnavailable: naming the cause and what to do.
        """
        from elasticsearch import ApiError, SerializationError, TransportError

        try:
            yield
        except (ApiError, TransportError, SerializationError) as error:
            raise IndexUnavailable(f"{self.name}: {_told(error)}") from error

    def check(self, response: Mapping[str, Any]) -> None:
        """Check one answer of several.

        Raises:
            IndexUnavailable: for an error, and for an answer from some shards alone.
        """
        if "error" in response:
            raise IndexUnavailable(f"{self.name}: {_meaning(response['status'], response['error'])}")
        failed = response["_shards"]["failed"]
        if failed or response["timed_out"]:
            what = f"{failed} of its shards failed" if failed else "it ran out of time"
            raise IndexUnavailable(f"{self.name}: {what}, so its answer is not whole; see the health of the cluster")

    def close(self) -> None:
        """Close the client, where it is ours."""
        if self._remake is not None and self._process == os.getpid():
            self._client.close()


def is_busy(error: BaseException) -> bool:
    """Whether the server is there, and may answer the same request later."""
    from elasticsearch import ApiError

    return isinstance(error, ApiError) and error.status_code in _PASSING


def reason_of(error: Any) -> str:
    """What an answer says of an error, without anything of a document's content."""
    if not isinstance(error, Mapping):
        return _checks.shown(error)
    cause = error.get("caused_by")
    why = f" ({reason_of(cause)})" if isinstance(cause, Mapping) else ""
    return f"{error.get('type', 'error')}: {_REASON.sub('', str(error.get('reason')))[:300]}{why}"


def _told(error: Exception) -> str:
    from elasticsearch import ApiError, ConnectionTimeout, SSLError

    if isinstance(error, ConnectionTimeout):
        return "it did not answer in time; try again, give it a longer timeout, or see how busy it is"
    if isinstance(error, SSLError):
        return "no secure connection (TLS) can be made; see ca_certs and verify_certs"
    if not isinstance(error, ApiError):
        return f"it cannot be reached ({type(error).__name__}); see that it runs and the address is right"
    details = error.body.get("error") if isinstance(error.body, Mapping) else error.body
    return _meaning(error.status_code, details)


def _meaning(status: int, details: object) -> str:
    """What an answer with an error means, and what to do; its details are a mapping, a text, or nothing."""
    if status == 429:
        return "it refuses more requests just now (429); try again later, or give it more to work with"
    if status in (401, 403):
        return f"it refuses these credentials ({status}); see api_key or basic_auth, and what they may do"
    if status == 404:
        return LOST
    if _OLDER in (details, details.get("type") if isinstance(details, Mapping) else None):
        return (
            f"the server is older than the client, elasticsearch {version('elasticsearch')}, and does not understand "
            "it; pip install 'elasticsearch<9' for a server of version 8"
        )
    why = f" ({reason_of(details)})" if details else ""
    return f"it answered {status}{why}; see the server's log"
