"""Served faces -> how far they have drifted from those of training, for Prometheus.

Takes what the model was asked and answered; keeps counts in bins over the last faces, and no face,
embedding or answer of one. A bundle without a reference has no drift but of the size of faces.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from unveil.inference.bundle import Answers, Bundle
from unveil.inference.drift_reference import Reference, excess
from unveil.serving.batching import Current
from unveil.serving.settings import LEAST

BLOCKS = 10
"""A window goes on by a tenth of its faces."""
SIDES = 2 ** np.arange(4, 12.5, 0.5)
"""Pixels between which the sides of faces are counted: 16 to 4096, half an octave each."""


class Window:
    """How often each of ``bins`` was met among the last ``faces``, or up to a tenth more.

    Counted in blocks, the oldest of which is forgotten whole, so that no face is remembered.
    """

    def __init__(self, bins: int, faces: int) -> None:
        """Hold none."""
        self._bins, self._size = bins, -(-faces // BLOCKS)
        self._blocks = deque([self._empty()], maxlen=BLOCKS + 1)
        self._free = self._size

    def add(self, places: NDArray[np.int64]) -> None:
        """Count the bins ``(n,)`` of so many more faces."""
        while len(places):
            if not self._free:
                self._blocks.append(self._empty())
                self._free = self._size
            part, places = places[: self._free], places[self._free :]
            self._blocks[-1] += np.bincount(part, minlength=self._bins)
            self._free -= len(part)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each bin was met, ``(bins,)``."""
        counts: NDArray[np.int64] = np.sum(self._blocks, axis=0)
        return counts

    def _empty(self) -> NDArray[np.int64]:
        return np.zeros(self._bins, np.int64)


class Sizes:
    """How large faces are in their pictures, against the first ``faces`` since the start.

    Training faces were cut out long before: only a camera that moved can be told.
    """

    def __init__(self, faces: int) -> None:
        """Have no reference yet."""
        bins = len(SIDES) + 1
        self._first, self._faces = np.zeros(bins, np.int64), faces
        self._window = Window(bins, faces)

    def add(self, sides: Sequence[float]) -> None:
        """Count faces by the longer side of their boxes, in pixels."""
        places = np.searchsorted(SIDES, sides, side="right")
        lacking = self._faces - int(self._first.sum())
        self._first += np.bincount(places[:lacking], minlength=len(self._first))
        self._window.add(places[lacking:])

    @property
    def drift(self) -> float | None:
        """In bits; ``None`` while too few were seen."""
        return _drift(self._window.counts, self._first)


class Looks:
    """The last faces of one bundle, against its reference."""

    def __init__(self, reference: Reference, faces: int) -> None:
        """Hold none."""
        self._reference = reference
        self._windows = {
            name: Window(len(one.counts), faces) for name, one in reference.histograms.items()
        }

    def add(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Count faces ``(n, s, s, 1)`` and what was said of them."""
        found = self._reference.values(images, answers.probabilities, answers.embeddings)
        for name, values in found.items():
            self._windows[name].add(self._reference.histograms[name].places(values))

    @property
    def faces(self) -> int:
        """How many faces are in the window."""
        return max(int(one.counts.sum()) for one in self._windows.values())

    @property
    def drift(self) -> dict[str, float | None]:
        """In bits, of each measure; ``None`` while too few were seen."""
        return {
            name: _drift(window.counts, np.array(self._reference.histograms[name].counts))
            for name, window in self._windows.items()
        }


class Watch(Collector):
    """What is watched of one server; another bundle begins anew, but for the faces' size."""

    def __init__(self, live: Current, faces: int) -> None:
        """Watch the last ``faces`` of whatever bundle ``live`` has."""
        self._live, self._faces = live, faces
        self._lock = threading.Lock()
        # What the first look imports are 22 MB, which are not to come under load.
        excess(np.ones(2, np.int64), np.ones(2, np.int64))
        self._sizes = Sizes(faces)
        self._begin()

    def looked(self, bundle: Bundle, images: NDArray[np.uint8], answers: Answers) -> None:
        """Count faces that a bundle answered for; those of an earlier one are passed over."""
        with self._lock:
            if (looks := self._of_now()) and bundle is self._bundle:
                looks.add(images, answers)

    def sized(self, sides: Sequence[float]) -> None:
        """Count the sides of faces' boxes, in pixels."""
        with self._lock:
            self._sizes.add(sides)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the gauges of now; what too few faces would say is left out."""
        told = "Jensen-Shannon divergence of the last faces from the reference, in bits."
        drift = GaugeMetricFamily("unveil_drift", told, labels=["measure"])
        watched = GaugeMetricFamily("unveil_watched_faces", "Faces that unveil_drift is about.")
        with self._lock:
            looks = self._of_now()
            found: dict[str, float | None] = {"face_size": self._sizes.drift}
            if looks:
                found |= looks.drift
                watched.add_metric([], looks.faces)
        for name, bits in found.items():
            if bits is not None:
                drift.add_metric([name], bits)
        yield from (drift, watched)

    def _of_now(self) -> Looks | None:
        if self._bundle is not self._live.bundle:
            self._begin()
        return self._looks

    def _begin(self) -> None:
        self._bundle = self._live.bundle
        reference = self._bundle.card.reference
        self._looks = Looks(reference, self._faces) if reference else None


def _drift(counts: NDArray[np.int64], expected: NDArray[np.int64]) -> float | None:
    return excess(counts, expected) if counts.sum() >= LEAST else None
