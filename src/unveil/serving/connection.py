"""How many connections there are, and how long one may take to say what it wants.

Uvicorn waits for ever for the head of a request; here a connection that has none within some
seconds is closed, whether it is silent, trickles, or still sends a body that was refused; so is one
that does not read its answer, or does not finish its handshake. Between two requests it may be idle
for longer (``IDLE``). One connection too many is told to come back, whatever it wants.
"""

import asyncio
import resource
import ssl
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE = 30
"""Seconds between two requests of a client; a shorter time would cut off one that was just sent."""

_BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: 32\r\n\r\n"
    b'{"error":"too many connections"}'
)
_LINGER = 1.0
"""Seconds in which a client that is sent away can read that it is, or end what TLS began."""
_FILES = 32
"""Open files besides connections: of the page, the bundle, feedback."""
_MINUTE = 60.0


class Connection(H11Protocol):
    """Uvicorn's connection with a deadline; ``limited`` gives it its limits."""

    most: ClassVar[int]
    seconds: ClassVar[float]
    sent_away: ClassVar[set["Connection"]]
    greeting: ClassVar[set["Connection"]]
    """Those whose handshake is not finished."""
    context: ClassVar[ssl.SSLContext | None]

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _securing: asyncio.Task[None] | None = None
    _early: bytearray
    """What came between the handshake's end and the moment that it was noticed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, after a handshake where there is TLS, or send away."""
        self.transport, self._early = transport, bytearray()
        is_full = len(self.connections) + len(self.greeting) >= self.most
        if is_full and len(self.sent_away) >= self.most:
            transport.abort()
            return
        (self.sent_away if is_full else self.greeting).add(self)
        if self.context is None:
            self._begin()
        else:
            self._securing = self.loop.create_task(self._secured(transport, self.context))

    async def _secured(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        # Not left to asyncio's server: it counts nobody before the handshake, for a minute.
        try:
            made = await self.loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self.seconds if self in self.greeting else _LINGER,
                ssl_shutdown_timeout=_LINGER,
            )
        except OSError:
            self._forgotten()
            return
        finally:
            self._securing = None
        # One that is gone by now is forgotten already.
        if made and (self in self.greeting or self in self.sent_away):
            self.transport = made
            self._begin()
            if self._early:
                self.data_received(bytes(self._early))

    def _begin(self) -> None:
        if self in self.greeting:
            self.greeting.discard(self)
            super().connection_made(self.transport)
            self._watch()
        else:
            self.transport.write(_BUSY)
            self._deadline = self.loop.call_later(_LINGER, self.transport.abort)

    def _forgotten(self) -> None:
        self.greeting.discard(self)
        self.sent_away.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take what was sent, unless the client was sent away."""
        if self in self.greeting:
            self._early += data
        elif self.flow is not None:
            super().data_received(data)
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        self._read()
        self._forgotten()
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
    """Give a kind of connection of which there are at most ``most``, without TLS."""
    held: dict[str, Any] = {"sent_away": set(), "greeting": set(), "context": None}
    return type("Limited", (Connection,), {"most": most, "seconds": seconds, **held})


def affordable(most: int) -> int:
    """Say how many connections, up to ``most``, the limit of open files leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _FILES + len([*Path("/proc/self/fd").iterdir()])
    # As many again are sent away.
    wanted = others + 2 * most
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    allowed = min(most, max(1, (soft - others) // 2))
    if allowed < most:
        line = f"{soft} open files are allowed: {allowed} connections instead of {most}"
        print(f"unveil: {line}; raise it with `ulimit -n {wanted}`", file=sys.stderr, flush=True)
    return allowed


class Complaints:
    """What the event loop complains of: a full table of files is one line a minute."""

    def __init__(self) -> None:
        """Have said nothing."""
        self._said = -_MINUTE

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say it; asyncio tries to accept thousands of times in a row, and logs each."""
        if "out of system resource" not in context["message"]:
            loop.default_exception_handler(context)
        elif time.monotonic() - self._said >= _MINUTE:
            self._said = time.monotonic()
            line = "nobody can connect, too many files are open; `ulimit -n` allows more"
            print(f"unveil: {line}", file=sys.stderr, flush=True)
