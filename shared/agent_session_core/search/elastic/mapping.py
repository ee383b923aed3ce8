"""What an index is: its fields, how words are cut, how many shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_session_core.search.elastic.metadata import FIELD
from agent_session_core.search.rows import WEIGHTS

if TYPE_CHECKING:
    from agent_session_core.search.elastic.settings import ElasticsearchIndex
    from agent_session_core.search.words import Analyzer

__all__ = ["FORMAT", "VECTOR", "definition"]

FORMAT = 1
"""What the documents mean; another number means an index that must be made anew."""
VECTOR = "vector"

_KEYWORD = {"type": "keyword", "ignore_above": 8_000}
_LONG = {"type": "long"}


def definition(settings: ElasticsearchIndex, shards: int, analyzer: Analyzer) -> dict[str, Any]:
    """The body of the request that makes an index: settings and a strict mapping.

    A message is one document for each chunk of its text; the first one has the message's vector. A tombstone has
    nothing but ``gone_at`` (and ``gone_session``), so that no search, each of which names a tenant, ever meets it.
    """
    words = {
        "type": "text",
        "analyzer": "english" if analyzer == "english" else "standard",
        "index_options": "freqs",
    }
    index: dict[str, Any] = {
        "number_of_shards": shards,
        "refresh_interval": f"{round(settings.refresh * 1_000)}ms",
        "merge.policy.expunge_deletes_allowed": 0,  # a merge that is asked for leaves nothing of what was deleted
    }
    if settings.replicas is None:
        index["auto_expand_replicas"] = "0-1"
    else:
        index["number_of_replicas"] = settings.replicas
    return {
        "settings": {"index": index | dict(settings.index_settings)},
        "mappings": {
            "dynamic": "strict",
            "_source": {"excludes": [VECTOR, FIELD, *WEIGHTS]},  # what was said is read from the database alone
            "_meta": {"made_by": "agent-session-core", "format": FORMAT},
            "properties": {
                "tenant": _KEYWORD,
                "user": _KEYWORD,
                "session": _LONG,
                "seq": _LONG,
                "chunk": {"type": "integer"},
                "role": _KEYWORD,
                "author": _KEYWORD,
                "speaker": _KEYWORD,
                "created_at": _LONG,  # microseconds, as in the database
                "length": _LONG,
                "archived": {"type": "boolean"},
                FIELD: {"type": "keyword", "doc_values": False},
                "digest": _LONG,
                "checksum": _LONG,
                "embedded": {"type": "boolean"},
                **dict.fromkeys(WEIGHTS, words),
                VECTOR: {
                    "type": "dense_vector",
                    "similarity": "dot_product",
                    "index_options": {"type": "int8_hnsw"},
                },
                "gone_at": _LONG,
                "gone_session": _LONG,
            },
        },
    }
