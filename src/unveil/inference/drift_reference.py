"""faces of training and answers on validation -> what served faces are held against.

Makes the ``reference`` of ``bundle.json``, for `export`: how bright and sharp the training faces
are, as they are packed, and on validation the labels that the network gives, its confidence, and
how far its embeddings lie from their mean. Kept are counts in bins, means and spreads, no face.
"""

from functools import cached_property
from math import log
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.common.statistics import divergence

Measure = Literal["brightness", "sharpness", "label", "confidence", "embedding"]
Values = dict[Measure, NDArray[np.floating]]
"""Of some faces, ``(n,)`` each."""
Embeddings = NDArray[np.floating]

TENTHS = np.arange(1, 10) / 10
FLOOR = 0.1
"""Of the mean spread: a number that is nearly always 0 would decide every distance."""
TOGETHER = 1024
"""Faces measured at once, so that a split need not fit into memory."""

_STRICT = ConfigDict(strict=True, extra="forbid")
Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class Histogram:
    """How often values fell between ``edges``, upwards; a value on an edge counts above it."""

    edges: Annotated[tuple[Finite, ...], Field(min_length=1)]
    counts: tuple[Annotated[int, Field(ge=0)], ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 1 or not sum(self.counts):
            raise ValueError("counts are to be one more than edges, and not all 0")
        if any(np.diff(self.edges) <= 0):
            raise ValueError("edges are to ascend")

    def places(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Give the bin of each value, from 0."""
        return self._ordered.searchsorted(values, side="right")

    @cached_property
    def _ordered(self) -> NDArray[np.float64]:
        return np.array(self.edges)


@dataclass(frozen=True, config=_STRICT)
class Space:
    """Where the embeddings of validation lie: ``mean`` and ``spread`` of each of their numbers."""

    mean: Annotated[tuple[Finite, ...], Field(min_length=1)]
    spread: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.spread):
            raise ValueError("mean and spread are to be as long as each other")

    def distances(self, embeddings: Embeddings) -> NDArray[np.floating]:
        """Give the root mean square of standardised ``embeddings (n, d)``, 1 on average.

        Mahalanobis' distance with a diagonal covariance, over the root of ``d``.
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
    """What served faces are held against; without ``space`` there is no ``embedding``."""

    histograms: dict[Measure, Histogram]
    space: Space | None = None

    def values(
        self,
        images: NDArray[np.uint8],
        probabilities: NDArray[np.floating],
        embeddings: Embeddings | None,
    ) -> Values:
        """Measure ``images (n, s, s, 1)`` and what the network said of them."""
        found = {**looks(images), **answers(probabilities)}
        if self.space is not None and embeddings is not None:
            found["embedding"] = self.space.distances(embeddings)
        return {name: found[name] for name in self.histograms if name in found}


def looks(images: NDArray[np.uint8]) -> Values:
    """Measure brightness and sharpness of ``images (n, s, s, 1)``, as a manifest has them.

    In whole numbers and 32 at once, a sixth of the time that `looks.quality` takes.
    """
    # Of 16 bits: the largest Laplacian of bytes is 1020.
    pixels = images[..., 0].astype(np.int16)
    bent = pixels[:, :-2, 1:-1] + pixels[:, 2:, 1:-1]
    bent += pixels[:, 1:-1, :-2]
    bent += pixels[:, 1:-1, 2:]
    bent -= 4 * pixels[:, 1:-1, 1:-1]
    return {
        "brightness": images.mean((1, 2, 3)),
        "sharpness": bent.reshape(len(bent), -1).astype(np.float32).var(1),
    }


def answers(probabilities: NDArray[np.floating]) -> Values:
    """Give the likeliest class, by its number, and its probability, of ``(n, classes)``."""
    return {
        "label": probabilities.argmax(1).astype(np.float64),
        "confidence": probabilities.max(1),
    }


def reference(
    trained_on: NDArray[np.uint8],
    probabilities: NDArray[np.floating],
    embeddings: Embeddings | None,
) -> Reference:
    """Count training faces ``(n, s, s, 1)``, and what was said of those of validation.

    Labels are held against labels the network gave, not true ones: it mistakes classes unequally,
    and that would be drift for ever.
    """
    space = None if embeddings is None else _space(embeddings)
    parts = [looks(trained_on[at : at + TOGETHER]) for at in range(0, len(trained_on), TOGETHER)]
    values: Values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    said = answers(probabilities)
    values["confidence"] = said["confidence"]
    if space is not None and embeddings is not None:
        values["embedding"] = space.distances(embeddings)
    classes = np.arange(1, probabilities.shape[1]) - 0.5
    tenths = {name: _counted(np.quantile(found, TENTHS), found) for name, found in values.items()}
    return Reference({**tenths, "label": _counted(classes, said["label"])}, space)


def excess(counts: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """Give Jensen-Shannon's divergence of two histograms in bits, less what chance makes, from 0.

    Near equality the divergence is an eighth of chi squared over n (Lin, 1991, section IV), and of
    ``k`` bins that are counted n and N times chance makes ``(k - 1) (1/n + 1/N) / (8 ln 2)``.
    """
    bins = int(((counts + expected) > 0).sum())
    chance = (bins - 1) * (1 / counts.sum() + 1 / expected.sum()) / (8 * log(2))
    return max(0.0, (divergence(counts, expected) or 0.0) - float(chance))


def _space(embeddings: Embeddings) -> Space:
    mean, spread = embeddings.mean(0), embeddings.std(0)
    least = FLOOR * float(spread.mean()) or 1.0
    return Space(_short(mean), _short(np.maximum(spread, least)))


def _counted(edges: Any, values: NDArray[np.floating]) -> Histogram:
    ascending = tuple(sorted(set(_short(edges))))
    places = np.searchsorted(ascending, values, side="right")
    return Histogram(ascending, tuple(np.bincount(places, minlength=len(ascending) + 1).tolist()))


def _short(values: NDArray[np.floating]) -> tuple[float, ...]:
    # Six digits: bundle.json is read by people, too.
    return tuple(float(f"{value:.6g}") for value in values)
