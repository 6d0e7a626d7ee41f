"""Runs the server for ``unveil serve``, until SIGTERM."""

import asyncio
import logging
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from unveil.common.errors import UserError
from unveil.serving import tokens
from unveil.serving.app import build
from unveil.serving.connection_limits import KEEP_ALIVE, limited_connection
from unveil.serving.declared_purpose import declared
from unveil.serving.early_refusal import EarlyRefusal
from unveil.serving.middleware import AccessControl, BodyLimits, ResponseHeaders
from unveil.serving.open_files import EventLoopErrors, connection_limit
from unveil.serving.server_setup import assemble
from unveil.serving.settings import Settings, checked
from unveil.serving.state import State

_LINGER = 0.5
"""Seconds after SIGTERM in which the server still answers, with ``connection: close``."""

_SOON = 0.05
"""Seconds for the last accepted sockets to become connections."""

_LAST = 2.0
"""Seconds after that in which connected clients may still send a request."""


class Server(uvicorn.Server):
    """Uvicorn's server with a graceful shutdown: readiness is withdrawn before it stops."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        """Create a server that sets ``state.draining`` at its shutdown."""
        super().__init__(config)
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Set the exception handler and start to listen."""
        asyncio.get_running_loop().set_exception_handler(EventLoopErrors())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer with `connection: close` for a while, then finish the requests in progress.

        All of it takes at most ``drain_seconds``.
        """
        self._state.draining = True
        until = time.monotonic() + self._state.settings.drain_seconds
        await asyncio.sleep(_LINGER)
        await self._stop_accepting(sockets or [])
        # Uvicorn closes a connection whose first request is still in transit.
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_LAST, max(0.0, until - time.monotonic()))):
                while self.server_state.connections or self._connection_class.handshaking:
                    await asyncio.sleep(0.01)
        left: Any = max(0.0, until - time.monotonic())
        self.config.timeout_graceful_shutdown = left
        await super().shutdown(sockets)

    async def _stop_accepting(self, sockets: list[socket.socket]) -> None:
        """Stop listening, but serve the clients in the backlog: asyncio would drop them."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            loop.remove_reader(listening)
        await asyncio.sleep(_SOON)
        waiting = [client for listening in sockets for client in _pending_clients(listening)]
        for server in self.servers:
            server.close()
        for client in waiting:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, client)

    @property
    def _connection_class(self) -> Any:
        return self.config.http_protocol_class

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self._connection_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _pending_clients(listening: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            client, _ = listening.accept()
            client.setblocking(False)
            yield client


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; ``UserError`` before listening if a setting is wrong."""
    purpose = declared(settings.purpose, settings.exception, settings.reason)
    checked(settings)
    if settings.token_file:
        tokens.load(settings.token_file)
    with _listen(settings) as listening:
        state = assemble(settings, purpose)
        config = server_config(state)
        # Uvicorn raises the signal again after its shutdown; a requested stop is not a failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        scheme = "https" if settings.certificate else "http"
        host, port = listening.getsockname()[:2]
        print(f"unveil serves {scheme}://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        Server(config, state).run(sockets=[listening])


def with_middleware(state: State) -> tuple[ASGIApp, EarlyRefusal]:
    """Create the application and wrap it in the middleware; the outermost comes last.

    The refusal is for its connections.
    """
    settings, routes = state.settings, build(state)
    paths = routes.openapi()["paths"]
    app: ASGIApp = BodyLimits(
        routes,
        admission=state.pipeline.queues.light,
        max_bytes=settings.max_bytes,
        seconds=settings.body_seconds,
    )
    access = AccessControl(app, token_file=settings.token_file, origins=settings.allow_origin)
    app = access
    app = CORSMiddleware(
        app,
        allow_origins=settings.allow_origin,
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
    )
    app = TrustedHostMiddleware(app, settings.hosts, www_redirect=False)
    secure = settings.certificate is not None
    refusal = EarlyRefusal(state, settings.hosts, access.allows, secure=secure)
    return ResponseHeaders(app, state=state, routes=paths, secure=secure), refusal


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        place = (settings.host, settings.port)
        listening = socket.create_server(place, family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot listen on {settings.host}:{settings.port}: {reason.lower()}"
        ) from None
    # Its connections inherit it; asyncio sets it only if the socket names its protocol.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def server_config(state: State) -> uvicorn.Config:
    """Create the configuration of uvicorn; ``UserError`` if the certificate cannot be used."""
    (app, refusal), settings = with_middleware(state), state.settings
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    most = connection_limit(settings.connections)
    kind = limited_connection(most, settings.body_seconds, refusal)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=kind,
        ws_max_size=settings.max_bytes,
        # No decompression bombs.
        ws_per_message_deflate=False,
        # IP addresses are not logged.
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        timeout_keep_alive=KEEP_ALIVE,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"{settings.certificate} and its key cannot be used: {error}") from None
    # The connection class does the handshake, so that it counts the connection from the start.
    kind.context, config.ssl = config.ssl, None
    return config
