"""unveil serve: declaration, bundle and settings -> a server, until SIGTERM."""

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
from unveil.serving.assembly import assemble
from unveil.serving.connection import IDLE, Complaints, affordable, limited
from unveil.serving.middleware import Door, Intake, Labelled
from unveil.serving.purpose import declared
from unveil.serving.settings import Settings, checked
from unveil.serving.state import State

_LINGER = 0.5
"""Seconds after SIGTERM in which clients are still answered and told that it was the last time."""

_SOON = 0.05
"""Seconds in which those that were accepted last are given their connection."""

_LAST = 2.0
"""Seconds after that in which who had connected already may still ask."""


class Server(uvicorn.Server):
    """Uvicorn's server, which says that it is about to stop before it does."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        """Know whose readiness to take back."""
        super().__init__(config)
        self._state = state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        asyncio.get_running_loop().set_exception_handler(Complaints())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer on, with `connection: close`, then let what is under way end, but not for long."""
        self._state.draining = True
        until = time.monotonic() + self._state.settings.drain_seconds
        await asyncio.sleep(_LINGER)
        await self._close_doors(sockets or [])
        # Uvicorn cuts off a connection whose first request is still on its way.
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_LAST, max(0.0, until - time.monotonic()))):
                while self.server_state.connections or self._kind.greeting:
                    await asyncio.sleep(0.01)
        left: Any = max(0.0, until - time.monotonic())
        self.config.timeout_graceful_shutdown = left
        await super().shutdown(sockets)

    async def _close_doors(self, sockets: list[socket.socket]) -> None:
        """Let nobody else connect, but take whoever has: asyncio would drop those that wait."""
        loop = asyncio.get_running_loop()
        for listening in sockets:
            loop.remove_reader(listening)
        await asyncio.sleep(_SOON)
        waiting = [client for listening in sockets for client in _waiting(listening)]
        for server in self.servers:
            server.close()
        for client in waiting:
            with suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, client)

    @property
    def _kind(self) -> Any:
        return self.config.http_protocol_class

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self._kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            client, _ = listening.accept()
            client.setblocking(False)
            yield client


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C; a mistake is a ``UserError`` before anything listens."""
    purpose = declared(settings.purpose, settings.exception, settings.reason)
    checked(settings)
    if settings.token_file:
        tokens.load(settings.token_file)
    with _listen(settings) as listening:
        state = assemble(settings, purpose)
        config = _config(guarded(state), settings)
        # Uvicorn raises the signal again when it is done; an end that was asked for is no failure.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        scheme = "https" if settings.certificate else "http"
        host, port = listening.getsockname()[:2]
        print(f"unveil serves {scheme}://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        Server(config, state).run(sockets=[listening])


def guarded(state: State) -> ASGIApp:
    """Put what every request passes around the routes; outermost last."""
    settings, routes = state.settings, build(state)
    paths = routes.openapi()["paths"]
    app: ASGIApp = Intake(
        routes,
        turnstile=state.pipeline.gates.light,
        max_bytes=settings.max_bytes,
        seconds=settings.body_seconds,
    )
    app = Door(app, token_file=settings.token_file, origins=settings.allow_origin)
    app = CORSMiddleware(
        app,
        allow_origins=settings.allow_origin,
        allow_methods=("GET", "POST"),
        allow_headers=("authorization", "content-type"),
    )
    app = TrustedHostMiddleware(app, settings.hosts, www_redirect=False)
    return Labelled(app, state=state, routes=paths, secure=settings.certificate is not None)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{settings.host}:{settings.port} cannot be listened on: {said.lower()}"
        ) from None


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    kind = limited(affordable(settings.connections), settings.body_seconds)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=kind,
        ws_max_size=settings.max_bytes,
        # A message that inflates is a bomb of its own.
        ws_per_message_deflate=False,
        # Addresses of people are not logged.
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        timeout_keep_alive=IDLE,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"{settings.certificate} and its key cannot be used: {error}") from None
    # A connection does its handshake itself, so that it is counted.
    kind.context, config.ssl = config.ssl, None
    return config
