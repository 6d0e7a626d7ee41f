"""Faithfulness of saliency maps: deletion and insertion of pixels in the order of a map.

Deletion replaces pixels with the face's mean, insertion restores them in a blurred face (Petsiuk,
Das and Saenko, "RISE", BMVC 2018, sec. 4.1). The score is the area under the probability of the
class predicted for the unchanged face. A faithful map has a low deletion score and a high insertion
score. The baseline are random maps as smooth as activation maps: a blob that covers a quarter of a
face changes the prediction wherever it lies.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from unveil.evaluation.explain.saliency import MIN_CELLS, Faces, Indices, Maps, Predict
from unveil.evaluation.metrics import Estimate

STEPS = 12
"""Number of steps in which all pixels are deleted or inserted."""

BETTER = {"deletion": -1, "insertion": 1}
"""The sign of a better score."""


def random_maps(count: int, size: int, *, seed: int = 0) -> Maps:
    """Draw noise maps ``(count, size, size)`` with the resolution of an activation map."""
    noise = np.random.default_rng(seed).random((count, MIN_CELLS, MIN_CELLS), dtype=np.float32)
    drawn: Maps = ndimage.zoom(noise, (1, size / MIN_CELLS, size / MIN_CELLS), order=1)
    return drawn


def perturbation_curves(
    predict: Predict, faces: Faces, targets: Indices, maps: Maps
) -> dict[str, NDArray[np.float32]]:
    """Return the probability ``(STEPS + 1, n)`` after each step of deletion and of insertion."""
    mean = np.broadcast_to(faces.mean((1, 2), keepdims=True).astype(np.uint8), faces.shape)
    blur = (0, faces.shape[1] / 8, faces.shape[1] / 8, 0)
    blurred = ndimage.gaussian_filter(faces.astype(np.float32), blur).astype(np.uint8)
    changes = {"deletion": (faces, mean), "insertion": (blurred, faces)}
    return {
        name: _curve(predict, (start, end), targets, _ranks(maps))
        for name, (start, end) in changes.items()
    }


def _ranks(maps: Maps) -> NDArray[np.int64]:
    """Rank each map's pixels from 0, the highest value first."""
    flat = maps.reshape(len(maps), -1)
    ranks: NDArray[np.int64] = (-flat).argsort(1, kind="stable").argsort(1, kind="stable")
    return ranks.reshape(*maps.shape, 1)


def _curve(
    predict: Predict, change: tuple[Faces, Faces], targets: Indices, ranks: NDArray[np.int64]
) -> NDArray[np.float32]:
    start, end = change
    pixels = ranks[0].size
    frames = [
        np.where(ranks < round(pixels * step / STEPS), end, start) for step in range(STEPS + 1)
    ]
    shares = predict(np.concatenate(frames)).reshape(STEPS + 1, len(targets), -1)
    return shares[:, np.arange(len(targets)), targets]


def areas(curve: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the area under each face's curve, ``(n,)`` in 0..1."""
    return np.asarray(np.trapezoid(curve, dx=1 / STEPS, axis=0), np.float64)


def summarize(found: dict[str, dict[str, NDArray[np.float32]]]) -> dict[str, Any]:
    """Summarize the curves in ``found``, by method; one of the methods is ``random``.

    ``lead`` is how much better each method scores than random maps on the same faces, with a 95 %
    interval. A method is faithful if both intervals lie above 0.
    """
    scores = {
        method: {name: areas(curve) for name, curve in both.items()}
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
    """Return a mean with its 95 % percentile bootstrap interval."""
    drawn = stats.bootstrap((values,), np.mean, n_resamples=2000, method="percentile", rng=0)
    low, high = drawn.confidence_interval
    return Estimate(float(values.mean()), float(low), float(high))
