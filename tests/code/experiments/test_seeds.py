"""Several seeds of one architecture: each trained once, published to MLflow, and summarized."""

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.training import toy
from typer.testing import CliRunner

from unveil import registry
from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.paths import SEED_REPORTS, TrainingPaths, pipeline_paths, seed_paths
from unveil.config import params
from unveil.evaluation import predictions
from unveil.evaluation.predictions import Predictions
from unveil.experiments import seeds
from unveil.training import checkpoint
from unveil.training.callbacks import SeedEachEpoch

KEY = "cnn3_gray"


def refuse(*_: object) -> None:
    raise AssertionError("an epoch is trained again")


def parameters(origin: str) -> dict[str, str]:
    found = registry.connect().search_runs(["1"], f"tags.origin = '{origin}'")
    return {run.data.params["training.seed"]: run.info.status for run in found}


@pytest.mark.slow  # three trainings
def test_each_seed_is_trained_once_and_summarized(packed, monkeypatch):
    loaded = toy(KEY)
    result = seeds.train(KEY, loaded, 2)
    assert [row["seed"] for row in result["seeds"]] == [0, 1]
    assert len({row["model_digest"] for row in result["seeds"]}) == 2
    assert json.loads((SEED_REPORTS / f"{KEY}.json").read_text()) == result
    for seed, place in enumerate((pipeline_paths(KEY), seed_paths(KEY, 1))):
        assert (place.report / "metrics.json").exists()
        assert parameters(registry.training_origin(place.model)) == {str(seed): "FINISHED"}
        assert [path.name for path in place.checkpoints.iterdir()] == ["lock"]
    monkeypatch.setattr(SeedEachEpoch, "on_epoch_begin", refuse)
    assert seeds.train(KEY, loaded, 2) == result
    with pytest.raises(AssertionError, match="trained again"):
        seeds.train(KEY, loaded, 3)
    with pytest.raises(AssertionError, match="trained again"):
        seeds.train(KEY, toy(KEY, rate=0.01), 2)
    monkeypatch.setattr(params, "load", lambda: loaded)
    completed = CliRunner().invoke(app, ["train", KEY, "--seeds", "2"], catch_exceptions=False)
    assert completed.output == seeds.table(result) + "\n"
    lines = completed.output.splitlines()
    assert lines[-2].startswith(f"{KEY}, 2 seeds: mean 0.")
    assert lines[-1].startswith(f"{KEY}, 2 seeds: ensemble (mean probabilities) 0.")


def test_the_range_of_seeds_is_limited():
    last = 2**32 - 1
    loaded = toy(KEY)
    beyond = replace(loaded, training=replace(loaded.training, seed=last))
    message = rf"^training\.seed {last} leaves fewer than 2 seeds below {2**32}$"
    with pytest.raises(UserError, match=message):
        seeds.train(KEY, beyond, 2)


def test_two_seeds_can_be_trained_concurrently(packed):
    loaded = toy(KEY)
    with (
        checkpoint.opened(KEY, loaded) as first,
        checkpoint.opened(KEY, loaded, seed_paths(KEY, 1).checkpoints) as second,
    ):
        assert first.origin != second.origin


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_mean_is_in_its_interval_and_sd_is_the_sample_sd(values):
    spread = seeds.spread(values)
    assert spread.low <= spread.mean <= spread.high
    assert spread.sd == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_the_interval_is_students():
    # Three equidistant values: t(0.975; 2) = 4.303, divided by the square root of three.
    spread = seeds.spread([0.1, 0.2, 0.3])
    assert spread.high - spread.mean == pytest.approx(0.1 * 4.303 / 3**0.5, abs=1e-4)


CLASSES = ("happy", "sad")


def reported(folder: Path, sad: list[float], score: float) -> tuple[dict[str, Any], TrainingPaths]:
    """Write one network's predictions for two happy and two sad faces."""
    probabilities = np.array([[1 - share, share] for share in sad], np.float32)
    folder.mkdir(parents=True)
    table = predictions.table(Predictions(np.array([0, 0, 1, 1]), probabilities), CLASSES)
    table.to_csv(folder / predictions.FILE, index=False)
    row = {"seed": int(folder.name), "validation_macro_f1": {"value": score}}
    return row, TrainingPaths(folder, folder, folder)


def test_the_ensemble_averages_and_is_compared_with_the_best_on_validation(tmp_path):
    # Each network is wrong about a different face, with low confidence.
    reports = [
        reported(tmp_path / "0", [0.6, 0.1, 0.9, 0.9], score=0.7),
        reported(tmp_path / "1", [0.1, 0.6, 0.9, 0.9], score=0.8),
        reported(tmp_path / "2", [0.1, 0.1, 0.4, 0.4], score=0.6),
    ]
    rows, places = map(list, zip(*reports, strict=True))
    found = seeds.ensemble(rows, places, replace(params.load(), classes=CLASSES))
    assert found["test_macro_f1"]["value"] == 1.0
    assert found["best_seed"] == 1
    assert found["lead"]["value"] == pytest.approx(1 - (2 / 3 + 4 / 5) / 2)
