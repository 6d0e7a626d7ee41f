"""Predictions -> the sections of a report: scores, slices, overfitting.

Takes class probabilities and labels, no network. `evaluate` writes the sections.
"""

from dataclasses import asdict
from typing import Any

import pandas as pd

from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.evaluation import metrics, slices
from unveil.evaluation.calibration_section import coverage_sentence
from unveil.evaluation.fairness import disparities
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
