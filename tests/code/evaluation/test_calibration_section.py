"""The section ``calibration`` of a report: thresholds of each class, and its sentences."""

import json

import numpy as np
import pytest
from tests.code.evaluation.test_calibration import BIASED, relabelled

from unveil.config.schema import Decision
from unveil.evaluation.calibration_section import (
    calibration_section,
    calibration_sentence,
    coverage_sentence,
)
from unveil.evaluation.predictions import Predictions

CLASSES = ("happy", "neutral", "sad", "surprise")


@pytest.fixture(scope="module")
def section() -> dict:
    """The section of a miscalibrated network, as it is written into a report."""
    validation, test = (
        Predictions(labels, raw.astype(np.float32))
        for raw, labels in (relabelled(BIASED, 1500, seed) for seed in (1, 5))
    )
    decision = Decision(target_risk=0.2, never_below=0.5, confidence_level=0.5)
    return json.loads(json.dumps(calibration_section(validation, test, decision, CLASSES)))


def test_calibration_and_thresholds_are_chosen_and_measured(section):
    assert section["method"] == "vector"
    assert (len(section["scale"]), len(section["bias"])) == (4, 4)
    assert section["abstain_below"] == min(section["thresholds"])
    assert [own["threshold"] for own in section["classes"].values()] == section["thresholds"]
    assert section["test"]["log_loss"]["value"] < section["uncalibrated"]["log_loss"]["value"]
    answers = sum(own["test_answers"] for own in section["classes"].values())
    assert section["coverage"] == pytest.approx(answers / 1500)
    wrong = sum(
        own["test_answers"] * own["test_risk"]["value"] for own in section["classes"].values()
    )
    assert section["risk"] == pytest.approx(wrong / answers)
    low, high = (section["test"]["ece_by_chance"][name] for name in ("low", "high"))
    assert low < section["test"]["ece"]["value"] < high


def test_the_sentences_name_classes_and_thresholds(section):
    said = coverage_sentence(section, 1500)
    for name, threshold in zip(CLASSES, section["thresholds"], strict=True):
        assert f"{name} {threshold:.3f}" in said
    missed = {
        name: own | {"target_kept": name != "sad"} for name, own in section["classes"].items()
    }
    other = coverage_sentence(section | {"target_kept": False, "classes": missed}, 1500)
    assert other.endswith("no threshold keeps the error rate of sad at 20% or below on validation")
    assert calibration_sentence(section).startswith("vector scaling, a scale and a bias for each")
    assert "of perfectly calibrated probabilities it would be 0.0" in calibration_sentence(section)


def test_the_section_of_an_older_report_has_one_threshold():
    older = {"temperature": 0.95, "target_risk": 0.1, "target_kept": True, "abstain_below": 0.8}
    older |= {"coverage": 0.5, "risk": 0.07}
    assert coverage_sentence(older, 100) == (
        "answers 50 of 100 test images, 7.0% of them wrong; `unsure` below 0.800, which keeps the "
        "error rate at 10% or below on validation"
    )
    assert calibration_sentence(older) == "temperature scaling, temperature 0.950"
