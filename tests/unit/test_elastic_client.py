"""What is said where no client can be made, and what a server's errors mean."""

from __future__ import annotations

from typing import Any

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import BadRequestError, Elasticsearch

from agent_session_core import ElasticsearchIndex, IndexUnavailable, InvalidInput
from agent_session_core.search.elastic.client import Server

NODE = NodeConfig("http", "127.0.0.1", 9200)
OLDER = {
    "type": "media_type_header_exception",
    "reason": "Invalid media-type value on headers [Content-Type, Accept]",
    "caused_by": {"type": "status_exception", "reason": "Accept version must be either version 8 or 7, but found 9."},
}


@pytest.mark.parametrize(
    ("slip", "remedy"),
    [
        ({"shard": 2}, "write shards"),
        ({"time_out": 5}, "write timeout"),
        ({"basic_aut": ("ana", "hunter2")}, "write basic_auth"),
        ({"no_such_option": "hunter2"}, "leave it out"),
    ],
)
def test_an_option_that_nobody_knows(slip: dict[str, Any], remedy: str) -> None:
    """It is named, with the option that was meant, if one is close to it; what was given for it is not shown."""
    with pytest.raises(InvalidInput) as error:
        ElasticsearchIndex("http://127.0.0.1:9200", **slip)
    (name,) = slip
    knows = f"index: neither ElasticsearchIndex nor elasticsearch.Elasticsearch knows the option {name}; {remedy}"
    assert str(error.value) == knows


@pytest.mark.parametrize(
    ("slip", "remedy"),
    [
        ("127.0.0.1:9280", "give http://127.0.0.1:9280"),
        ("search.internal", "give http://search.internal"),
        ("[::1]:9200", "give http://[::1]:9200"),
        ("elastic:hunter2@127.0.0.1:9280", "give http://127.0.0.1:9280"),
        ("not an address", "give an address like https://host:9200"),
    ],
)
def test_an_address_that_is_none(slip: str, remedy: str) -> None:
    """One without its scheme is given back with it, and without its password."""
    with pytest.raises(InvalidInput) as error:
        ElasticsearchIndex(slip)
    assert remedy in str(error.value)
    assert "hunter2" not in str(error.value)


def _refusal(body: Any) -> BadRequestError:
    """The client's error for an answer 400."""
    return BadRequestError(str(body), ApiResponseMeta(400, "1.1", HttpHeaders(), 0.0, NODE), body)


@pytest.mark.parametrize("error", [OLDER, "media_type_header_exception"], ids=["a mapping", "a text"])
def test_a_server_that_is_older_than_the_client(error: Any) -> None:
    """That it does not understand the client is told, with the client that it does, whatever form its error has."""
    with Elasticsearch("http://127.0.0.1:9200") as client:
        server = Server(client, "here")
        for refused in ({"error": error, "status": 400}, error if isinstance(error, str) else {"error": error}):
            with (
                pytest.raises(IndexUnavailable, match=r"here: the server is older.*pip install 'elasticsearch<9'"),
                server.speaking(),
            ):
                raise _refusal(refused)
        with pytest.raises(IndexUnavailable, match="the server is older than the client"):
            server.check({"status": 400, "error": error})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (None, "here: it answered 400; see the server's log"),
        ("", "here: it answered 400; see the server's log"),
        ({}, "here: it answered 400; see the server's log"),
        ("no such page", "here: it answered 400 ('no such page'); see the server's log"),
        ({"error": "no handler"}, "here: it answered 400 ('no handler'); see the server's log"),
        ({"error": {"type": "bad", "reason": "so"}}, "here: it answered 400 (bad: so); see the server's log"),
    ],
)
def test_an_error_with_and_without_details(body: Any, told: str) -> None:
    """The details of an answer are told where it has some."""
    with (
        Elasticsearch("http://127.0.0.1:9200") as client,
        pytest.raises(IndexUnavailable) as error,
        Server(client, "here").speaking(),
    ):
        raise _refusal(body)
    assert str(error.value) == told
