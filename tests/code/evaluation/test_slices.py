"""Slices: weak ones are found, and random differences are not significant."""

import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT

from unveil.config import params
from unveil.config.schema import Slicing
from unveil.evaluation import slices
from unveil.evaluation.metrics import confidence_interval, confusion_matrix, macro_f1

PARAMS = params.load(ROOT / "params.yaml")
SETTING = Slicing(min_images=30, min_class_images=5)
COUNT = 600


def faces(seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    qualities = {name: generator.random(COUNT) for name in slices.LOOKS}
    rows = pd.DataFrame({"member": range(COUNT), "label": "happy", **qualities})
    glasses = generator.choice(["yes", "no"], COUNT, p=[0.2, 0.8])
    rare = np.where(np.arange(COUNT) < 4, "hat", "none")
    return rows.assign(glasses=glasses, rare=rare, subject=range(COUNT), same="one")


ROWS = faces()
TRUTH = np.random.default_rng(1).integers(0, 4, COUNT)


def scored(rows: pd.DataFrame, predicted: np.ndarray) -> dict[str, slices.Score]:
    parts = slices.make_slices(rows, faces(9), PARAMS)
    found = slices.score_slices(parts, TRUTH, predicted, classes=4, setting=SETTING)
    return {f"{score.dimension}={score.name}": score for score in found}


def erring(share: np.ndarray | float, seed: int = 2) -> np.ndarray:
    wrong = np.random.default_rng(seed).random(COUNT) < share
    return np.where(wrong, (TRUTH + 1) % 4, TRUTH)


def test_every_attribute_and_image_statistic_is_sliced_and_nothing_else():
    rows = ROWS.assign(twin_in_train=np.where(np.arange(COUNT) < 50, "learned", "none"))
    names = [str(one) for one in slices.make_slices(rows, faces(9), PARAMS)]
    thirds = [f"{name}={third}" for name in slices.LOOKS for third in ("low", "middle", "high")]
    groups = ["glasses=no", "glasses=yes", "rare=hat", "rare=none"]
    assert names == [*groups, *thirds, "twin_in_train=no twin", "twin_in_train=twin"]


def test_the_tertiles_are_those_of_train():
    train = ROWS.assign(brightness=np.linspace(0, 0.3, COUNT))
    sizes = {str(one): one.mask.sum() for one in slices.make_slices(ROWS, train, PARAMS)}
    bounds = np.quantile(train["brightness"], [1 / 3, 2 / 3])
    assert sizes["brightness=low"] == (ROWS["brightness"] < bounds[0]).sum()
    assert sizes["brightness=high"] == (ROWS["brightness"] >= bounds[1]).sum()


def test_a_face_of_unknown_group_is_in_no_slice_and_no_rest():
    rows = ROWS.assign(glasses=ROWS["glasses"].where(ROWS.index >= 100))
    for one in slices.make_slices(rows, faces(9), PARAMS)[:2]:
        assert not one.mask[:100].any()
        assert not one.rest[:100].any()


def test_the_worst_slice_has_its_score_and_p_value():
    glasses = (ROWS["glasses"] == "yes").to_numpy()
    predicted = erring(np.where(glasses, 0.5, 0.1))
    found = scored(ROWS, predicted)
    worst = slices.worst(list(found.values()))
    assert (worst.dimension, worst.name, worst.images) == ("glasses", "yes", glasses.sum())
    tables = [confusion_matrix(TRUTH[mask], predicted[mask], 4) for mask in (glasses, ~glasses)]
    assert worst.macro_f1 == confidence_interval(macro_f1, tables[0])
    assert worst.difference == pytest.approx(macro_f1(tables[0]) - macro_f1(tables[1]))
    assert worst.p < 0.02
    assert found["glasses=no"].difference == pytest.approx(-worst.difference)
    assert min(found[f"brightness={third}"].p for third in slices.THIRDS) > 0.1


def test_a_slice_of_few_images_has_no_score():
    found = scored(ROWS, erring(0.3))
    assert found["rare=hat"] == slices.Score("rare", "hat", 4)
    # Its rest is large enough, but the slice itself has no score.
    assert found["rare=none"].macro_f1 is not None
    assert found["rare=none"].p is None
    lone = np.where(TRUTH == 3, 0, TRUTH)
    parts = slices.make_slices(ROWS, faces(9), PARAMS)
    for score in slices.score_slices(parts, lone, lone, classes=4, setting=SETTING):
        assert score.macro_f1 is None
    assert slices.worst([found["rare=hat"]]) is None


def test_two_networks_are_compared_on_the_same_slices():
    parts = slices.make_slices(ROWS, faces(9), PARAMS)
    better, worse = (
        slices.worst(slices.score_slices(parts, TRUTH, erring(share), classes=4, setting=SETTING))
        for share in (0.1, 0.4)
    )
    assert better.macro_f1.value > worse.macro_f1.value


def test_without_differences_few_slices_are_significant():
    called = 0
    for seed in range(20):
        found = scored(faces(seed + 20), erring(0.3, seed))
        called += min(score.p for score in found.values() if score.p is not None) <= 0.05
    assert called <= 4
