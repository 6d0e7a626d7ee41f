"""Measures the drift of served faces from the training faces, for Prometheus.

Counts the model's inputs and outputs in histogram bins over the last faces; stores no face,
embedding or answer. For a bundle without a reference only the drift of face sizes is measured.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from unveil.inference.bundle import Answers, Bundle
from unveil.inference.drift_reference import Reference, excess_divergence
from unveil.serving.batching import BundleSource
from unveil.serving.settings import MIN_FACES

BLOCKS = 10
"""A window advances by a tenth of its faces."""
SIDES = 2 ** np.arange(4, 12.5, 0.5)
"""Bin edges of face sizes in pixels: 16 to 4096, half an octave apart."""


class Window:
    """A histogram of ``bins`` over the last ``faces`` faces, or up to a tenth more.

    Counts are kept in blocks and the oldest block is dropped whole, so no single face is stored.
    """

    def __init__(self, bins: int, faces: int) -> None:
        """Create an empty window."""
        self._bins, self._size = bins, -(-faces // BLOCKS)
        self._blocks = deque([self._empty()], maxlen=BLOCKS + 1)
        self._free = self._size

    def add(self, places: NDArray[np.int64]) -> None:
        """Add ``n`` faces by their bin indices ``(n,)``."""
        while len(places):
            if not self._free:
                self._blocks.append(self._empty())
                self._free = self._size
            part, places = places[: self._free], places[self._free :]
            self._blocks[-1] += np.bincount(part, minlength=self._bins)
            self._free -= len(part)

    @property
    def counts(self) -> NDArray[np.int64]:
        """The count of each bin, ``(bins,)``."""
        counts: NDArray[np.int64] = np.sum(self._blocks, axis=0)
        return counts

    def _empty(self) -> NDArray[np.int64]:
        return np.zeros(self._bins, np.int64)


class FaceSizeDrift:
    """Drift of face sizes from the first ``faces`` faces since the start of the server.

    Training faces are crops without a size of their own, so this detects a camera that moved.
    """

    def __init__(self, faces: int) -> None:
        """Start without a reference."""
        bins = len(SIDES) + 1
        self._first, self._faces = np.zeros(bins, np.int64), faces
        self._window = Window(bins, faces)

    def add(self, sides: Sequence[float]) -> None:
        """Add faces by the longer side of their boxes, in pixels."""
        places = np.searchsorted(SIDES, sides, side="right")
        missing = self._faces - int(self._first.sum())
        self._first += np.bincount(places[:missing], minlength=len(self._first))
        self._window.add(places[missing:])

    @property
    def drift(self) -> float | None:
        """The drift in bits; ``None`` for too few faces."""
        return _drift(self._window.counts, self._first)


class AnswerDrift:
    """Drift of the last faces of one bundle, and of their answers, from its reference."""

    def __init__(self, reference: Reference, faces: int) -> None:
        """Create an empty window of ``faces`` faces for each measure."""
        self._reference = reference
        self._windows = {
            name: Window(len(one.counts), faces) for name, one in reference.histograms.items()
        }

    def add(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Add faces ``(n, s, s, 1)`` and their answers."""
        measures = self._reference.values(images, answers.probabilities, answers.embeddings)
        for name, values in measures.items():
            self._windows[name].add(self._reference.histograms[name].places(values))

    @property
    def faces(self) -> int:
        """The number of faces in the window."""
        return max(int(one.counts.sum()) for one in self._windows.values())

    @property
    def drift(self) -> dict[str, float | None]:
        """The drift of each measure in bits; ``None`` for too few faces."""
        return {
            name: _drift(window.counts, np.array(self._reference.histograms[name].counts))
            for name, window in self._windows.items()
        }


class DriftMonitor(Collector):
    """The drift of one server; a new bundle restarts all measures except the face size."""

    def __init__(self, source: BundleSource, faces: int) -> None:
        """Monitor the last ``faces`` faces of the bundle that ``source`` provides."""
        self._source, self._faces = source, faces
        self._lock = threading.Lock()
        self._sizes = FaceSizeDrift(faces)
        self._restart()

    def observe_answers(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        """Count faces and answers of a bundle; those of a replaced bundle are ignored."""
        with self._lock:
            if (current := self._current()) and bundle is self._bundle:
                current.add(images, answers)

    def observe_sizes(self, sides: Sequence[float]) -> None:
        """Count faces by the longer side of their boxes, in pixels."""
        with self._lock:
            self._sizes.add(sides)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the current gauges; measures with too few faces are omitted."""
        help_ = "Jensen-Shannon divergence of the last faces from the reference, in bits."
        drift = GaugeMetricFamily("unveil_drift", help_, labels=["measure"])
        watched = GaugeMetricFamily("unveil_watched_faces", "Faces measured by unveil_drift.")
        with self._lock:
            current = self._current()
            measures: dict[str, float | None] = {"face_size": self._sizes.drift}
            if current:
                measures |= current.drift
                watched.add_metric([], current.faces)
        for name, bits in measures.items():
            if bits is not None:
                drift.add_metric([name], bits)
        yield from (drift, watched)

    def _current(self) -> AnswerDrift | None:
        if self._bundle is not self._source.bundle:
            self._restart()
        return self._answers

    def _restart(self) -> None:
        self._bundle = self._source.bundle
        reference = self._bundle.card.reference
        self._answers = AnswerDrift(reference, self._faces) if reference else None


def _drift(counts: NDArray[np.int64], expected: NDArray[np.int64]) -> float | None:
    return excess_divergence(counts, expected) if counts.sum() >= MIN_FACES else None
