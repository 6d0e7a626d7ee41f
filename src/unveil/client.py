"""A Python client for `unveil serve`; needs only the standard library.

    client = Client("http://127.0.0.1:8000", token=None)
    for face in client.predict(Path("face.jpg")).faces:
        print(face.emotion or face.reason)

Requests are retried if the server is busy. Only ``stream`` needs a package, ``websockets``.
No redirects, no proxy: pictures and tokens are only sent to the given server.
"""

import base64
import json
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from operator import itemgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

Source = bytes | Path
"""The bytes of an image file, or its path."""

_ATTEMPTS, _MAX_BYTES, _JSON = 5, 16 * 1024 * 1024, "application/json"
"""The most requests to a busy server, the most bytes of an answer, and the usual content type."""

_MALFORMED = (ValueError, RecursionError, KeyError, TypeError, AttributeError)
"""The errors that parsing a malformed answer raises."""
T = TypeVar("T")


class ServerError(Exception):
    """The request failed; ``status`` is the HTTP status, or None if there was no response."""

    def __init__(self, error: str, status: int | None = None) -> None:
        """Create an error with a reason in one line."""
        super().__init__(error)
        self.status = status


@dataclass(frozen=True)
class Face:
    """The answer for a face; below the threshold ``emotion`` is None and ``reason`` ``unsure``.

    ``probabilities`` sum to 1; ``box`` is left, top, width and height in pixels.
    """

    emotion: str | None
    reason: str | None
    probabilities: Mapping[str, float]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """The faces of a picture, or the ``reason`` why there are none, and the ``model`` used."""

    faces: tuple[Face, ...]
    reason: str | None
    model: Mapping[str, Any] | None = None


class Client:
    """A client of one server; thread-safe."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 10.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Create a client for the server at ``url``.

        ``timeout`` is in seconds, for each answer, from the connection to its last byte, and for
        each wait for a busy server. An answer has at most 16 MiB. ``trust`` is the TLS context for
        ``https``. Raises ValueError if the url or the token is malformed.
        """
        token = (token or "").strip()
        # Checked here, because http.client would quote the token in its error.
        if not re.fullmatch(r"[!-~]*", token):
            raise ValueError("the token contains an invalid character")
        parts = _server(url)
        self._trust = (trust or ssl.create_default_context()) if parts.scheme == "https" else None
        self._address, self._timeout = parts.netloc, timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def predict(self, picture: Source) -> Picture:
        """Classify the faces of a picture; ``ServerError`` if it cannot be read."""
        return self._ask("/v1/predict", _content(picture), _picture, "image/*")

    def predict_batch(self, pictures: Sequence[Source]) -> list[Picture]:
        """Classify up to 64 pictures; one that cannot be read has a ``reason``."""
        body = json.dumps({"pictures": [_encoded(one) for one in pictures]}).encode()
        return self._ask(
            "/v1/predict/batch", body, lambda got: [_picture(got | one) for one in got["pictures"]]
        )

    def feedback(
        self, emotion: str, *, answered: str | None = None, consented: Source | None = None
    ) -> str | None:
        """Submit the correct class, if the server accepts feedback.

        ``answered`` is the model's answer. ``consented`` is a picture of one face, whose storage
        that person agreed to; returns the name needed to withdraw it, else None.
        """
        picture = {} if consented is None else {"picture": _encoded(consented), "consent": True}
        body = json.dumps({"emotion": emotion, "answered": answered, **picture}).encode()
        name: str | None = self._ask("/v1/feedback", body, itemgetter("picture"))
        return name

    def ready(self) -> bool:
        """Return whether the server accepts requests."""
        with suppress(ServerError):
            return self._once("GET", "/readyz", b"", "")[0] == 200
        return False

    def stream(self, frames: Iterable[Source]) -> Iterator[Picture]:
        """Classify frames one by one; the next frame is read after the answer to the last one.

        A frame that was not processed has a ``reason``: ``busy`` or an error message. A frame
        without an answer within ``timeout`` is skipped. Errors of ``frames`` are propagated.
        """
        from websockets.sync.client import connect

        url = f"ws{'s' if self._trust else ''}://{self._address}/v1/stream"
        options: dict[str, Any] = {"additional_headers": self._headers, "ssl": self._trust}
        with _streamed(self._address):
            opened = connect(url, proxy=None, open_timeout=self._timeout, **options)
        with opened as socket:
            for number, frame in enumerate(frames):
                content = _content(frame)
                with _streamed(self._address):
                    socket.send(content)
                    answer = _answer(socket, number, self._timeout)
                if answer:
                    yield answer

    def _ask(self, path: str, body: bytes, read: Callable[[Any], T], kind: str = _JSON) -> T:
        for left in reversed(range(_ATTEMPTS)):
            status, answer, delay = self._once("POST", path, body, kind)
            if status != 429 or not left or delay > self._timeout:
                break
            time.sleep(delay)
        if status != 200:
            raise ServerError(_reason(answer), status)
        try:
            return read(json.loads(answer))
        except _MALFORMED:
            raise ServerError(f"{self._address} does not answer as unveil does", 200) from None

    def _once(self, method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes, float]:
        """Send one request; returns status, body and the seconds to wait before a retry."""
        headers = {**self._headers, **({"content-type": kind} if kind else {})}
        secured: dict[str, Any] = {"context": self._trust} if self._trust else {}
        connect = HTTPSConnection if self._trust else HTTPConnection
        connection = connect(self._address, timeout=self._timeout, **secured)
        arguments = (connection, (method, path, body, headers), results := SimpleQueue[Any]())
        # A socket's own timeout restarts with each byte, so a slow server could block the caller.
        Thread(target=_exchange, args=arguments, daemon=True).start()
        try:
            result = results.get(timeout=self._timeout)
        except Empty:
            with suppress(OSError, AttributeError):  # not connected yet
                connection.sock.shutdown(SHUT_RDWR)
            result = f"the answer is not complete within {self._timeout:g} seconds"
        if isinstance(result, tuple):
            return result
        raise ServerError(f"{self._address} does not answer: {result}")


def _exchange(connection: HTTPConnection, request: Any, results: SimpleQueue[Any]) -> None:
    try:  # the thread that waits reports a timeout
        with suppress(TimeoutError), closing(connection):
            connection.request(*request)
            with connection.getresponse() as answer:
                content, delay = answer.read(_MAX_BYTES + 1), answer.headers.get("retry-after", "")
            if len(content) > _MAX_BYTES or answer.length:
                raise HTTPException(f"the answer is cut off, or larger than {_MAX_BYTES} bytes")
            results.put((answer.status, content, float(delay) if delay.isdecimal() else 1.0))
    except Exception as error:  # raised by the thread that waits
        results.put(error)


def _server(url: str) -> SplitResult:
    """Parse the address of a server; the error does not quote it, as it may have a password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        is_server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        has_more = parts.path.strip("/") or "?" in url or "#" in url or "@" in url
        if is_server and not has_more:
            return parts
    raise ValueError("the url is not a plain server address, such as http://127.0.0.1:8000")


@contextmanager
def _streamed(address: str) -> Iterator[None]:
    from websockets.exceptions import InvalidStatus, WebSocketException

    try:
        yield
    except (WebSocketException, OSError, ValueError) as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        raise ServerError(f"the stream from {address} ended: {error}", status) from None


def _answer(socket: Any, number: int, timeout: float) -> Picture | None:
    """Wait for the answer to a frame, skipping those to earlier frames; None after the timeout."""
    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            answer = json.loads(socket.recv(timeout=left))
            if answer["frame"] == number:
                return _picture({"faces": [], "reason": answer.get("error"), **answer})
    except TimeoutError:
        return None
    except _MALFORMED:
        raise ValueError("an answer is not of the form that unveil sends") from None
    return None


def _content(source: Source) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source


def _encoded(source: Source) -> str:
    return base64.b64encode(_content(source)).decode()


def _picture(answer: Mapping[str, Any]) -> Picture:
    faces = (
        Face(one["emotion"], one["reason"], one["probabilities"], tuple(one["box"]))
        for one in answer["faces"]
    )
    return Picture(tuple(faces), answer["reason"], answer.get("model"))


def _reason(answer: bytes) -> str:
    with suppress(*_MALFORMED):
        return str(json.loads(answer)["error"])
    return answer[:200].decode(errors="replace").strip() or "no reason was given"
