"""Predictions -> the section ``calibration`` of a report, and its sentences.

Calibration and thresholds are chosen on validation; the measures are those of test.
"""

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from unveil.common.thresholds import describe_thresholds
from unveil.config.schema import Decision
from unveil.evaluation import calibration, calibration_metrics
from unveil.evaluation.abstention import ClassThreshold, class_thresholds
from unveil.evaluation.calibration_metrics import Numbers, intervals
from unveil.evaluation.metrics import Labels, confidence_interval, confusion_matrix, macro_f1
from unveil.evaluation.predictions import Predictions

Section = dict[str, Any]


def calibration_section(
    validation: Predictions, test: Predictions, decision: Decision, classes: tuple[str, ...]
) -> Section:
    """Choose calibration and thresholds on validation, and evaluate both on test.

    ``target_kept`` is false if no threshold keeps the target for one of the classes;
    ``abstain_below`` is the lowest threshold.
    """
    chosen, losses = calibration.choose(validation.probabilities, validation.truth)
    rules = class_thresholds(chosen.apply(validation.probabilities), validation.truth, decision)
    thresholds = np.array([one.threshold for one in rules])
    sure, truth = chosen.apply(test.probabilities), test.truth
    answers = {
        name: _interval(measure, sure, truth, thresholds=thresholds)
        for name, measure in _SELECTIVE.items()
    }
    return {
        "temperature": chosen.temperature,
        **asdict(chosen),
        "cross_validated_log_loss": losses,
        **asdict(decision),
        "target_kept": all(one.target_kept for one in rules),
        "abstain_below": float(thresholds.min()),
        "thresholds": thresholds.tolist(),
        "classes": {name: _class(place, rules, sure, truth) for place, name in enumerate(classes)},
        **{name: estimate["value"] for name, estimate in answers.items()},
        "test": _certainty(sure, truth) | answers | _by_chance(sure, truth),
        "uncalibrated": _certainty(test.probabilities.astype(float), truth),
        "reliability": calibration_metrics.reliability(sure, truth),
        "risk_coverage": _risk_coverage(sure, truth),
    }


def coverage_sentence(section: Section, images: int) -> str:
    """Say how many of the ``images`` of test are answered, how many wrongly, and what is kept.

    The thresholds are chosen on validation, so an error rate on test may be above the target.
    """
    answered = round(section["coverage"] * images)
    wrong = f", {section['risk']:.1%} of them wrong" if answered else ""
    names = list(section.get("classes", [""]))
    below = describe_thresholds(names, section.get("thresholds", [section["abstain_below"] or 0]))
    said = f"answers {answered:,} of {images:,} test images{wrong}; `unsure` below {below}"
    target = f"at {section['target_risk']:.0%} or below on validation"
    if section["target_kept"]:
        whose = " of each class" if "classes" in section else ""  # not in older reports
        return f"{said}, which keeps the error rate{whose} {target}"
    missed = [name for name, own in section.get("classes", {}).items() if not own["target_kept"]]
    whose = ", ".join(missed) if len(missed) < len(names) else ""
    return f"{said}; no threshold keeps the error rate of {whose or 'any class'} {target}"


def calibration_sentence(section: Section) -> str:
    """Say how the probabilities are calibrated, and how far they are from chance on test."""
    losses = section.get("cross_validated_log_loss", {})
    how = f"temperature scaling, temperature {section['temperature']:.3f}"
    if section.get("method") == "vector":
        how = "vector scaling, a scale and a bias for each class"
    compared = (
        f" (cross-validated log loss on validation: vector scaling {losses['vector']:.3f}, "
        f"temperature scaling {losses['temperature']:.3f})"
        if losses
        else ""
    )
    chance = section["test"].get("ece_by_chance") if "test" in section else None
    if not chance:
        return f"{how}{compared}"
    return (
        f"{how}{compared}; ECE {section['test']['ece']['value']:.3f}, of perfectly calibrated "
        f"probabilities it would be {chance['value']:.3f} on average, and {chance['high']:.3f} at "
        "most in 39 of 40 such test sets"
    )


_SELECTIVE = {"coverage": calibration_metrics.coverage, "risk": calibration_metrics.risk}


def _class(label: int, rules: list[ClassThreshold], sure: Numbers, truth: Labels) -> Section:
    """Return the threshold of a class, and on test its answers and their error rate."""
    thresholds = np.array([one.threshold for one in rules])
    given, own = calibration_metrics.answered(sure, thresholds), truth == label
    named = given & (sure.argmax(1) == label)
    wrong = named & ~own
    return {
        **asdict(rules[label]),
        "test_answers": int(named.sum()),
        "test_risk": asdict(calibration_metrics.proportion(int(wrong.sum()), int(named.sum()))),
        "test_coverage": float(given[own].mean()) if own.any() else 0.0,
    }


def _certainty(probabilities: Numbers, truth: Labels) -> Section:
    return {
        name: _interval(getattr(calibration_metrics, name), probabilities, truth)
        for name in ("log_loss", "brier", "ece", "accuracy_at_90")
    }


def _interval(measure: Any, probabilities: Numbers, truth: Labels, **fixed: Any) -> Section:
    is_biased = measure is calibration_metrics.ece
    measured = partial(measure, **fixed)
    return asdict(calibration_metrics.interval(measured, probabilities, truth, biased=is_biased))


def _by_chance(sure: Numbers, truth: Labels) -> Section:
    """Return the ECE of perfect calibration, and macro-F1 of the classes after calibration."""
    matrix = confusion_matrix(truth, sure.argmax(1), sure.shape[1])
    return {
        "ece_by_chance": asdict(calibration_metrics.ece_by_chance(sure)),
        "macro_f1": asdict(confidence_interval(macro_f1, matrix)),
    }


def _risk_coverage(probabilities: Numbers, truth: Labels) -> list[Section]:
    risks = intervals(calibration_metrics.risks, probabilities, truth)
    shares = calibration_metrics.COVERAGES.tolist()
    return [{"coverage": share, **asdict(risk)} for share, risk in zip(shares, risks, strict=True)]
