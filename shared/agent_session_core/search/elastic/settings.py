"""What a caller says of the index on Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from agent_session_core import _checks
from agent_session_core.errors import InvalidInput

__all__ = ["ElasticsearchIndex", "elasticsearch_index"]


class ElasticsearchIndex:
    """The search index on Elasticsearch 8.18 or newer, or 9: for ``SessionStore.open(index=...)``.

    Each database has an index of its own there, named by the database's identity; its tenants share it, and each
    search names its tenant. The index follows the database: what is written is found about a second later.

    Args:
        target: the server's address, or a client (``elasticsearch.Elasticsearch``), which stays the caller's. Without
            one, the client is made of the options alone (``cloud_id=...``).
        shards: of an index that is made from now on; ``reindex()`` brings another number about. None for as many as
            there are: one, in a first index.
        replicas: copies of each shard; None for one where there is a second node.
        routing: which messages are kept on one shard: a ``"user"``'s or a ``"tenant"``'s, so that their searches ask
            that one alone; ``"none"`` for no rule. Fixed with the number of shards; None for the rule there is: none,
            in a first index.
        refresh: seconds after which what came in can be found.
        timeout: seconds that a search may take.
        lease: seconds after which others take over the work of a worker that stopped; more than three minutes.
        follow: whether this process brings changes to the index by itself, in a thread; otherwise workers do
            (``session-core index --follow``).
        index_settings: further settings of an index that is made.
        options: the client's own: ``api_key``, ``basic_auth``, ``ca_certs``, ``cloud_id``, …

    Raises:
        InvalidInput: when an argument cannot be used, or the client is not installed.
    """

    def __init__(
        self,
        target: Any = None,
        *,
        shards: int | None = None,
        replicas: int | None = None,
        routing: Literal["tenant", "user", "none"] | None = None,
        refresh: float = 1.0,
        timeout: float = 10.0,
        lease: float = 300.0,
        follow: bool = True,
        index_settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.target = target
        self.shards = None if shards is None else _checks.whole(shards, "shards", most=1_024)
        self.replicas = None if replicas is None else _checks.whole(replicas, "replicas", least=0, most=100)
        if routing is not None:
            _checks.one_of(routing, "routing", ("tenant", "user", "none"))
        self.routing = routing
        self.refresh = _seconds(refresh, "refresh", least=0.05, most=3_600)
        self.timeout = _seconds(timeout, "timeout", least=0.05, most=600)
        self.lease = _seconds(lease, "lease", least=1, most=86_400)
        self.follow = _checks.flag(follow, "follow")
        self.index_settings = dict(index_settings or {})
        self.options = options
        from agent_session_core.search.elastic.client import is_client, make_client

        client, self.name = make_client(target, options)  # now, so that what is wrong is told now
        self.is_theirs = is_client(target)
        if not self.is_theirs:
            client.close()

    def connect(self) -> Any:
        """A client: the caller's own, or a new one, so that each store closes its own."""
        from agent_session_core.search.elastic.client import make_client

        return make_client(self.target, self.options)[0]

    def __repr__(self) -> str:
        return f"ElasticsearchIndex({self.name!r})"


def elasticsearch_index(index: object) -> ElasticsearchIndex:
    """What a caller gave for an index that is neither None nor "off".

    Raises:
        InvalidInput: when it is none.
    """
    if isinstance(index, ElasticsearchIndex):
        return index
    if isinstance(index, str) and not index.startswith(("http://", "https://")):
        raise InvalidInput(
            f"index: {_checks.shown(index)} is not known; use None for the index inside the database, 'off' for none, "
            "or the address of an Elasticsearch server, http://host:9200"
        )
    return ElasticsearchIndex(index)


def _seconds(value: object, argument: str, *, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidInput(f"{argument}: {_checks.shown(value)} is out of range; give {least:g} to {most:,g} seconds")
    return float(value)
