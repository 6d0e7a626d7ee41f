"""unveil serve: declaration, bundle and settings -> a server, until SIGTERM."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp

from unveil import bundle
from unveil.detect import MOVING, STILL, YUNET, detector
from unveil.errors import UserError
from unveil.feedback import Folder
from unveil.images import Limits
from unveil.paths import BUNDLE
from unveil.serving import audit, tokens
from unveil.serving.app import build
from unveil.serving.batching import Batcher
from unveil.serving.connection import IDLE, limited
from unveil.serving.guard import Door, Intake, Labelled
from unveil.serving.live import Live
from unveil.serving.metrics import Metrics, Named
from unveil.serving.pipeline import Pipeline
from unveil.serving.purpose import Purpose, declared
from unveil.serving.settings import Settings, checked
from unveil.serving.state import State
from unveil.serving.turnstile import Turnstile
from unveil.serving.watch import Watch

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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer on, with `connection: close`, then let what is under way end."""
        self._state.draining = True
        await asyncio.sleep(_LINGER)
        await self._close_doors(sockets or [])
        # Uvicorn cuts off a connection whose first request is still on its way.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST):
                while self.server_state.connections:
                    await asyncio.sleep(0.01)
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
                await loop.connect_accepted_socket(self._protocol, client, ssl=self.config.ssl)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(
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


def assemble(settings: Settings, purpose: Purpose) -> State:
    """Load the bundle, start what answers, and write into the audit log what for."""
    metrics = Metrics()

    def told(outcome: str, what: str) -> None:
        metrics.found(outcome)
        audit.note(settings.audit, f"bundle_{outcome}", said=what)

    audit.record(settings.audit, "start", **asdict(purpose))
    live = Live(_folder(settings), settings.keep, told, settings.precision)
    print(f"unveil answers with {live.bundle}", file=sys.stderr, flush=True)
    watch = Watch(live, settings.watched)
    cores = len(os.sched_getaffinity(0))
    finds = partial(detector, settings.detector, settings.detector_digest or YUNET)
    pipeline = Pipeline(
        detect=finds(reach=STILL),
        follow=finds(reach=MOVING),
        batcher=Batcher(live, metrics.batch, watch.looked),
        turnstile=Turnstile(settings.waiting, settings.patience),
        threads=ThreadPoolExecutor(cores, thread_name_prefix="picture"),
        limits=Limits(max_bytes=settings.max_bytes, max_pixels=settings.max_pixels),
        sized=watch.sized,
    )
    state = State(settings, purpose, metrics, live, pipeline, feedback=_feedback(settings))
    metrics.watch_all(watch)
    metrics.watch_all(Named(lambda: live.bundle))
    metrics.watch("unveil_inside", "Pictures worked on.", lambda: pipeline.turnstile.inside)
    metrics.watch("unveil_allowed", "How many may be.", lambda: pipeline.turnstile.allowed)
    metrics.watch("unveil_streams", "Streams of video that are open.", lambda: state.streams)
    metrics.watch("unveil_ready", "1 when requests are answered.", lambda: state.is_ready)
    return state


def _feedback(settings: Settings) -> Folder | None:
    if settings.feedback is None:
        return None
    what = "labels, and faces of who consents" if settings.feedback_pictures else "labels"
    folder = Folder(settings.feedback, settings.feedback_most)
    audit.record(settings.audit, "feedback", said=what)
    return folder


def _folder(settings: Settings) -> Path:
    known = BUNDLE.exists() or settings.keep.exists()
    return settings.bundle or (BUNDLE if known else bundle.found())


def guarded(state: State) -> ASGIApp:
    """Put what every request passes around the routes; outermost last."""
    settings, routes = state.settings, build(state)
    paths = routes.openapi()["paths"]
    app: ASGIApp = Intake(
        routes,
        turnstile=state.pipeline.turnstile,
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
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=limited(settings.connections, settings.body_seconds),
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
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"{settings.certificate} and its key cannot be used: {error}") from None
    return config
