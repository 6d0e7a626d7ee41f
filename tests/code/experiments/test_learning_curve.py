"""A learning curve trains on shares and does not touch the training on all faces."""

import json
from dataclasses import replace

import pytest
from tests.support.training import toy

from unveil.common.files import write_json
from unveil.common.paths import CHECKPOINTS, LEARNING_CURVES, MODELS
from unveil.config.params import Params
from unveil.experiments import learning_curve as curves
from unveil.training import checkpoint, train

KEY = "cnn3_gray"


@pytest.fixture
def loaded(packed) -> Params:
    """The toy parameters with one epoch per stage."""
    params = toy(KEY)
    schedule = params.schedules[KEY]
    short = tuple(replace(stage, epochs=1) for stage in schedule.stages)
    params.schedules[KEY] = replace(schedule, stages=short)
    return params


@pytest.mark.slow
def test_each_share_is_trained_scored_and_plotted(loaded):
    points = curves.learning_curve(KEY, loaded)
    assert [(point["share"], point["images"]) for point in points] == [
        (0.25, 8),
        (0.5, 16),
        (1, 32),
    ]
    made = json.loads((LEARNING_CURVES / KEY / "curve.json").read_text())
    assert made == {"architecture": KEY, "points": points}
    assert [line.split(" | ")[0] for line in curves.table(points).splitlines()[2:]] == [
        "| 25 %",
        "| 50 %",
        "| 100 %",
    ]
    # Only the checkpoints of the full training remain, from which `unveil train` resumes.
    kept = [path.name for path in (CHECKPOINTS / KEY).iterdir() if any(path.glob("*.npz"))]
    assert kept == [checkpoint.identity(KEY, loaded)]


def test_an_existing_model_is_not_trained_again(loaded, monkeypatch):
    with checkpoint.opened(KEY, loaded) as kept:
        train.save(train.train(KEY, loaded, kept, lambda row: None), MODELS / KEY)
        write_json(MODELS / KEY / "run.json", {"training": kept.identity})
    learned = []
    whole = train.train
    monkeypatch.setattr(train, "train", lambda key, *rest: learned.append(key) or whole(key, *rest))
    points = curves.learning_curve(KEY, loaded, shares=(0.5, 1.0))
    assert learned == [KEY]
    assert [(point["share"], point["images"]) for point in points] == [(0.5, 16), (1.0, 32)]
    assert (LEARNING_CURVES / KEY / "curve.png").stat().st_size > 1000
