"""Predictions -> the sections of a report: scores, calibration, slices, overfitting.

Takes class probabilities and labels, no network. `evaluate` writes the sections.
"""

from dataclasses import asdict
from functools import partial
from typing import Any

import pandas as pd

from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.evaluation import calibration_metrics, metrics, slices, temperature_scaling
from unveil.evaluation.fairness import disparities
from unveil.evaluation.metrics import Labels
from unveil.evaluation.predictions import Predictions, average

Section = dict[str, Any]

TWINS = ("none", "left out", "learned")


def scores(answers: Predictions, classes: tuple[str, ...]) -> Section:
    """Return a split's accuracy, F1 and kappa with intervals, per-class metrics and confusion."""
    return {
        "images": len(answers.truth),
        **_measured(answers, "accuracy", "macro_f1", "weighted_f1", "kappa"),
        "classes": metrics.per_class(answers.confusion, classes),
        "confusion": answers.confusion.tolist(),
    }


def flip_averaged(test: Predictions, mirrored: Predictions) -> Section:
    """Return accuracy and macro-F1 of predictions averaged over each image and its mirror image.

    Simonyan and Zisserman (2015, arXiv:1409.1556, section 3.2). For information only: it takes
    twice the time, and neither model selection nor serving uses it.
    """
    return _measured(average([test, mirrored]), "accuracy", "macro_f1")


def calibration_section(
    validation: Predictions, test: Predictions, target_risk: float, never_below: float = 0.5
) -> Section:
    """Fit temperature and threshold on validation, and evaluate both on test.

    ``target_kept`` is false if no threshold keeps the target; ``abstain_below`` is always the
    result of `temperature_scaling.decision_threshold`.
    """
    temperature = temperature_scaling.fit_temperature(validation.probabilities, validation.truth)
    chosen = temperature_scaling.apply_temperature(validation.probabilities, temperature)
    found = temperature_scaling.abstain_below(chosen, validation.truth, target_risk)
    threshold = temperature_scaling.decision_threshold(found, target_risk, never_below)
    sure = temperature_scaling.apply_temperature(test.probabilities, temperature)
    selected = (
        partial(measure, threshold=threshold)
        for measure in (calibration_metrics.coverage, calibration_metrics.risk)
    )
    coverage, risk = (calibration_metrics.interval(one, sure, test.truth) for one in selected)
    raw = temperature_scaling.apply_temperature(test.probabilities, 1.0)
    return {
        "temperature": temperature,
        "target_risk": target_risk,
        "target_kept": found is not None,
        "abstain_below": threshold,
        "coverage": coverage.value,
        "risk": risk.value,
        "test": _certainty(sure, test.truth) | {"coverage": asdict(coverage), "risk": asdict(risk)},
        "uncalibrated": _certainty(raw, test.truth),
        "reliability": calibration_metrics.reliability(sure, test.truth),
        "risk_coverage": _risk_coverage(sure, test.truth),
    }


def coverage_sentence(section: Section, images: int) -> str:
    """Say how many of the ``images`` of test are answered, how many wrongly, and what is assured.

    The threshold is chosen on validation. It is assured only if the target is kept there with 95 %
    confidence, so a low error rate on test is possible without it.
    """
    answered = round(section["coverage"] * images)
    wrong = f", {section['risk']:.1%} of them wrong" if answered else ""
    said = (
        f"answers {answered:,} of {images:,} test images{wrong}; `unsure` below a confidence of "
        f"{section['abstain_below'] or 0:.3f}"
    )
    target = f"an error rate of at most {section['target_risk']:.0%}"
    if section["target_kept"]:
        return f"{said}, which on validation assures {target}"
    return f"{said}; validation is too small, or its answers too often wrong, to assure {target}"


def slice_section(
    test: Predictions, rows: pd.DataFrame, train: pd.DataFrame, params: Params
) -> Section:
    """Return macro-F1 of each slice, the worst slice, and disparities between groups."""
    parts = slices.make_slices(rows, train, params)
    answers, setting = (test.truth, test.predicted), params.slices
    found = slices.score_slices(parts, *answers, classes=len(params.classes), setting=setting)
    fairness = disparities(parts, *answers, names=params.classes, setting=setting)
    worst = slices.worst(found)
    return {
        "slices": [asdict(one) for one in found],
        "worst": asdict(worst) if worst else None,
        "fairness": [asdict(one) for one in fairness],
    }


def generalization_gap(learned: Predictions, validation: Predictions) -> Section:
    """Return the scores on training images minus those on validation images."""
    return {
        "images": len(learned.truth),
        **{
            name: asdict(
                metrics.unpaired_difference(
                    getattr(metrics, name), learned.confusion, validation.confusion
                )
            )
            for name in ("accuracy", "macro_f1")
        },
    }


def near_twin_section(test: Predictions, rows: pd.DataFrame, *, min_images: int) -> Section:
    """Return test accuracy by near twin in train, and the difference learned minus none.

    A network that memorised training images scores higher on their twins. Values from fewer than
    ``min_images`` images are ``None``. If a recipe trains on a part of train, a twin counted as
    learned may not be in that part.
    """
    parts = {twin: test.subset((rows[TWIN] == twin).to_numpy(bool)) for twin in TWINS}
    known = {twin: one.confusion for twin, one in parts.items() if len(one.truth) >= min_images}
    both = [known[twin] for twin in ("learned", "none") if twin in known]
    return {
        twin: {
            "images": len(one.truth),
            "accuracy": asdict(metrics.confidence_interval(metrics.accuracy, known[twin]))
            if twin in known
            else None,
        }
        for twin, one in parts.items()
    } | {
        "difference": asdict(metrics.unpaired_difference(metrics.accuracy, *both))
        if len(both) == 2
        else None
    }


def summary(report: Section) -> list[str]:
    """Return a report in two or three lines: macro-F1, coverage and the worst slice."""
    test, worst = report["test"], report["slices"]["worst"]
    lines = [
        f"test macro-F1 {metrics.format_estimate(test['macro_f1'])}, n = {test['images']}",
        coverage_sentence(report["calibration"], test["images"]),
    ]
    if worst:
        name, value = f"{worst['dimension']}={worst['name']}", worst["macro_f1"]["value"]
        lines.append(f"worst slice {name}, macro-F1 {value:.3f}, n = {worst['images']}")
    return lines


def _measured(answers: Predictions, *names: str) -> Section:
    matrix = answers.confusion
    return {
        name: asdict(metrics.confidence_interval(getattr(metrics, name), matrix)) for name in names
    }


def _certainty(probabilities: calibration_metrics.Numbers, truth: Labels) -> Section:
    return {
        name: asdict(
            calibration_metrics.interval(
                getattr(calibration_metrics, name), probabilities, truth, biased=name == "ece"
            )
        )
        for name in ("log_loss", "brier", "ece", "accuracy_at_90")
    }


def _risk_coverage(probabilities: calibration_metrics.Numbers, truth: Labels) -> list[Section]:
    risks = calibration_metrics.intervals(calibration_metrics.risks, probabilities, truth)
    shares = calibration_metrics.COVERAGES.tolist()
    return [{"coverage": share, **asdict(risk)} for share, risk in zip(shares, risks, strict=True)]
