"""What the server counts: for Prometheus, and each minute for the audit log.

All labels are bounded: routes are ours, a path nobody serves is ``other``.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client import Counter as Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from unveil.inference.bundle import Bundle
from unveil.serving.pipeline import Looked

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10)


class Named(Collector):
    """Names the model that answers at the time: which version, and by its digest."""

    def __init__(self, bundle: Callable[[], Bundle]) -> None:
        """Ask ``bundle`` each time."""
        self._bundle = bundle

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the gauge, which is always 1."""
        bundle, names = self._bundle(), ["sha256", "architecture", "version"]
        named = GaugeMetricFamily("unveil_model", "The model of now.", labels=names)
        named.add_metric([bundle.digest[:12], bundle.card.architecture, bundle.version or ""], 1)
        yield named


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Count from zero."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Count(
            "unveil_requests",
            "Requests answered, by route and status.",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "unveil_request_seconds",
            "Time from a request's head to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        told = ("unveil_faces", "Faces answered, by class or why there is none.", ("answer",))
        self._faces = Count(*told, registry=registry)
        self._batch = Histogram(
            "unveil_batch_faces",
            "Faces in one call of the model.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self._model = Histogram(
            "unveil_model_seconds",
            "Time of one call of the model.",
            buckets=_SECONDS,
            registry=registry,
        )
        told = ("unveil_bundles", "Bundles found, by what became of them.", ("outcome",))
        self._bundles = Count(*told, registry=registry)
        told = ("unveil_stream_frames", "Frames of video, by what became of them.", ("outcome",))
        self._frames = Count(*told, registry=registry)
        self._tally: Counter[str] = Counter()

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Show what ``value`` gives at the time."""
        Gauge(name, help_, registry=self.registry).set_function(value)

    def watch_all(self, collector: Collector) -> None:
        """Show what ``collector`` gives at the time."""
        self.registry.register(collector)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)
        self._tally[f"{route} {status}"] += 1

    def face(self, answer: str) -> None:
        """Count a face, or a picture without one."""
        self._faces.labels(answer).inc()
        self._tally[answer] += 1

    def looked(self, looked: Looked) -> None:
        """Count the faces of a picture or of a frame, or why there are none."""
        for _, answer in looked.faces:
            self.face(answer.emotion or answer.reason or "unsure")
        if looked.reason:
            self.face("no_face" if looked.reason == "no_face" else "unreadable")

    def batch(self, faces: int, seconds: float) -> None:
        """Count a call of the model."""
        self._batch.observe(faces)
        self._model.observe(seconds)

    def frame(self, outcome: str, count: int = 1) -> None:
        """Count frames: ``answered``, ``dropped`` or ``unreadable``."""
        self._frames.labels(outcome).inc(count)

    def found(self, outcome: str) -> None:
        """Count a bundle: ``taken``, ``refused`` or ``last_good``."""
        self._bundles.labels(outcome).inc()

    def tally(self) -> dict[str, int]:
        """Give what was counted since the last time."""
        counted, self._tally = dict(self._tally), Counter()
        return counted

    def text(self) -> bytes:
        """Write all in the format of Prometheus."""
        return generate_latest(self.registry)
