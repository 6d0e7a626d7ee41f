"""Middleware: response headers and metrics, access control, and limits of request bodies.

Written as plain ASGI, so that refusing a request costs next to nothing.
"""

import asyncio
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unveil.common.errors import UserError
from unveil.serving import tokens
from unveil.serving.admission_queue import AdmissionQueue
from unveil.serving.error_responses import Refused, error_response
from unveil.serving.state import State

PUBLIC_PATHS = {"/", "/docs", "/healthz", "/readyz", "/notice", "/openapi.json"}
PUBLIC_PREFIXES = ("/static/", "/samples/", "/v2/health/")
"""Paths that need no token: they give no answers about people and do not use the model."""
CACHEABLE_PREFIXES = ("/static/", "/v1/device/")
"""Paths that a browser may cache."""
PREDICTION_PATHS = {"/v1/predict", "/v1/predict/batch", "/v2/models/facial-emotion/infer"}

OVERLOADED = "too many requests to answer in time"
"""The reason of status 429."""

TOKEN_CHECK = "unveil.token_check"
"""The scope key of a function by which a long connection checks whether its token is valid."""

MAX_BUFFERED_BYTES = 256_000_000
"""The most bytes of all request bodies in progress."""

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
        "img-src 'self'; media-src 'self'; connect-src 'self'; worker-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
DOCS_POLICY = HEADERS["content-security-policy"].replace("img-src 'self'", "img-src 'self' data:")
"""The style sheet of Swagger UI contains its icons."""


def raw_headers(*, secure: bool) -> list[tuple[bytes, bytes]]:
    """Return the security headers as ASGI has them; ``secure`` adds the one for TLS."""
    headers = dict(HEADERS)
    if secure:
        headers["strict-transport-security"] = "max-age=31536000"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


class ResponseHeaders:
    """Outermost middleware: adds the security headers to each response, and counts it."""

    def __init__(
        self, app: ASGIApp, *, state: State, routes: Collection[str], secure: bool
    ) -> None:
        """Count responses by the paths in ``routes``; ``secure`` adds the header for TLS."""
        self.app, self._state, self._routes = app, state, frozenset(routes)
        self._headers = raw_headers(secure=secure)
        self._names = {name for name, _ in self._headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with a wrapped ``send``."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, started = time.perf_counter(), False

        async def sent(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = [one for one in message.get("headers", ()) if one[0] not in self._names]
                message["headers"] = [*given, *self._headers]
                headers = MutableHeaders(scope=message)
                if scope["path"] == "/docs":
                    headers["content-security-policy"] = DOCS_POLICY
                if scope["path"].startswith(CACHEABLE_PREFIXES):
                    # Several megabytes, the same for all users: cached, revalidated each time.
                    headers["cache-control"] = "private, no-cache"
                if self._state.draining:
                    headers["connection"] = "close"
                route = scope["path"] if scope["path"] in self._routes else "other"
                self._state.metrics.request(route, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except asyncio.CancelledError:
            # Uvicorn cancels what exceeds its shutdown time, and would answer 500.
            if started:
                raise
            stopped = Refused(503, "the server is stopping", retry_after="1", connection="close")
            await error_response(stopped)(scope, receive, sent)


class AccessControl:
    """Requires a valid token and, for WebSockets of web pages, an allowed origin."""

    def __init__(self, app: ASGIApp, *, token_file: Path | None, origins: Collection[str]) -> None:
        """Use the tokens of a file, reloaded when it changes; without a file none is needed."""
        self.app, self._file, self._origins = app, token_file, frozenset(origins)
        self._tokens: tokens.Tokens = {}
        self._read: tuple[int, ...] | None = None

    def allows(self, path: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether a request has a valid token, or needs none."""
        try:
            self._authorize({"type": "http", "path": path, "headers": headers})
        except Refused:
            return False
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app, or refuse with 401 or 403."""
        if scope["type"] != "lifespan":
            try:
                self._authorize(scope)
            except Refused as error:
                await error_response(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _authorize(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["type"] == "websocket" and origin and not self._is_allowed_origin(origin, headers):
            raise Refused(403, f"origin {origin[:100]!r} is not allowed")
        path = scope["path"]
        if self._file is None or path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES):
            return
        scope[TOKEN_CHECK] = partial(self._is_known, _bearer_token(headers))
        if not scope[TOKEN_CHECK]():
            raise Refused(401, "a valid token is required", www_authenticate="Bearer")

    def _is_known(self, token: str) -> bool:
        return tokens.owner(self._load_tokens(), token) is not None

    def _is_allowed_origin(self, origin: str, headers: Headers) -> bool:
        # Browsers let any page open a WebSocket to any host: the server must check the origin.
        return origin in self._origins or origin.split("://")[-1] == headers.get("host")

    def _load_tokens(self) -> tokens.Tokens:
        assert self._file is not None
        try:
            # Two changes within one clock tick have the same time but different inodes.
            now = self._file.stat()
            signature = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
            if signature != self._read:
                self._tokens, self._read = tokens.load(self._file), signature
        except (UserError, OSError) as error:
            if self._read is not None:
                print(f"unveil: all tokens are refused: {error}", file=sys.stderr, flush=True)
            self._tokens, self._read = {}, None
        return self._tokens


def _bearer_token(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    # A browser's WebSocket can set no other header.
    offered = [one.strip() for one in headers.get("sec-websocket-protocol", "").split(",")]
    return next((one.removeprefix("bearer.") for one in offered if one.startswith("bearer.")), "")


class BodyLimits:
    """Receives each body completely, within limits of size and time, before calling the app."""

    def __init__(
        self, app: ASGIApp, *, admission: AdmissionQueue, max_bytes: int, seconds: float
    ) -> None:
        """Accept up to ``max_bytes`` within ``seconds`` per body, and 256 MB of bodies at once."""
        self.app, self._admission = app, admission
        self._max_bytes, self._seconds = max_bytes, seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app with the whole body, or refuse with 408, 413, 415 or 429."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            with self._reserve(scope) as room:
                body = await self._body(room, receive)
                if body is not None:
                    await self.app(scope, _replay(body, receive), send)
        except Refused as error:
            await error_response(error)(scope, receive, send)

    @contextmanager
    def _reserve(self, scope: Scope) -> Iterator[int]:
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "compressed bodies are not supported; send the picture as it is")
        length = headers.get("content-length")
        room = int(length) if length is not None else 0
        if "transfer-encoding" in headers:
            room = self._max_bytes
        if room > self._max_bytes:
            raise Refused(413, f"{room} bytes, more than {self._max_bytes}")
        full = scope["path"] in PREDICTION_PATHS and self._admission.is_full
        if full or self._held + room > MAX_BUFFERED_BYTES:
            raise Refused(429, OVERLOADED, retry_after="1")
        self._held += room
        try:
            yield room
        finally:
            self._held -= room

    async def _body(self, room: int, receive: Receive) -> bytes | None:
        parts, size, more = [], 0, room > 0
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > room:
                        raise Refused(413, f"more than {self._max_bytes} bytes")
        except TimeoutError:
            late = f"the body took more than {self._seconds:g} seconds"
            raise Refused(408, late, connection="close") from None
        return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
