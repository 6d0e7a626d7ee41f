"""Calibration: probabilities + labels -> a scale and a bias of the log-probabilities of each class.

Fits on a network's validation probabilities temperature scaling (one scale for all classes) and
vector scaling (a scale and a bias for each class), and chooses between them. `evaluate` writes the
result into the report, `export` into the network of the bundle.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import softmax

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]

MIN_PROBABILITY = 1e-7
"""Lower bound for probabilities: a float32 softmax may return 0, whose logarithm is undefined."""
TEMPERATURE_BOUNDS = (0.25, 10.0)
"""Search bounds. Too few images, all classified correctly, would drive the temperature to 0."""
BIAS_BOUNDS = (-3.0, 3.0)
"""Search bounds of a bias. A class that never occurs would drive its bias to minus infinity."""
FOLDS = 10


@dataclass(frozen=True)
class Calibration:
    """``softmax(scale * log p + bias)``, with one ``scale`` and one ``bias`` for each class.

    Every scale is positive. ``method`` is ``temperature`` (all scales equal, all biases 0) or
    ``vector``.
    """

    method: str
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    @property
    def temperature(self) -> float:
        """The temperature, if that is the method; otherwise 1."""
        return 1 / self.scale[0] if self.method == "temperature" else 1.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes no probability."""
        return set(self.scale) == {1.0} and not any(self.bias)

    def apply(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """Return calibrated probabilities ``(n, classes)`` for those of a network."""
        return _scaled(log_probabilities(probabilities), np.array(self.scale), np.array(self.bias))


def temperature_scaling(temperature: float, classes: int) -> Calibration:
    """Return ``softmax(log p / temperature)``, which keeps the predicted classes."""
    return Calibration("temperature", (1 / temperature,) * classes, (0.0,) * classes)


def from_report(section: Mapping[str, Any], classes: int) -> Calibration:
    """Return the calibration of a report's section; those of older reports have a temperature."""
    if section.get("method") == "vector":
        return Calibration("vector", tuple(section["scale"]), tuple(section["bias"]))
    return temperature_scaling(float(section.get("temperature", 1.0)), classes)


def fit_temperature(probabilities: Probabilities, labels: Labels) -> Calibration:
    """Fit the temperature, 0.25 to 10, with the lowest log loss; above 1 it lowers confidence.

    Guo et al. (2017, "On Calibration of Modern Neural Networks", section 4.2).
    """
    classes = probabilities.shape[1]

    def loss(log: float) -> float:
        scaled = temperature_scaling(float(np.exp(log)), classes)
        return float(losses(scaled.apply(probabilities), labels).mean())

    found = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURE_BOUNDS), method="bounded")
    return temperature_scaling(float(np.exp(found.x)), classes)


def fit_vector(probabilities: Probabilities, labels: Labels) -> Calibration:
    """Fit a scale, 0.1 to 4, and a bias, -3 to 3, for each class with the lowest log loss.

    Guo et al. (2017, section 4.2). Unlike a temperature, it may change the predicted class.
    """
    classes, logs = probabilities.shape[1], log_probabilities(probabilities)
    truth = np.eye(classes)[labels]

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scaled = _scaled(logs, *np.split(point, 2))
        error = (scaled - truth) / len(labels)
        return float(losses(scaled, labels).mean()), np.append((error * logs).sum(0), error.sum(0))

    start = fit_temperature(probabilities, labels)
    low, high = TEMPERATURE_BOUNDS
    bounds = [(1 / high, 1 / low)] * classes + [BIAS_BOUNDS] * classes
    point = optimize.minimize(
        loss, x0=start.scale + start.bias, jac=True, method="L-BFGS-B", bounds=bounds
    ).x
    scale, bias = (tuple(map(float, part)) for part in np.split(point, 2))
    return Calibration("vector", scale, bias)


METHODS: dict[str, Callable[[Probabilities, Labels], Calibration]] = {
    "temperature": fit_temperature,
    "vector": fit_vector,
}


def choose(probabilities: Probabilities, labels: Labels) -> tuple[Calibration, dict[str, float]]:
    """Choose the method by cross-validated log loss; return it, fitted to all images.

    Vector scaling has seven parameters more than a temperature for four classes, so it is taken
    only if its log loss is lower by more than one standard error of the difference (Hastie et al.,
    2009, "The Elements of Statistical Learning", section 7.10). Also returns the mean log loss of
    each method, and ``standard_error``; nothing with fewer than 10 images.
    """
    if len(labels) < FOLDS:
        return fit_temperature(probabilities, labels), {}
    held_out = {name: cross_validated(fit, probabilities, labels) for name, fit in METHODS.items()}
    gain = held_out["temperature"] - held_out["vector"]
    error = float(gain.std(ddof=1) / np.sqrt(len(gain)))
    method = "vector" if gain.mean() > error else "temperature"
    means = {name: float(found.mean()) for name, found in held_out.items()}
    return METHODS[method](probabilities, labels), means | {"standard_error": error}


def cross_validated(
    fit: Callable[[Probabilities, Labels], Calibration],
    probabilities: Probabilities,
    labels: Labels,
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the log loss ``(n,)`` of each image if the other nine folds are fitted."""
    found, folds = np.zeros(len(labels)), stratified_folds(labels, seed=seed)
    for fold in range(FOLDS):
        held = folds == fold
        fitted = fit(probabilities[~held], labels[~held])
        found[held] = losses(fitted.apply(probabilities[held]), labels[held])
    return found


def stratified_folds(labels: Labels, *, seed: int = 0) -> NDArray[np.int64]:
    """Assign each image at random to a fold, 0 to 9, with the same share of each class.

    Unlike scikit-learn's ``StratifiedKFold`` it accepts classes of fewer than 10 images.
    """
    folds = np.empty(len(labels), np.int64)
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    folds[shuffled] = np.arange(len(labels)) % FOLDS
    return folds


def losses(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Return ``-log p`` of the true class of each image, ``(n,)``."""
    logs: NDArray[np.float64] = -log_probabilities(probabilities)[np.arange(len(labels)), labels]
    return logs


def log_probabilities(probabilities: Probabilities) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, which are at least 1e-7."""
    logs: NDArray[np.float64] = np.log(np.maximum(probabilities.astype(float), MIN_PROBABILITY))
    return logs


def _scaled(
    logs: NDArray[np.float64], scale: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = softmax(scale * logs + bias, axis=1)
    return scaled
