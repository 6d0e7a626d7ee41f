"""Compares the drift metrics of a server with thresholds, for ``flows/monitor.py``.

Takes a URL and ``monitoring`` of params.yaml; returns a verdict with a table and writes no file.
"""

import http.client
import math
import queue
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

from unveil.common.errors import UserError
from unveil.config.schema import Monitoring

PATIENCE = 20.0
"""Timeout of the server's whole answer, in seconds."""
LARGEST = 4_000_000
"""Maximum size of an answer, in bytes."""

Outcome = Literal["steady", "drifted", "too-few"]


@dataclass(frozen=True)
class Readings:
    """The metrics of a server: drift in bits by measure, over ``faces`` faces."""

    drift: dict[str, float]
    faces: int


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison; ``drift`` and ``thresholds`` are in bits."""

    outcome: Outcome
    message: str
    drift: dict[str, float]
    thresholds: dict[str, float]

    def table(self) -> str:
        """Return a Markdown table: measure, drift, threshold and verdict."""
        rows = [
            f"| {name} | {_bits(self.drift.get(name))} | {limit:.3f} | {self._of(name)} |"
            for name, limit in self.thresholds.items()
        ]
        head = ["| measure | drift, bits | threshold | verdict |", "| --- | --- | --- | --- |"]
        return "\n".join(head + rows)

    def _of(self, name: str) -> str:
        if name not in self.drift:
            return "not measured"
        if self.outcome == "too-few":
            return "too few faces"
        return "drifted" if self.drift[name] > self.thresholds[name] else "steady"


def _bits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def read(url: str, token: str | None = None) -> Readings:
    """Read the drift metrics of a server.

    Raises:
        UserError: if the server does not answer, or its answer has no drift.
    """
    metrics = f"{url.rstrip('/')}/metrics"
    if not metrics.startswith(("http://", "https://")):
        raise UserError(f"{url!r} is not a server address, such as http://127.0.0.1:8000")
    return parsed(_fetched(metrics, token), metrics)


def parsed(text: str, url: str) -> Readings:
    """Parse the text of ``/metrics``; ``UserError`` if it has no drift."""
    from unveil.serving.prometheus_parser import values

    faces = values(text, "unveil_watched_faces")
    if not faces:
        raise UserError(
            f"{url} has no drift: its bundle has no reference; `unveil export` creates one with it"
        )
    watched = next(iter(faces.values()))
    if not (math.isfinite(watched) and watched >= 0):
        raise UserError(f"{url} has an invalid number of faces: unveil_watched_faces is {watched}")
    drift = values(text, "unveil_drift", by="measure")
    for name, value in drift.items():
        if not math.isfinite(value):
            raise UserError(f"{url} has an invalid drift of {name}: {value}")
    return Readings(drift=drift, faces=int(watched))


def judge(readings: Readings, settings: Monitoring) -> Verdict:
    """Compare readings with the thresholds; too few faces give no verdict."""
    thresholds = {str(name): limit for name, limit in settings.thresholds.items()}
    exceeded = [
        f"{name} {readings.drift[name]:.3f} bits, over {limit:.3f}"
        for name, limit in thresholds.items()
        if readings.drift.get(name, 0.0) > limit
    ]
    outcome: Outcome = "drifted" if exceeded else "steady"
    message = f"no drift over {readings.faces} faces"
    if exceeded:
        message = f"drifted: {'; '.join(exceeded)}"
    if readings.faces < settings.min_faces:
        outcome = "too-few"
        message = f"too few faces to judge: {readings.faces} of {settings.min_faces}"
    return Verdict(outcome, message, readings.drift, thresholds)


def _fetched(url: str, token: str | None) -> str:
    """Request in a thread: socket timeouts hold for each read, and each may bring one byte."""
    results: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put(_request(url, token))
        except Exception as error:  # raised again in the calling thread
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = results.get(timeout=PATIENCE)
    except queue.Empty:
        message = f"its answer is not complete after {PATIENCE:g} seconds"
        raise UserError(f"{url} does not answer: {message}") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _request(url: str, token: str | None) -> str:
    request = urllib.request.Request(url)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token.strip()}")
    # No proxy: the request and its token are meant for that server alone.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            content: bytes = answer.read(LARGEST + 1)
    except urllib.error.HTTPError as error:
        error.close()
        hint = "; set UNVEIL_TOKEN or the secret unveil-token" if error.code == 401 else ""
        raise UserError(f"{url} answers {error.code}{hint}") from None
    except (OSError, http.client.HTTPException) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        raise UserError(f"{url} does not answer: {why}") from None
    except ValueError:  # its text may contain the token
        raise UserError(f"{url} cannot be read: the address or the token is malformed") from None
    if len(content) > LARGEST:
        raise UserError(f"{url} answers more than {LARGEST} bytes")
    return content.decode(errors="replace")
