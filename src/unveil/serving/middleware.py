"""What every request passes before a route sees it: headers, token, size and time of its body.

Written to the bare interface (ASGI), because what is refused here must cost next to nothing.
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
from unveil.serving.admission import Turnstile
from unveil.serving.refusal import Refused, refuse
from unveil.serving.state import State

OPEN = {"/", "/healthz", "/readyz", "/notice", "/openapi.json"}
OPEN_BELOW = ("/static/", "/v2/health/")
"""What needs no token: it tells nothing of a person, and asks nothing of the model."""
KEPT = ("/static/", "/v1/device/")
"""What a browser may keep."""
WORK = {"/v1/predict", "/v1/predict/batch", "/v2/models/facial-emotion/infer"}

WELCOME = "unveil.welcome"
"""The key of a scope under which what lasts can ask whether its token still is one."""

HELD_BYTES = 256_000_000
"""Of all bodies that are being received, at most."""

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


class Labelled:
    """Outermost: gives every answer its headers, and counts it."""

    def __init__(
        self, app: ASGIApp, *, state: State, routes: Collection[str], secure: bool
    ) -> None:
        """Count by the paths in ``routes``; ``secure`` when it is served over TLS."""
        self.app, self._state, self._routes = app, state, frozenset(routes)
        self._headers = dict(HEADERS)
        if secure:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with a sender that looks at the head of the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, started = time.perf_counter(), False

        async def sent(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if scope["path"].startswith(KEPT):
                    # Of several megabytes, and the same for all: kept, and asked about each time.
                    headers["cache-control"] = "private, no-cache"
                if self._state.draining:
                    headers["connection"] = "close"
                route = scope["path"] if scope["path"] in self._routes else "other"
                self._state.metrics.request(route, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except asyncio.CancelledError:
            # Uvicorn has no more time for it, and would say 500.
            if started:
                raise
            stopped = Refused(503, "the server stops", retry_after="1", connection="close")
            await refuse(stopped)(scope, receive, sent)


class Door:
    """Lets in who has a token and, of pages, those of origins that are listed."""

    def __init__(self, app: ASGIApp, *, token_file: Path | None, origins: Collection[str]) -> None:
        """Know the tokens of a file, which may change; without a file everybody is let in."""
        self.app, self._file, self._origins = app, token_file, frozenset(origins)
        self._tokens: tokens.Tokens = {}
        self._read: tuple[int, ...] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse."""
        if scope["type"] != "lifespan":
            try:
                self._judge(scope)
            except Refused as error:
                await refuse(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _judge(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["type"] == "websocket" and origin and not self._is_welcome(origin, headers):
            raise Refused(403, f"origin {origin[:100]!r} is not allowed")
        path = scope["path"]
        if self._file is None or path in OPEN or path.startswith(OPEN_BELOW):
            return
        scope[WELCOME] = partial(self._is_known, _presented(headers))
        if not scope[WELCOME]():
            raise Refused(401, "a known token is needed", www_authenticate="Bearer")

    def _is_known(self, token: str) -> bool:
        return tokens.owner(self._known(), token) is not None

    def _is_welcome(self, origin: str, headers: Headers) -> bool:
        # Browsers let any page open a WebSocket anywhere: it is for us to ask whose page it is.
        return origin in self._origins or origin.split("://")[-1] == headers.get("host")

    def _known(self) -> tokens.Tokens:
        assert self._file is not None
        try:
            # Two changes within a tick of the clock have one time, but each is a file of its own.
            now = self._file.stat()
            changed = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns, now.st_size)
            if changed != self._read:
                self._tokens, self._read = tokens.load(self._file), changed
        except (UserError, OSError) as error:
            if self._read is not None:
                print(f"unveil: nobody is let in: {error}", file=sys.stderr, flush=True)
            self._tokens, self._read = {}, None
        return self._tokens


def _presented(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    # A browser's WebSocket has no other header to put it.
    offered = [one.strip() for one in headers.get("sec-websocket-protocol", "").split(",")]
    return next((one.removeprefix("bearer.") for one in offered if one.startswith("bearer.")), "")


class Intake:
    """Receives a body whole, of bounded size and in bounded time, before a route is asked."""

    def __init__(
        self, app: ASGIApp, *, turnstile: Turnstile, max_bytes: int, seconds: float
    ) -> None:
        """Take bodies of ``max_bytes`` within ``seconds`` each, and 256 MB of them at once."""
        self.app, self._turnstile = app, turnstile
        self._max_bytes, self._seconds = max_bytes, seconds
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with the whole body, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            with self._room(scope) as room:
                body = await self._body(room, receive)
                if body is not None:
                    await self.app(scope, _given(body, receive), send)
        except Refused as error:
            await refuse(error)(scope, receive, send)

    @contextmanager
    def _room(self, scope: Scope) -> Iterator[int]:
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "a compressed body is not taken; send the picture as it is")
        length = headers.get("content-length")
        room = int(length) if length is not None else 0
        if "transfer-encoding" in headers:
            room = self._max_bytes
        if room > self._max_bytes:
            raise Refused(413, f"{room} bytes, more than {self._max_bytes}")
        full = scope["path"] in WORK and self._turnstile.is_full
        if full or self._held + room > HELD_BYTES:
            raise Refused(429, "more is asked than can be answered in time", retry_after="1")
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


def _given(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give
