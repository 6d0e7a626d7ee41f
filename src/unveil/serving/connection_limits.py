"""Limits the number of connections and the time a client has to send its request.

Uvicorn has no timeout for the head of a request. Here a connection without a complete head within
some seconds is closed, whether it is silent, slow, or still sends a body that was refused. The same
applies to a client that does not read its response or does not finish its TLS handshake. Between
two requests a connection may be idle for longer (``KEEP_ALIVE``). Connections beyond the limit get
status 429. A request that would be refused for overload is answered from its head alone.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from unveil.serving.response_buffer import ResponseBuffer

KEEP_ALIVE = 30
"""Seconds between two requests of a client; a shorter time could cut off one in transit."""

_BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 32\r\n\r\n"
    b'{"error":"too many connections"}'
)
MAX_HEAD = 65_536
"""The most bytes of a request's target and headers, or of trailers; the parser has no limit."""
MAX_WAITING = 16
"""The most requests of a connection that wait for the response to the one before."""
_OF_UPGRADE = (b"upgrade", b"connection", b"http2-settings")
_INVALID = "Invalid HTTP request received."
_LINGER = 1.0
"""Seconds for a rejected client to read the response, or to shut TLS down."""


EarlyRefusal = Callable[[bytes, bytes, list[tuple[bytes, bytes]]], bytes | None]
"""Called with method, target and headers; returns a response if the request is refused."""


class _Refused:
    """Stands for the request that was refused early: it is answered, and its body is ignored."""

    response_complete, disconnected, transport = True, False, None

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class Connection(HttpToolsProtocol):
    """Uvicorn's connection with timeouts; ``limited_connection`` sets the limits."""

    most: ClassVar[int]
    seconds: ClassVar[float]
    rejected: ClassVar[set["Connection"]]
    handshaking: ClassVar[set["Connection"]]
    """Connections whose TLS handshake is not finished."""
    context: ClassVar[ssl.SSLContext | None]
    refusal: ClassVar[EarlyRefusal]
    refused: ClassVar[Any] = _Refused()

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _handshake: asyncio.Task[None] | None = None
    _early: bytearray
    """Data that arrived after the handshake but before ``start_tls`` returned."""
    _in_message = _is_upgrade = False
    _unparsed = 0
    """Bytes since the parser last completed a part of a request."""
    _data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the connection, after a handshake if TLS is used, or reject it."""
        self.transport, self._early = transport, bytearray()
        is_full = len(self.connections) + len(self.handshaking) >= self.most
        if is_full and len(self.rejected) >= self.most:
            transport.abort()
            return
        (self.rejected if is_full else self.handshaking).add(self)
        if self.context is None:
            self._begin()
        else:
            self._handshake = self.loop.create_task(self._start_tls(transport, self.context))

    async def _start_tls(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        # asyncio's own server would not count a connection before its handshake, up to a minute.
        try:
            secured = await self.loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.seconds if self in self.handshaking else _LINGER,
                ssl_shutdown_timeout=_LINGER,
            )
        except OSError:
            self._discard()
            return
        finally:
            self._handshake = None
        # A connection that was lost meanwhile is no longer in either set.
        if secured and (self in self.handshaking or self in self.rejected):
            self.transport = secured
            self._begin()
            if self._early:
                self.data_received(bytes(self._early))

    def _begin(self) -> None:
        if self in self.handshaking:
            self.handshaking.discard(self)
            super().connection_made(self.transport)
            self._update_deadline()
        else:
            self.transport.write(_BUSY)
            self._deadline = self.loop.call_later(_LINGER, self.transport.abort)

    def _discard(self) -> None:
        self.handshaking.discard(self)
        self.rejected.discard(self)

    def data_received(self, data: bytes) -> None:
        """Process received data, unless the client was rejected."""
        if self in self.handshaking:
            self._early += data
        elif self.flow is not None:
            self._unparsed += len(data)
            self._data = data
            super().data_received(data)
            self._data = b""
            if self._unparsed > MAX_HEAD:
                self.send_400_response(_INVALID)
            self._update_deadline()

    def on_message_begin(self) -> None:
        """Note that a request has begun to arrive."""
        super().on_message_begin()
        self._unparsed, self._in_message, self._is_upgrade = 0, True, False

    def on_headers_complete(self) -> None:
        """Start the request, or refuse it before it costs more."""
        self._unparsed = 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD or len(self.pipeline) >= MAX_WAITING:
            raise ValueError("the head is too long, or too many requests wait")
        self._is_upgrade = self.parser.should_upgrade() and not self._should_upgrade()
        if self._is_upgrade:
            return
        if refusal := self._early_refusal():
            self.cycle = self.refused
            self.transport.write(refusal)
            self.on_response_complete()
            return
        super().on_headers_complete()
        # To HEAD uvicorn writes a head alone.
        has_begun = self.cycle is not None and self.cycle.transport is self.transport
        if has_begun and self.parser.get_method() != b"HEAD":
            self.cycle.transport = ResponseBuffer(self.transport)  # type: ignore[assignment]

    def _early_refusal(self) -> bytes | None:
        is_free = self.cycle is None or self.cycle.response_complete
        # A client that does not read its responses must wait before it gets another one.
        if not is_free or self.flow.write_paused or not self.parser.should_keep_alive():
            return None
        return type(self).refusal(self.parser.get_method(), self.url, self.headers)

    def on_message_complete(self) -> None:
        """Note that the request has arrived."""
        if not self._is_upgrade:
            self._unparsed, self._in_message = 0, False
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a part of the body has arrived."""
        self._unparsed = 0
        super().on_body(body)

    def _unsupported_upgrade_warning(self) -> None:
        """Process a request for an unknown upgrade without it, as HTTP allows.

        The parser has ended at the head; Java's client asks for HTTP/2 in its first request.
        """
        (offset,) = getattr(sys.exception(), "args", (len(self._data),))
        kept = [(name, value) for name, value in self.headers if name not in _OF_UPGRADE]
        if not self.parser.should_keep_alive():
            kept.append((b"connection", b"close"))
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in kept]
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(b"\r\n".join([*lines, b"", b""]) + self._data[offset:])
        except httptools.HttpParserError:
            self.send_400_response(_INVALID)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers and stop counting the connection."""
        self._cancel_deadline()
        self._cancel_unread()
        self._discard()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the timeout for a client that does not read its response."""
        super().pause_writing()
        self._cancel_unread()
        self._unread = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel that timeout: the client reads again."""
        super().resume_writing()
        self._cancel_unread()

    def on_response_complete(self) -> None:
        """Wait for the next request; the rest of a refused body has a timeout."""
        super().on_response_complete()
        self._update_deadline()

    def _update_deadline(self) -> None:
        # A WebSocket has taken over the transport, or a request is being answered.
        is_taken_over = self.transport.get_protocol() is not self
        # uvicorn's own timer is for the time between two requests, and any byte ends it.
        is_idle = self.timeout_keep_alive_task is not None and not self._in_message
        is_waiting = self.cycle is None or (self.cycle.response_complete and not is_idle)
        if is_taken_over or not is_waiting:
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _cancel_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited_connection(most: int, seconds: float, refusal: EarlyRefusal) -> type[Connection]:
    """Create a connection class with at most ``most`` connections, without TLS.

    ``seconds`` is the timeout for a request's head, for a handshake and for reading a response.
    """
    shared: dict[str, Any] = {"rejected": set(), "handshaking": set(), "context": None}
    limits = {"most": most, "seconds": seconds, "refusal": staticmethod(refusal)}
    return type("Limited", (Connection,), {**limits, **shared})
