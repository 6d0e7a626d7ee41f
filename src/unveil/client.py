"""Ask a running `unveil serve` from a Python program; needs nothing but the standard library.

    client = Client("http://127.0.0.1:8000", token=None)
    for face in client.predict(Path("face.jpg")).faces:
        print(face.emotion or face.reason)

A busy server is asked again when it says so. Only ``stream`` needs a package, ``websockets``. There
are no redirects and no proxy: a picture and a token go to the server that was named, or nowhere.
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
"""The bytes of an image file, or where it lies on this machine."""

_OFTEN, _LARGEST, _JSON = 5, 16 * 1024 * 1024, "application/json"
"""Times a busy server is asked; bytes of an answer, at most; the content type of most requests."""

_OTHER = (ValueError, RecursionError, KeyError, TypeError, AttributeError)
"""What reading an answer of another form raises."""
T = TypeVar("T")


class ServerError(Exception):
    """There is no answer; ``status`` is HTTP's, or None where the server was not reached."""

    def __init__(self, error: str, status: int | None = None) -> None:
        """Say why in one line."""
        super().__init__(error)
        self.status = status


@dataclass(frozen=True)
class Face:
    """What a face looks like; ``emotion`` is None, and ``reason`` ``unsure``, below the threshold.

    ``probabilities`` sum to 1; ``box`` is left, top, width and height in pixels.
    """

    emotion: str | None
    reason: str | None
    probabilities: Mapping[str, float]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """A picture's faces, or the ``reason`` why there are none; ``model`` is who answered."""

    faces: tuple[Face, ...]
    reason: str | None
    model: Mapping[str, Any] | None = None


class Client:
    """Asks one server; may be used by several threads."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 10.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Know where to ask; ``trust`` says whose certificates are believed, for ``https``.

        ``timeout`` is in seconds: of one answer, from the connection to its last byte, and of one
        wait for a busy server. An answer has 16 MiB at most.
        """
        token = (token or "").strip()
        # Said here and without it: whoever sends such a header quotes it in the error.
        if not re.fullmatch(r"[!-~]*", token):
            raise ValueError("the token has a character that no token has")
        parts = _server(url)
        self._trust = (trust or ssl.create_default_context()) if parts.scheme == "https" else None
        self._address, self._timeout = parts.netloc, timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def predict(self, picture: Source) -> Picture:
        """Say what the faces of a picture look like; ``ServerError`` where it cannot be read."""
        return self._ask("/v1/predict", _content(picture), _picture, "image/*")

    def predict_batch(self, pictures: Sequence[Source]) -> list[Picture]:
        """Answer for up to 64 pictures; one that cannot be read has its ``reason``."""
        body = json.dumps({"pictures": [_encoded(one) for one in pictures]}).encode()
        return self._ask(
            "/v1/predict/batch",
            body,
            lambda said: [_picture(said | one) for one in said["pictures"]],
        )

    def feedback(
        self, emotion: str, *, answered: str | None = None, consented: Source | None = None
    ) -> str | None:
        """Say which class it was, where the server takes that.

        ``consented`` is a picture of one face whose owner agreed that it is kept; gives the name by
        which it can be taken back.
        """
        given = {} if consented is None else {"picture": _encoded(consented), "consent": True}
        body = json.dumps({"emotion": emotion, "answered": answered, **given}).encode()
        kept: str | None = self._ask("/v1/feedback", body, itemgetter("picture"))
        return kept

    def ready(self) -> bool:
        """Say whether the server would answer."""
        with suppress(ServerError):
            return self._once("GET", "/readyz", b"", "")[0] == 200
        return False

    def stream(self, frames: Iterable[Source]) -> Iterator[Picture]:
        """Answer frames one by one; the next is taken when its answer is there, so none grows old.

        One that was not looked at has its ``reason``: ``busy``, or why it cannot be. One without an
        answer in time has none. Errors of ``frames`` are passed on.
        """
        from websockets.sync.client import connect

        url = f"ws{'s' if self._trust else ''}://{self._address}/v1/stream"
        known: dict[str, Any] = {"additional_headers": self._headers, "ssl": self._trust}
        with _streamed(self._address):
            opened = connect(url, proxy=None, open_timeout=self._timeout, **known)
        with opened as socket:
            for number, frame in enumerate(frames):
                content = _content(frame)
                with _streamed(self._address):
                    socket.send(content)
                    answer = _answer(socket, number, self._timeout)
                if answer:
                    yield answer

    def _ask(self, path: str, body: bytes, read: Callable[[Any], T], kind: str = _JSON) -> T:
        for left in reversed(range(_OFTEN)):
            status, answer, later = self._once("POST", path, body, kind)
            if status != 429 or not left or later > self._timeout:
                break
            time.sleep(later)
        if status != 200:
            raise ServerError(_reason(answer), status)
        try:
            return read(json.loads(answer))
        except _OTHER:
            raise ServerError(f"{self._address} answers otherwise than unveil does", 200) from None

    def _once(self, method: str, path: str, body: bytes, kind: str) -> tuple[int, bytes, float]:
        """Give status, body, and in how many seconds to ask again."""
        headers = {**self._headers, **({"content-type": kind} if kind else {})}
        secured: dict[str, Any] = {"context": self._trust} if self._trust else {}
        connect = HTTPSConnection if self._trust else HTTPConnection
        connection = connect(self._address, timeout=self._timeout, **secured)
        asked = (connection, (method, path, body, headers), found := SimpleQueue[Any]())
        # A socket's own timeout counts from the last byte: a server that drips would hold us.
        Thread(target=_exchange, args=asked, daemon=True).start()
        try:
            answer = found.get(timeout=self._timeout)
        except Empty:
            with suppress(OSError, AttributeError):  # it is not open
                connection.sock.shutdown(SHUT_RDWR)
            answer = f"it is not whole within {self._timeout:g} seconds"
        if isinstance(answer, tuple):
            return answer
        raise ServerError(f"{self._address} gives no answer: {answer}")


def _exchange(connection: HTTPConnection, question: Any, found: SimpleQueue[Any]) -> None:
    try:
        with closing(connection):
            connection.request(*question)
            with connection.getresponse() as answer:
                content, later = answer.read(_LARGEST + 1), answer.headers.get("retry-after", "")
        if len(content) > _LARGEST or answer.length:
            raise HTTPException(f"it is cut off, or larger than {_LARGEST} bytes")
        found.put((answer.status, content, float(later) if later.isdecimal() else 1.0))
    except Exception as error:  # it is raised where the answer is waited for
        found.put(error)


def _server(url: str) -> SplitResult:
    """Take an address apart; what it says beyond the server, such as a password, is not quoted."""
    with suppress(ValueError):
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        beyond = parts.path.strip("/") or "?" in url or "#" in url or "@" in url
        if named and not beyond:
            return parts
    raise ValueError("the url is no address of a server alone, like http://127.0.0.1:8000")


@contextmanager
def _streamed(address: str) -> Iterator[None]:
    from websockets.exceptions import InvalidStatus, WebSocketException

    try:
        yield
    except (WebSocketException, OSError, ValueError) as error:
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        raise ServerError(f"the stream from {address} ended: {error}", status) from None


def _answer(socket: Any, number: int, timeout: float) -> Picture | None:
    """Wait for a frame's answer, past those of frames given up; None where none is in time."""
    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            said = json.loads(socket.recv(timeout=left))
            if said["frame"] == number:
                return _picture({"faces": [], "reason": said.get("error"), **said})
    except TimeoutError:
        return None
    except _OTHER:
        raise ValueError("an answer is otherwise than those of unveil") from None
    return None


def _content(source: Source) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source


def _encoded(source: Source) -> str:
    return base64.b64encode(_content(source)).decode()


def _picture(said: Mapping[str, Any]) -> Picture:
    faces = (
        Face(one["emotion"], one["reason"], one["probabilities"], tuple(one["box"]))
        for one in said["faces"]
    )
    return Picture(tuple(faces), said["reason"], said.get("model"))


def _reason(answer: bytes) -> str:
    with suppress(*_OTHER):
        return str(json.loads(answer)["error"])
    return answer[:200].decode(errors="replace").strip() or "no reason was given"
