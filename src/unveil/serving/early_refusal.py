"""Refuses requests from their head alone while the queue is full, at a third of the cost.

At four times the capacity three of four requests are refused: each refusal takes time from the
requests that are answered. So what `middleware.py` would refuse for overload is answered before the
body is parsed and before a task is started, with the same response and counted the same. A request
whose answer depends on more than its path, host and token goes the usual way.
"""

import time
from collections.abc import Callable, Collection

from unveil.serving.error_responses import Refused, error_response
from unveil.serving.middleware import OVERLOADED, PREDICTION_PATHS, raw_headers
from unveil.serving.state import State

_OTHERS = {b"origin", b"expect", b"upgrade", b"content-encoding", b"transfer-encoding"}
"""Headers that change the response, or that come before 429."""
_PATHS = {path.encode(): path for path in PREDICTION_PATHS}

Headers = list[tuple[bytes, bytes]]


class EarlyRefusal:
    """Called with the head of a request, it returns a response with status 429, or ``None``."""

    def __init__(
        self,
        state: State,
        hosts: Collection[str],
        allows: Callable[[str, Headers], bool],
        *,
        secure: bool,
    ) -> None:
        """Refuse for these ``hosts`` what ``allows`` by path and headers."""
        self._state, self._allows = state, allows
        self._hosts = {host.encode() for host in hosts}
        self._most = state.settings.max_bytes
        self._response = _encoded(secure=secure)

    def __call__(self, method: bytes, target: bytes, headers: Headers) -> bytes | None:
        """Return the response of a request that is refused, and count it."""
        if not self._state.pipeline.queues.light.is_full or self._state.draining:
            return None
        began, path = time.perf_counter(), _PATHS.get(target)
        if method != b"POST" or path is None or not self._is_usual(headers):
            return None
        if not self._allows(path, headers):
            return None
        self._state.metrics.request(path, 429, time.perf_counter() - began)
        return self._response

    def _is_usual(self, headers: Headers) -> bool:
        named = dict(headers)
        if len(named) != len(headers) or not _OTHERS.isdisjoint(named):
            return False
        # A host with a port may be an IPv6 address; these go the usual way.
        host = named.get(b"host", b"").split(b":")[0]
        length = named.get(b"content-length", b"0")
        return host in self._hosts and len(length) < 10 and int(length) <= self._most


def _encoded(*, secure: bool) -> bytes:
    refused = error_response(Refused(429, OVERLOADED, retry_after="1"))
    lines = [
        name + b": " + value for name, value in [*refused.raw_headers, *raw_headers(secure=secure)]
    ]
    return b"\r\n".join([b"HTTP/1.1 429 Too Many Requests", *lines, b"", bytes(refused.body)])
