"""The server's metrics, for Prometheus and per minute for the audit log.

All labels are bounded: a path that is no route of the server is counted as ``other``.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

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
from unveil.serving.prediction_pipeline import PictureResult

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 10)


class ModelInfo(Collector):
    """An info metric for the active model: its digest, architecture and version."""

    def __init__(self, bundle: Callable[[], Bundle]) -> None:
        """Call ``bundle`` at each collection to get the active bundle."""
        self._bundle = bundle

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge; its value is always 1."""
        bundle, names = self._bundle(), ["sha256", "architecture", "version"]
        info = GaugeMetricFamily("unveil_model", "The active model.", labels=names)
        info.add_metric([bundle.digest[:12], bundle.card.architecture, bundle.version or ""], 1)
        yield info


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of its own."""

    def __init__(self) -> None:
        """Create all metrics with zero counts."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Count(
            "unveil_requests",
            "Answered requests by route and status.",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "unveil_request_seconds",
            "Seconds from a request's head to its response.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        faces = ("unveil_faces", "Faces by predicted class, or why there is none.", ("answer",))
        self._faces = Count(*faces, registry=registry)
        self._batch = Histogram(
            "unveil_batch_faces",
            "Faces per call of the model.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        self._model = Histogram(
            "unveil_model_seconds",
            "Seconds per call of the model.",
            buckets=_SECONDS,
            registry=registry,
        )
        bundles = ("unveil_bundles", "Bundles loaded, by outcome.", ("outcome",))
        self._bundles = Count(*bundles, registry=registry)
        frames = ("unveil_stream_frames", "Video frames received, by outcome.", ("outcome",))
        self._frames = Count(*frames, registry=registry)
        self._tally: Counter[str] = Counter()
        self._children = cache(self._labelled)

    def add_gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a gauge that calls ``value`` at each collection."""
        Gauge(name, help_, registry=self.registry).set_function(value)

    def register(self, collector: Collector) -> None:
        """Add the metrics of a collector."""
        self.registry.register(collector)

    def _labelled(self, route: str, status: int) -> tuple[Count, Histogram]:
        return self._requests.labels(route, status), self._seconds.labels(route)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request with its ``seconds``."""
        count, seconds_of = self._children(route, status)
        count.inc()
        seconds_of.observe(seconds)
        self._tally[f"{route} {status}"] += 1

    def face(self, answer: str) -> None:
        """Count a face by its answer, or a picture without a face."""
        self._faces.labels(answer).inc()
        self._tally[answer] += 1

    def picture(self, result: PictureResult) -> None:
        """Count the faces of a picture or frame, or why there are none."""
        for _, answer in result.faces:
            self.face(answer.emotion or answer.reason or "unsure")
        if result.reason:
            self.face("no_face" if result.reason == "no_face" else "unreadable")

    def batch(self, faces: int, seconds: float) -> None:
        """Count a call of the model with its ``faces`` and ``seconds``."""
        self._batch.observe(faces)
        self._model.observe(seconds)

    def frame(self, outcome: str, count: int = 1) -> None:
        """Count frames: ``answered``, ``dropped`` or ``unreadable``."""
        self._frames.labels(outcome).inc(count)

    def bundle(self, outcome: str) -> None:
        """Count a bundle: ``taken``, ``refused`` or ``last_good``."""
        self._bundles.labels(outcome).inc()

    def tally(self) -> dict[str, int]:
        """Return the counts since the last call, and reset them."""
        counted, self._tally = dict(self._tally), Counter()
        return counted

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)
