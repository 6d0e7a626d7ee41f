"""Whether a map shows what a network looks at: take pixels away, or give them, in the map's order.

Deletion replaces pixels by the face's mean, insertion brings them into a blurred face (Petsiuk, Das
and Saenko, "RISE", BMVC 2018, sec. 4.1). The score is the area under the probability of the class
that the network names for the whole face. Of a faithful map deletion is low and insertion high;
measured against random maps as smooth as activations, since a blob that covers a quarter of a face
changes an answer wherever it lies.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from unveil.common.metrics import Estimate
from unveil.evaluation.explain.saliency import CELLS, Faces, Indices, Maps, Predict

STEPS = 12
"""In which all pixels are taken or given."""

BETTER = {"deletion": -1, "insertion": 1}
"""The sign of a better score."""


def random_maps(count: int, size: int, *, seed: int = 0) -> Maps:
    """Draw maps ``(count, size, size)`` of noise on as many cells as an activation map has."""
    noise = np.random.default_rng(seed).random((count, CELLS, CELLS), dtype=np.float32)
    drawn: Maps = ndimage.zoom(noise, (1, size / CELLS, size / CELLS), order=1)
    return drawn


def courses(
    predict: Predict, faces: Faces, asked: Indices, maps: Maps
) -> dict[str, NDArray[np.float32]]:
    """Give for deletion and insertion the probability ``(STEPS + 1, n)`` after each step."""
    mean = np.broadcast_to(faces.mean((1, 2), keepdims=True).astype(np.uint8), faces.shape)
    blur = (0, faces.shape[1] / 8, faces.shape[1] / 8, 0)
    blurred = ndimage.gaussian_filter(faces.astype(np.float32), blur).astype(np.uint8)
    changes = {"deletion": (faces, mean), "insertion": (blurred, faces)}
    return {
        name: _course(predict, (start, end), asked, _ranks(maps))
        for name, (start, end) in changes.items()
    }


def _ranks(maps: Maps) -> NDArray[np.int64]:
    """Number each map's pixels from 0, the highest first."""
    flat = maps.reshape(len(maps), -1)
    ranks: NDArray[np.int64] = (-flat).argsort(1, kind="stable").argsort(1, kind="stable")
    return ranks.reshape(*maps.shape, 1)


def _course(
    predict: Predict, change: tuple[Faces, Faces], asked: Indices, ranks: NDArray[np.int64]
) -> NDArray[np.float32]:
    start, end = change
    pixels = ranks[0].size
    frames = [
        np.where(ranks < round(pixels * step / STEPS), end, start) for step in range(STEPS + 1)
    ]
    shares = predict(np.concatenate(frames)).reshape(STEPS + 1, len(asked), -1)
    return shares[:, np.arange(len(asked)), asked]


def areas(course: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give each face's area under its course, ``(n,)`` in 0..1."""
    return np.asarray(np.trapezoid(course, dx=1 / STEPS, axis=0), np.float64)


def judged(found: dict[str, dict[str, NDArray[np.float32]]]) -> dict[str, Any]:
    """Compare the scores of ``found``, the courses by method, one of them ``random``.

    ``lead`` is how much better each is than random maps, on the same faces, with a 95 % interval;
    it is called faithful where both scores are surely better.
    """
    scores = {
        method: {name: areas(course) for name, course in both.items()}
        for method, both in found.items()
    }
    lead = {
        method: {
            name: asdict(mean(sign * (own[name] - scores["random"][name])))
            for name, sign in BETTER.items()
        }
        for method, own in scores.items()
        if method != "random"
    }
    return {
        "scores": {
            method: {name: asdict(mean(area)) for name, area in both.items()}
            for method, both in scores.items()
        },
        "lead": lead,
        "faithful": {
            method: all(one["low"] > 0 for one in both.values()) for method, both in lead.items()
        },
    }


def mean(values: NDArray[np.float64]) -> Estimate:
    """Give a mean with its 95 % percentile interval."""
    drawn = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=0)
    low, high = drawn.confidence_interval
    return Estimate(float(values.mean()), float(low), float(high))
