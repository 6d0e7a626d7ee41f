"""Training faces and validation predictions -> the drift reference of ``bundle.json``.

`export` stores the distributions that served faces are compared to: brightness and sharpness of
the packed training faces, and, on validation, predicted labels, confidence, and the distance of
embeddings from their mean. It contains histogram counts, means and standard deviations, no face.
"""

from functools import cached_property
from math import log
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.common.statistics import jensen_shannon

Measure = Literal["brightness", "sharpness", "label", "confidence", "embedding"]
Values = dict[Measure, NDArray[np.floating]]
"""The values of each measure for ``n`` faces, ``(n,)``."""
Embeddings = NDArray[np.floating]

DECILES = np.arange(1, 10) / 10
MIN_SPREAD = 0.1
"""Lower bound for a standard deviation, as a share of the mean one: a dimension that is nearly
always 0 would otherwise dominate every distance."""
BATCH_SIZE = 1024
"""Faces measured at a time, so that a split need not fit into memory."""

_STRICT = ConfigDict(strict=True, extra="forbid")
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class Histogram:
    """Counts of values between ascending ``edges``; a value on an edge counts in the upper bin."""

    edges: Annotated[tuple[Finite, ...], Field(min_length=1)]
    counts: tuple[Annotated[int, Field(ge=0)], ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 1 or not sum(self.counts):
            raise ValueError("counts must be one more than edges, and not all 0")
        if any(np.diff(self.edges) <= 0):
            raise ValueError("edges must be ascending")

    def places(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the bin of each value, from 0."""
        return self._ordered.searchsorted(values, side="right")

    @cached_property
    def _ordered(self) -> NDArray[np.float64]:
        return np.array(self.edges)


@dataclass(frozen=True, config=_STRICT)
class EmbeddingStatistics:
    """``mean`` and standard deviation (``spread``) of each dimension of validation embeddings."""

    mean: Annotated[tuple[Finite, ...], Field(min_length=1)]
    spread: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.spread):
            raise ValueError("mean and spread must have the same length")

    def distances(self, embeddings: Embeddings) -> NDArray[np.floating]:
        """Return the root mean square of standardized ``embeddings (n, d)``, about 1 on average.

        The Mahalanobis distance with a diagonal covariance, divided by the square root of ``d``.
        """
        mean, spread = self._arrays
        parts = (embeddings - mean) / spread
        distances: NDArray[np.floating] = np.sqrt(np.square(parts).mean(1))
        return distances

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.array(self.mean, np.float32), np.array(self.spread, np.float32)


@dataclass(frozen=True, config=_STRICT)
class Reference:
    """The reference distributions; without ``space`` there is no measure ``embedding``."""

    histograms: dict[Measure, Histogram]
    space: EmbeddingStatistics | None = None

    def values(
        self,
        images: NDArray[np.uint8],
        probabilities: NDArray[np.floating],
        embeddings: Embeddings | None,
    ) -> Values:
        """Compute all measures of ``images (n, s, s, 1)`` and of the predictions for them."""
        found = {**image_statistics(images), **prediction_statistics(probabilities)}
        if self.space is not None and embeddings is not None:
            found["embedding"] = self.space.distances(embeddings)
        return {name: found[name] for name in self.histograms if name in found}


def image_statistics(images: NDArray[np.uint8]) -> Values:
    """Compute brightness and sharpness of ``images (n, s, s, 1)``, as in the manifest.

    Integer arithmetic on batches of 32 takes a sixth of the time of the manifest's function.
    """
    # 16 bits suffice: the largest Laplacian of 8-bit pixels is 1020.
    pixels = images[..., 0].astype(np.int16)
    bent = pixels[:, :-2, 1:-1] + pixels[:, 2:, 1:-1]
    bent += pixels[:, 1:-1, :-2]
    bent += pixels[:, 1:-1, 2:]
    bent -= 4 * pixels[:, 1:-1, 1:-1]
    return {
        "brightness": images.mean((1, 2, 3)),
        "sharpness": bent.reshape(len(bent), -1).astype(np.float32).var(1),
    }


def prediction_statistics(probabilities: NDArray[np.floating]) -> Values:
    """Return index and probability of the most probable class, from ``(n, classes)``."""
    return {
        "label": probabilities.argmax(1).astype(np.float64),
        "confidence": probabilities.max(1),
    }


def build_reference(
    trained_on: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    embeddings: Embeddings | None,
) -> Reference:
    """Build the reference from training faces ``(n, s, s, 1)`` and validation predictions.

    Labels are compared to predicted, not true, labels: a network that confuses classes unequally
    would otherwise show drift permanently.
    """
    space = None if embeddings is None else _embedding_statistics(embeddings)
    parts = [
        image_statistics(trained_on[at : at + BATCH_SIZE])
        for at in range(0, len(trained_on), BATCH_SIZE)
    ]
    values: Values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    predicted = prediction_statistics(probabilities)
    values["confidence"] = predicted["confidence"]
    if space is not None and embeddings is not None:
        values["embedding"] = space.distances(embeddings)
    classes = np.arange(1, probabilities.shape[1]) - 0.5
    histograms = {
        name: _histogram(np.quantile(found, DECILES), found) for name, found in values.items()
    }
    return Reference({**histograms, "label": _histogram(classes, predicted["label"])}, space)


def excess_divergence(counts: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon divergence of two histograms minus its expected value, in bits.

    At least 0. For similar distributions the divergence is about chi squared over 8 n (Lin, 1991,
    section IV); for ``k`` bins and n and N observations of one distribution its expected value is
    ``(k - 1) (1/n + 1/N) / (8 ln 2)``.
    """
    bins = int(((counts + expected) > 0).sum())
    chance = (bins - 1) * (1 / counts.sum() + 1 / expected.sum()) / (8 * log(2))
    return max(0.0, (jensen_shannon(counts, expected) or 0.0) - float(chance))


def _embedding_statistics(embeddings: Embeddings) -> EmbeddingStatistics:
    mean, spread = embeddings.mean(0), embeddings.std(0)
    least = MIN_SPREAD * float(spread.mean()) or 1.0
    return EmbeddingStatistics(_rounded(mean), _rounded(np.maximum(spread, least)))


def _histogram(edges: Any, values: NDArray[np.floating]) -> Histogram:
    ascending = tuple(sorted(set(_rounded(edges))))
    places = np.searchsorted(ascending, values, side="right")
    return Histogram(ascending, tuple(np.bincount(places, minlength=len(ascending) + 1).tolist()))


def _rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    # Six significant digits, since people read bundle.json, too.
    return tuple(float(f"{value:.6g}") for value in values)
