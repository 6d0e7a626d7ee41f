"""answers -> the sections of a report: how good, how sure, where weak, how much by heart.

Takes class probabilities and labels, no network. `evaluate` writes what this gives.
"""

from dataclasses import asdict
from functools import partial
from typing import Any

import pandas as pd

from unveil.common import metrics
from unveil.common.metrics import Labels
from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.evaluation import calibration, probability_metrics, slices
from unveil.evaluation.fairness import disparities
from unveil.evaluation.predictions import Predictions, together

Section = dict[str, Any]

TWINS = ("none", "left out", "learned")


def scores(answers: Predictions, classes: tuple[str, ...]) -> Section:
    """Give a split's accuracy, F1 and kappa with intervals, and the classes' own."""
    return {
        "images": len(answers.truth),
        **_measured(answers, "accuracy", "macro_f1", "weighted_f1", "kappa"),
        "classes": metrics.by_class(answers.confusion, classes),
        "confusion": answers.confusion.tolist(),
    }


def flip_averaged(test: Predictions, mirrored: Predictions) -> Section:
    """Give accuracy and macro-F1 of answers averaged over each image and its mirror image.

    Simonyan and Zisserman (2015, arXiv:1409.1556, section 3.2). No network is chosen by it, and
    none goes out with it: it takes twice the time.
    """
    return _measured(together([test, mirrored]), "accuracy", "macro_f1")


def certain(
    validation: Predictions, test: Predictions, target_risk: float, never_below: float = 0.5
) -> Section:
    """Choose temperature and threshold on validation, and measure on test what they give.

    ``target_kept`` is false where no threshold keeps the target; ``abstain_below`` is then what
    `calibration.named_from` gives.
    """
    heat = calibration.temperature(validation.probabilities, validation.truth)
    chosen = calibration.calibrated(validation.probabilities, heat)
    found = calibration.abstain_below(chosen, validation.truth, target_risk)
    threshold = calibration.named_from(found, target_risk, never_below)
    sure = calibration.calibrated(test.probabilities, heat)
    selected = (
        partial(measure, threshold=threshold)
        for measure in (probability_metrics.coverage, probability_metrics.risk)
    )
    coverage, risk = (probability_metrics.interval(one, sure, test.truth) for one in selected)
    raw = calibration.calibrated(test.probabilities, 1.0)
    return {
        "temperature": heat,
        "target_risk": target_risk,
        "target_kept": found is not None,
        "abstain_below": threshold,
        "coverage": coverage.value,
        "risk": risk.value,
        "test": _certainty(sure, test.truth) | {"coverage": asdict(coverage), "risk": asdict(risk)},
        "uncalibrated": _certainty(raw, test.truth),
        "reliability": probability_metrics.reliability(sure, test.truth),
        "risk_coverage": _risk_coverage(sure, test.truth),
    }


def sliced(test: Predictions, rows: pd.DataFrame, train: pd.DataFrame, params: Params) -> Section:
    """Give macro-F1 of each slice, the worst of them, and how unlike groups are treated."""
    parts = slices.of(rows, train, params)
    answers, setting = (test.truth, test.predicted), params.slices
    found = slices.scored(parts, *answers, classes=len(params.classes), setting=setting)
    unlike = disparities(parts, *answers, names=params.classes, setting=setting)
    worst = slices.worst(found)
    return {
        "slices": [asdict(one) for one in found],
        "worst": asdict(worst) if worst else None,
        "fairness": [asdict(one) for one in unlike],
    }


def gaps(learned: Predictions, validation: Predictions) -> Section:
    """Give by how much images that were learned from are answered better than validation's."""
    return {
        "images": len(learned.truth),
        **{
            name: asdict(
                metrics.gap(getattr(metrics, name), learned.confusion, validation.confusion)
            )
            for name in ("accuracy", "macro_f1")
        },
    }


def twins(test: Predictions, rows: pd.DataFrame, *, min_images: int) -> Section:
    """Give the accuracy of test images by their near twin in train, and of learned minus none.

    Memorised twins are answered better than images without. What fewer than ``min_images`` speak
    for is ``None``. Where a recipe learns from a part of train, a learned twin may not be in it.
    """
    parts = {twin: test.part((rows[TWIN] == twin).to_numpy(bool)) for twin in TWINS}
    known = {twin: one.confusion for twin, one in parts.items() if len(one.truth) >= min_images}
    both = [known[twin] for twin in ("learned", "none") if twin in known]
    return {
        twin: {
            "images": len(one.truth),
            "accuracy": asdict(metrics.interval(metrics.accuracy, known[twin]))
            if twin in known
            else None,
        }
        for twin, one in parts.items()
    } | {"difference": asdict(metrics.gap(metrics.accuracy, *both)) if len(both) == 2 else None}


def _measured(answers: Predictions, *names: str) -> Section:
    matrix = answers.confusion
    return {name: asdict(metrics.interval(getattr(metrics, name), matrix)) for name in names}


def _certainty(probabilities: probability_metrics.Numbers, truth: Labels) -> Section:
    return {
        name: asdict(
            probability_metrics.interval(
                getattr(probability_metrics, name), probabilities, truth, biased=name == "ece"
            )
        )
        for name in ("log_loss", "brier", "ece", "accuracy_at_90")
    }


def _risk_coverage(probabilities: probability_metrics.Numbers, truth: Labels) -> list[Section]:
    risks = probability_metrics.intervals(probability_metrics.risks, probabilities, truth)
    shares = probability_metrics.COVERAGES.tolist()
    return [{"coverage": share, **asdict(risk)} for share, risk in zip(shares, risks, strict=True)]
