"""A report is complete and consistent with its predictions."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT, pack
from tests.support.training import spread_answers, toy

from unveil.common.errors import UserError
from unveil.common.paths import MODELS, REPORTS
from unveil.dataset import arrays
from unveil.evaluation import evaluate, metrics
from unveil.training import train

KEY = "cnn3_gray"
HISTORY = pd.DataFrame(
    {
        "epoch": range(4),
        "stage": [1, 1, 2, 2],
        "seconds": [9.0, 1.0, 8.0, 2.0],
        **dict.fromkeys(("loss", "val_loss", "macro_f1", "val_macro_f1"), 0.5),
    }
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A project with an evaluated network of random weights."""
    folder = tmp_path_factory.mktemp("evaluated")
    shutil.copy(ROOT / "params.yaml", folder)
    pack(folder, train=160, validation=120, test=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        loaded = toy(KEY)
        keras.utils.set_random_seed(0)
        network = loaded.architectures[KEY].build(48, 4)
        spread_answers(network, arrays.load("test").images)
        train.save(train.TrainingResult(network, HISTORY), MODELS / KEY)
        evaluate.evaluate(KEY, loaded)
    return folder


@pytest.fixture(autouse=True)
def inside(place, monkeypatch) -> None:
    monkeypatch.chdir(place)


def report() -> dict:
    return json.loads((REPORTS / KEY / "metrics.json").read_text())


def test_a_report_is_complete():
    made = sorted(path.name for path in (REPORTS / KEY).iterdir())
    pictures = ["certainty.png", "confusion.png", "curves.png"]
    tables = ["metrics.json", "predictions.csv", "scores.json"]
    assert made == [*pictures, *tables, "slices.png"]
    short = json.loads((REPORTS / KEY / "scores.json").read_text())
    assert short["test_macro_f1"] == round(report()["test"]["macro_f1"]["value"], 3)
    assert set(short) == set(evaluate.HEADLINE)
    assert {"train", "validation", "test", "calibration", "slices", "overfitting"} <= set(report())


def test_the_predictions_match_the_metrics():
    table = pd.read_csv(REPORTS / KEY / "predictions.csv")
    names = [column.removeprefix("p_") for column in table if column.startswith("p_")]
    assert list(arrays.load_metadata("test")["label"]) == list(table["actual"])
    truth, predicted = (table[name].map(names.index).to_numpy() for name in ("actual", "predicted"))
    matrix = metrics.confusion_matrix(truth, predicted, 4)
    assert report()["test"]["confusion"] == matrix.tolist()
    assert report()["test"]["kappa"]["value"] == pytest.approx(float(metrics.kappa(matrix)))


def test_the_calibration_section_has_thresholds_and_target():
    section = report()["calibration"]
    # No part of an untrained network's answers is right nine times of ten.
    assert not section["target_kept"]
    # So the thresholds are the one implied by the confidence itself.
    assert (section["target_risk"], section["abstain_below"]) == (0.1, 0.9)
    assert section["thresholds"] == [0.9] * 4
    assert list(section["classes"]) == ["happy", "neutral", "sad", "surprise"]
    assert section["classes"]["sad"]["test_answers"] == 0
    assert (section["coverage"], section["risk"]) == (0.0, 0.0)
    wrong = 1 - report()["test"]["accuracy"]["value"]
    # Vector scaling may change the class of a few faces.
    assert section["risk_coverage"][-1]["value"] == pytest.approx(wrong, abs=0.1)
    assert section["test"]["log_loss"]["value"] <= section["uncalibrated"]["log_loss"]["value"]
    assert sum(one["images"] for one in section["reliability"]) == 120


def test_the_report_has_slices_fairness_and_overfitting():
    slices = report()["slices"]
    dimensions = {one["dimension"] for one in slices["slices"]}
    assert dimensions == {"brightness", "contrast", "sharpness", "glasses"}
    assert slices["worst"] in slices["slices"]
    kinds = {(one["kind"], one["dimension"], one["label"]) for one in slices["fairness"]}
    assert ("equal_opportunity", "glasses", "sad") in kinds
    assert ("demographic_parity", "glasses", "sad") in kinds
    gap, twins = (report()["overfitting"][name] for name in ("gap", "twins"))
    # The toy recipe trains on 32 of the 160 faces of train.
    assert gap["images"] == 32
    assert gap["macro_f1"]["low"] <= gap["macro_f1"]["value"] <= gap["macro_f1"]["high"]
    assert twins["none"]["images"] == 120
    assert twins["learned"] == {"images": 0, "accuracy": None}
    assert twins["difference"] is None


def test_the_flip_averaged_score_averages_face_and_mirror_image():
    network, test = train.load(MODELS / KEY / "model.keras"), arrays.load("test")
    both = sum(
        network.predict(images, verbose=0) for images in (test.images, np.flip(test.images, axis=2))
    )
    matrix = metrics.confusion_matrix(test.labels, both.argmax(1), 4)
    found = report()["flip_averaged"]["macro_f1"]["value"]
    assert found == pytest.approx(float(metrics.macro_f1(matrix)))
    assert found != pytest.approx(report()["test"]["macro_f1"]["value"])


def test_flat_metrics_have_fixed_names_and_an_older_report_has_fewer():
    flat = evaluate.flat(report())
    assert set(flat) == set(evaluate.FLAT)
    assert len(flat) < 30
    assert flat["test_ece"] == report()["calibration"]["test"]["ece"]["value"]
    older = {key: value for key, value in report().items() if key != "calibration"}
    assert set(flat) - set(evaluate.flat(older)) == {
        *(f"test_{name}" for name in ("log_loss", "brier", "ece", "accuracy_at_90")),
        *("test_coverage", "test_risk", "temperature"),
    }


def test_evaluating_twice_gives_identical_bytes():
    before = (REPORTS / KEY / "metrics.json").read_bytes()
    evaluate.evaluate(KEY, toy(KEY))
    assert (REPORTS / KEY / "metrics.json").read_bytes() == before


def test_non_finite_probabilities_are_refused():
    class Broken:
        def predict(self, images, **settings):
            return np.full((len(images), 4), np.nan)

    with pytest.raises(UserError, match=r"^the network's probabilities are not finite$"):
        evaluate.probabilities(Broken(), np.zeros((2, 48, 48, 1), np.uint8))
