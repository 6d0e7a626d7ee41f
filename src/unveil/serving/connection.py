"""How many connections there are, and how long one may take to say what it wants.

Uvicorn waits for ever for the head of a request; here a connection that has none within some
seconds is closed, whether it is silent, trickles, or still sends a body that was refused; so is one
that does not read its answer. Between two requests it may be idle for longer (``IDLE``). One
connection too many is told to come back, without a look at what it wants.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE = 30
"""Seconds between two requests of a client; a shorter time would cut off one that was just sent."""

_BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 32\r\n\r\n"
    b'{"error":"too many connections"}'
)
_LINGER = 1.0
"""Seconds in which a client that is sent away can read that it is."""


class Connection(H11Protocol):
    """Uvicorn's connection with a deadline; ``limited`` gives it its limits."""

    most: ClassVar[int]
    seconds: ClassVar[float]
    sent_away: ClassVar[set["Connection"]]

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or send away."""
        if len(self.connections) < self.most:
            super().connection_made(transport)
            self._watch()
            return
        self.transport = transport
        if len(self.sent_away) >= self.most:
            transport.abort()
            return
        self.sent_away.add(self)
        transport.write(_BUSY)
        self._deadline = self.loop.call_later(_LINGER, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Take what was sent, unless the client was sent away."""
        if self.flow is not None:
            super().data_received(data)
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        self._read()
        self.sent_away.discard(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the client to read on, but not for ever."""
        super().pause_writing()
        self._read()
        self._unread = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        self._read()

    def on_response_complete(self) -> None:
        """Wait for the next request, but not for the rest of a body that was refused."""
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread:
            self._watch()

    def _watch(self) -> None:
        # A WebSocket took the transport over, or a request is being answered.
        elsewhere = self.transport.get_protocol() is not self
        if elsewhere or not (self.cycle is None or self.cycle.response_complete):
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.seconds, self.transport.abort)

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited(most: int, seconds: float) -> type[Connection]:
    """Give a kind of connection of which there are at most ``most``."""
    return type("Limited", (Connection,), {"most": most, "seconds": seconds, "sent_away": set()})
