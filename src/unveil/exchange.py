"""One question to an HTTP server and its answer, whose time and bytes have a limit.

Python's own timeouts count from the last byte that came: a server that sends one now and then would
hold its caller for ever. Needs nothing but the standard library.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from threading import Timer

LARGEST = 16 * 1024 * 1024
"""Bytes of an answer, at most: 64 pictures with a hundred faces each have a fifth of that."""


@dataclass(frozen=True)
class Answer:
    """What a server answers; ``later`` is its header ``retry-after``."""

    status: int
    content: bytes
    later: str


@dataclass(frozen=True)
class Server:
    """Where to ask; ``seconds`` is what a whole answer may take, ``trust`` is for TLS alone."""

    host: str
    port: int
    trust: ssl.SSLContext | None
    seconds: float

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request and read all of its answer.

        Raises ``OSError`` or ``HTTPException`` where there is none, where it is larger than
        ``LARGEST``, and where it is not whole within ``seconds``.
        """
        deadline = time.monotonic() + self.seconds
        try:
            with self._connected(deadline) as connection:
                connection.request(method, path, body, dict(headers))
                with connection.getresponse() as answer:
                    content, later = _content(answer), answer.headers.get("retry-after", "1")
        except (OSError, HTTPException):
            self._refuse_late(deadline)
            raise
        # A body without a length seems whole where it was cut off.
        self._refuse_late(deadline)
        return Answer(answer.status, content, later)

    def _refuse_late(self, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"it is not whole within {self.seconds:g} seconds") from None

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[HTTPConnection]:
        """Connect, and shut that down when its time is over, whatever is waited for then."""
        with closing(HTTPConnection(self.host, self.port, timeout=self.seconds)) as connection:
            connection.connect()
            # TLS takes the first socket over: it is shut by another name.
            with connection.sock.dup() as held:
                timer = Timer(deadline - time.monotonic(), _shut, [held])
                timer.start()
                try:
                    self._encrypt(connection)
                    yield connection
                finally:
                    timer.cancel()
                    timer.join()

    def _encrypt(self, connection: HTTPConnection) -> None:
        if self.trust:
            connection.default_port = 443
            connection.sock = self.trust.wrap_socket(connection.sock, server_hostname=self.host)


def _shut(held: socket.socket) -> None:
    with suppress(OSError):  # the server was quicker
        held.shutdown(socket.SHUT_RDWR)


def _content(answer: HTTPResponse) -> bytes:
    content = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise HTTPException(f"it is larger than {LARGEST} bytes")
    if answer.length:
        raise IncompleteRead(content, answer.length)
    return content
