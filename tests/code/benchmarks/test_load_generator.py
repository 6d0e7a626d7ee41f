"""The load generator against real HTTP servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from unveil.benchmarks import load_generator

REQUEST = load_generator.request("/predict", "text/plain", b"face")


class Answering(BaseHTTPRequestHandler):
    """Answers each request, and closes connections that are idle for a fifth of a second."""

    protocol_version, timeout = "HTTP/1.1", 0.2

    def do_POST(self) -> None:
        """Answer with an empty body."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Be silent."""


class Closing(Answering):
    """Closes the connection in place of an answer."""

    def do_POST(self) -> None:
        """Answer nothing."""
        self.close_connection = True


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port; returns the server's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_idle_connection_may_be_closed_by_the_server() -> None:
    """At three requests per second each connection is idle for longer than the server waits."""
    with serving(Answering) as url:
        responses = load_generator.offer(url, REQUEST, rate=3, seconds=2)
    assert [one.status for one in responses] == [200] * 5


def test_a_rate_is_offered_with_few_connections() -> None:
    """All requests of the time are sent, and answered."""
    with serving(Answering) as url:
        responses = load_generator.offer(url, REQUEST, rate=50, seconds=1)
    assert 45 <= len(load_generator.answered(responses)) <= 50


@pytest.mark.parametrize("send", ["offer", "send_each"])
def test_a_connection_closed_without_an_answer_is_an_error(send: str) -> None:
    """A request that gets no answer is never left out of a measurement."""
    with serving(Closing) as url, pytest.raises(ConnectionError, match="without an answer"):
        if send == "offer":
            load_generator.offer(url, REQUEST, rate=5, seconds=1)
        else:
            load_generator.send_each(url, REQUEST, 1)
