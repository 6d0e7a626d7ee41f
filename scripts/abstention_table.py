"""Compare calibrations, scores and rules for *unsure* with a bundle and packed faces.

Takes the folder of a bundle, and a folder with ``validation.npz`` and ``test.npz`` as `unveil pack`
writes them. Everything is fitted on validation; test is only measured. Prints Markdown. Run from
the project's folder: ``python -m scripts.abstention_table models/starter data/03_packed``.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from unveil.config.schema import Decision
from unveil.dataset import arrays
from unveil.evaluation import calibration, calibration_metrics
from unveil.evaluation.abstention import class_thresholds, lowest_threshold
from unveil.inference import bundle
from unveil.inference.bundle import Bundle
from unveil.inference.progress import Progress

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]
Split = tuple[Numbers, Labels]

TARGET, BATCH = 0.1, 256


@dataclass(frozen=True)
class Isotonic:
    """Isotonic regression of each class against the others, normalized to a sum of 1."""

    curves: list[IsotonicRegression]

    def apply(self, probabilities: Numbers) -> Numbers:
        """Return calibrated probabilities ``(n, classes)``."""
        shares = np.stack(
            [curve.predict(probabilities[:, at]) for at, curve in enumerate(self.curves)], axis=1
        )
        calibrated: Numbers = shares / shares.sum(1, keepdims=True)
        return calibrated


def fit_isotonic(probabilities: Numbers, labels: Labels) -> Isotonic:
    """Fit the curves; no probability is below 0.001, or one wrong zero would be an endless loss."""
    curve = partial(IsotonicRegression, y_min=0.001, y_max=0.999, out_of_bounds="clip")
    pairs = enumerate(probabilities.T)
    return Isotonic([curve().fit(shares, labels == label) for label, shares in pairs])


CALIBRATIONS: dict[str, Callable[..., Any]] = {
    "of the bundle": lambda p, _: calibration.temperature_scaling(1.0, p.shape[1]),
    "temperature": calibration.fit_temperature,
    "vector": calibration.fit_vector,
    "isotonic": fit_isotonic,
}
SCORES: dict[str, Callable[[Numbers], Numbers]] = {
    "probability": lambda p: p.max(1),
    "margin": lambda p: np.diff(np.sort(p, axis=1)[:, -2:])[:, 0],
    "entropy": lambda p: (p * np.log(np.maximum(p, calibration.MIN_PROBABILITY))).sum(1),
}


@dataclass(frozen=True)
class Rule:
    """A calibration, a score, and thresholds for each class or one; ``level`` of the bound."""

    calibration: str
    score: str
    per_class: bool
    level: float

    def __str__(self) -> str:
        kind = "each class" if self.per_class else "one"
        return f"{self.calibration} | {self.score} | {kind}, level {self.level:g}"

    def fit(self, split: Split) -> Callable[[Numbers], tuple[Labels, NDArray[np.bool_]]]:
        """Fit to a split; return a function that gives the classes, and which are named."""
        fitted = CALIBRATIONS[self.calibration](*split)
        sure, labels = fitted.apply(split[0]), split[1]
        score = SCORES[self.score]
        decision = Decision(target_risk=TARGET, never_below=0.5, confidence_level=self.level)
        if self.per_class and self.score == "probability":
            found = [one.threshold for one in class_thresholds(sure, labels, decision)]
        elif self.per_class:
            parts = [sure.argmax(1) == own for own in range(sure.shape[1])]
            found = [
                _lowest(score(sure[part]), labels[part] != own, decision)
                for own, part in enumerate(parts)
            ]
        else:
            found = [_lowest(score(sure), labels != sure.argmax(1), decision)] * sure.shape[1]
        return lambda raw: _decided(fitted.apply(raw), score, np.array(found))


def _lowest(score: Numbers, wrong: NDArray[np.bool_], decision: Decision) -> float:
    """Return the threshold of any score, which may be negative; infinity if there is none."""
    found = lowest_threshold(score, wrong, decision)
    return np.inf if found is None else (found or -np.inf)


def _decided(
    sure: Numbers, score: Callable[[Numbers], Numbers], thresholds: Numbers
) -> tuple[Labels, NDArray[np.bool_]]:
    return sure.argmax(1), score(sure) >= thresholds[sure.argmax(1)]


RULES = (
    Rule("of the bundle", "probability", per_class=False, level=0.95),
    Rule("of the bundle", "probability", per_class=True, level=0.5),
    Rule("vector", "probability", per_class=False, level=0.5),
    Rule("vector", "probability", per_class=True, level=0.5),
    Rule("vector", "probability", per_class=True, level=0.8),
    Rule("vector", "probability", per_class=True, level=0.95),
    Rule("vector", "margin", per_class=True, level=0.5),
    Rule("vector", "entropy", per_class=True, level=0.5),
)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="the folder of a bundle")
    parser.add_argument("packed", type=Path, help="a folder with packed faces")
    given = parser.parse_args()
    loaded = bundle.load(given.bundle)
    validation, test = (
        predicted(loaded, arrays.load(name, given.packed)) for name in ("validation", "test")
    )
    print(f"validation n = {len(validation[1])}, test n = {len(test[1])}\n")
    print(*calibration_rows(validation, test), "", sep="\n")
    print(*rule_rows(loaded, validation, test), sep="\n")


def predicted(loaded: Bundle, faces: arrays.Faces) -> Split:
    """Return the probabilities of a bundle for packed faces, and their labels."""
    parts = []
    with Progress(len(faces), "predict", "faces") as bar:
        for start in range(0, len(faces), BATCH):
            part = faces.images[start : start + BATCH]
            parts.append(loaded.probabilities(part))
            bar.update(len(part))
    return np.concatenate(parts).astype(float), faces.labels


def calibration_rows(validation: Split, test: Split) -> Iterator[str]:
    """Compare the calibrations: cross-validated on validation, and on test."""
    yield "| calibration | validation log loss, 10 folds | test log loss | test ECE | by chance |"
    yield "|---|---|---|---|---|"
    for name, fit in CALIBRATIONS.items():
        held_out = calibration.cross_validated(fit, *validation).mean()
        sure, truth = fit(*validation).apply(test[0]), test[1]
        loss = calibration_metrics.interval(calibration_metrics.log_loss, sure, truth)
        ece = calibration_metrics.interval(calibration_metrics.ece, sure, truth, biased=True)
        chance = calibration_metrics.ece_by_chance(sure)
        yield f"| {name} | {held_out:.3f} | {loss} | {ece} | {chance} |"


def rule_rows(loaded: Bundle, validation: Split, test: Split) -> Iterator[str]:
    """Compare the rules: answered, wrong, and wrong of each class's answers."""
    named = " | ".join(f"{name}: wrong of answers" for name in loaded.classes)
    own = " | ".join(f"{name} faces answered" for name in loaded.classes)
    yield f"| calibration | score | thresholds | faces | answered | wrong | {named} | {own} |"
    yield "|---" * (6 + 2 * len(loaded.classes)) + "|"
    shipped = _decided(test[0], SCORES["probability"], np.array(loaded.thresholds))
    yield f"| of the bundle | probability | of the bundle | test | {_cells(test[1], *shipped)} |"
    for rule in RULES:
        cells = _cells(validation[1], *held_out(rule, validation))
        yield f"| {rule} | validation, 10 folds | {cells} |"
        yield f"| {rule} | test | {_cells(test[1], *rule.fit(validation)(test[0]))} |"


def held_out(rule: Rule, split: Split) -> tuple[Labels, NDArray[np.bool_]]:
    """Decide about each image by a rule that is fitted to the other nine folds."""
    folds = calibration.stratified_folds(split[1])
    classes, given = np.zeros(len(folds), np.int64), np.zeros(len(folds), bool)
    for fold in range(calibration.FOLDS):
        held = folds == fold
        decide = rule.fit((split[0][~held], split[1][~held]))
        classes[held], given[held] = decide(split[0][held])
    return classes, given


def _cells(truth: Labels, predicted: Labels, given: NDArray[np.bool_]) -> str:
    wrong, names = given & (predicted != truth), range(truth.max() + 1)
    # The measures take probabilities; these are sure of the class that is named, or of none.
    sure = np.where(given, 1.0, 0.0)[:, None] * np.eye(len(names))[predicted]
    answered, risk = (
        calibration_metrics.interval(_selective(measure), sure, truth)
        for measure in (calibration_metrics.coverage, calibration_metrics.risk)
    )
    of_class = [
        f"{wrong[predicted == own].sum()} of {given[predicted == own].sum()}" for own in names
    ]
    of_faces = [f"{given[truth == own].mean():.3f}" for own in names]
    return " | ".join([str(answered), str(risk), *of_class, *of_faces])


def _selective(measure: Callable[..., Numbers]) -> calibration_metrics.Measure:
    return lambda sure, truth, weights: measure(sure, truth, weights, thresholds=np.array(0.5))


if __name__ == "__main__":
    main()
