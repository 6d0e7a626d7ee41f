"""/metrics of a server + thresholds -> whether its faces have drifted, with a table.

Takes a URL and ``monitoring`` of params.yaml, for ``flows/monitor.py``; writes nothing.
"""

import http.client
import math
import queue
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Literal

from unveil.errors import UserError
from unveil.schema import Monitoring

PATIENCE = 20.0
"""Seconds for a server to answer, in all."""
LARGEST = 4_000_000
"""Bytes that an answer may have."""

Outcome = Literal["steady", "drifted", "too-few"]


@dataclass(frozen=True)
class Readings:
    """What a server says: drift in bits by measure, over so many ``faces``."""

    drift: dict[str, float]
    faces: int


@dataclass(frozen=True)
class Verdict:
    """What the readings mean; ``drift`` and ``thresholds`` in bits."""

    outcome: Outcome
    said: str
    drift: dict[str, float]
    thresholds: dict[str, float]

    def table(self) -> str:
        """Write each measure, its value, its threshold and what follows, as Markdown."""
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
    """Ask a server for its gauges; ``UserError`` says why there is no answer or no drift in it."""
    where = f"{url.rstrip('/')}/metrics"
    if not where.startswith(("http://", "https://")):
        raise UserError(f"{url!r} is no address of a server, such as http://127.0.0.1:8000")
    return parsed(_fetched(where, token), where)


def parsed(text: str, where: str) -> Readings:
    """Read the gauges in ``/metrics``, whatever else stands there."""
    from unveil.serving.gauges import values

    faces = values(text, "unveil_watched_faces")
    if not faces:
        raise UserError(
            f"{where} has no drift: its bundle has no reference; `unveil export` makes one that has"
        )
    watched = next(iter(faces.values()))
    if not (math.isfinite(watched) and watched >= 0):
        raise UserError(f"{where} says no number of faces: unveil_watched_faces is {watched}")
    drift = values(text, "unveil_drift", by="measure")
    for name, value in drift.items():
        if not math.isfinite(value):
            raise UserError(f"{where} says no number for the drift of {name}: {value}")
    return Readings(drift=drift, faces=int(watched))


def judge(readings: Readings, settings: Monitoring) -> Verdict:
    """Hold readings against the thresholds; of too few faces nothing is concluded."""
    thresholds = {str(name): limit for name, limit in settings.thresholds.items()}
    past = [
        f"{name} {readings.drift[name]:.3f} bits, over {limit:.3f}"
        for name, limit in thresholds.items()
        if readings.drift.get(name, 0.0) > limit
    ]
    outcome: Outcome = "drifted" if past else "steady"
    said = f"drifted: {'; '.join(past)}" if past else f"no drift over {readings.faces} faces"
    if readings.faces < settings.min_faces:
        outcome = "too-few"
        said = f"too few faces to judge: {readings.faces} of {settings.min_faces}"
    return Verdict(outcome, said, readings.drift, thresholds)


def _fetched(where: str, token: str | None) -> str:
    """Ask in a thread: the limits of sockets are for each read, and a byte may come in each."""
    found: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(_asked(where, token))
        except Exception as error:  # raised again for whoever asked
            found.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = found.get(timeout=PATIENCE)
    except queue.Empty:
        said = f"it is not complete after {PATIENCE:g} seconds"
        raise UserError(f"{where} does not answer: {said}") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _asked(where: str, token: str | None) -> str:
    request = urllib.request.Request(where)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token.strip()}")
    # By no proxy: what is measured, and the token, are for that server alone.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            content: bytes = answer.read(LARGEST + 1)
    except urllib.error.HTTPError as error:
        error.close()
        hint = "; set UNVEIL_TOKEN or the secret unveil-token" if error.code == 401 else ""
        raise UserError(f"{where} answers {error.code}{hint}") from None
    except (OSError, http.client.HTTPException) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
        raise UserError(f"{where} does not answer: {why}") from None
    except ValueError:  # its text may hold the token
        raise UserError(f"{where} cannot be asked: the address or the token is malformed") from None
    if len(content) > LARGEST:
        raise UserError(f"{where} answers more than {LARGEST} bytes")
    return content.decode(errors="replace")
