"""A small HTTP proxy that does to requests what a server in trouble does."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Trouble = Callable[[str, bytes], "tuple[int, bytes] | None"]
"""What becomes of a request (path, body): an answer in place of the server's, or None for the server's own."""


class Proxy:
    """A proxy before one server.

    Attributes:
        trouble: what is done to requests; None for nothing.
        change: what is done to answers (path, body); None for nothing.
        asked: the paths of the requests that came.
    """

    def __init__(self, address: str) -> None:
        self.trouble: Trouble | None = None
        self.change: Callable[[str, bytes], bytes] | None = None
        self.asked: list[str] = []
        proxy, server = self, urlsplit(address)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                proxy.asked.append(self.path)
                trouble = None if proxy.trouble is None else proxy.trouble(self.path, body)
                if trouble is not None:
                    status, told = trouble
                    headers: dict[str, Any] = {"content-type": "application/json", "x-elastic-product": "Elasticsearch"}
                else:
                    connection = http.client.HTTPConnection(server.hostname or "", server.port, timeout=60)
                    connection.request(self.command, self.path, body, dict(self.headers.items()))
                    response = connection.getresponse()
                    status, told, headers = response.status, response.read(), dict(response.getheaders())
                    connection.close()
                    if proxy.change is not None:
                        told = proxy.change(self.path, told)
                self.send_response(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "transfer-encoding", "content-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(told)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815  # as the server calls them

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Serve until the block ends."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def refusing(path: str, body: bytes) -> tuple[int, bytes]:
    """Too many requests."""
    return 429, b'{"error": {"type": "es_rejected_execution_exception", "reason": "full"}, "status": 429}'


def slow(seconds: float) -> Trouble:
    """An answer that comes too late."""

    def late(path: str, body: bytes) -> None:
        time.sleep(seconds)

    return late


def resetting(path: str, body: bytes) -> tuple[int, bytes]:
    """A connection that ends in the middle."""
    raise ConnectionResetError


def partly_failing(path: str, body: bytes) -> bytes:
    """An answer from some of the shards alone."""
    if "_msearch" not in path:
        return body
    told = json.loads(body)
    for response in told["responses"]:
        response["_shards"] |= {
            "failed": 1,
            "failures": [{"shard": 0, "reason": {"type": "circuit_breaking_exception"}}],
        }
    return json.dumps(told).encode()


def closed_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"
