"""Disparities between groups, class by class, agree with fairlearn."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_difference, true_positive_rate_difference

from unveil.config.schema import Slicing
from unveil.evaluation.fairness import disparities
from unveil.evaluation.slices import Slice

NAMES = ("happy", "neutral", "sad", "surprise")
COUNT = 800
GENERATOR = np.random.default_rng(0)
TRUTH = GENERATOR.integers(0, 4, COUNT)
GROUPS = GENERATOR.choice(["old", "young"], COUNT)


def parts(groups: np.ndarray) -> list[Slice]:
    known = groups != ""
    names = sorted(set(groups[known]))
    return [Slice("age", name, groups == name, known & (groups != name)) for name in names]


def found(predicted: np.ndarray, groups: np.ndarray = GROUPS, **setting: int) -> dict:
    settings = Slicing(**{"min_images": 30, "min_class_images": 5, **setting})
    all_of_them = disparities(parts(groups), TRUTH, predicted, names=NAMES, setting=settings)
    return {(one.kind, one.label): one for one in all_of_them}


UNFAIR = np.where((TRUTH == 2) & (GROUPS == "old") & (GENERATOR.random(COUNT) < 0.4), 1, TRUTH)


def test_disparities_equal_those_of_fairlearn_and_name_both_groups():
    result = found(UNFAIR)
    sad = result["equal_opportunity", "sad"]
    known = true_positive_rate_difference(TRUTH == 2, UNFAIR == 2, sensitive_features=GROUPS)
    assert sad.value == pytest.approx(known)
    assert (sad.highest, sad.lowest) == ("young", "old")
    assert sad.p < 0.01
    parity = result["demographic_parity", "neutral"]
    known = demographic_parity_difference(TRUTH == 1, UNFAIR == 1, sensitive_features=GROUPS)
    assert parity.value == pytest.approx(known)


def test_equal_treatment_is_not_significant():
    for one in found(TRUTH).values():
        assert one.p > 0.05
        if one.kind == "equal_opportunity":
            assert one.value == 0


def test_a_group_with_too_few_images_is_left_out():
    rare = np.where(np.arange(COUNT) < 12, "centenarian", GROUPS)
    wrong = np.where(np.arange(COUNT) < 12, (TRUTH + 1) % 4, TRUTH)
    for one in found(wrong, rare).values():
        assert "centenarian" not in (one.highest, one.lowest)
    none = found(TRUTH, np.where(np.arange(COUNT) < 12, "centenarian", ""))
    assert all(one.value is None and one.p is None for one in none.values())


def test_faces_of_unknown_group_are_left_out():
    unknown = np.where(np.arange(COUNT) < 200, "", GROUPS)
    before = found(UNFAIR, unknown)["equal_opportunity", "sad"]
    other = np.where(np.arange(COUNT) < 200, (UNFAIR + 1) % 4, UNFAIR)
    assert found(other, unknown)["equal_opportunity", "sad"] == before
