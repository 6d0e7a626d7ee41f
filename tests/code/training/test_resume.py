"""A run killed with SIGKILL at random moments and resumed ends with the same bits."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import ROOT
from tests.support import bundles, servers
from tests.support.prefect_project import within
from tests.support.training import digest, toy

from unveil.common.paths import MODELS
from unveil.experiments import tracked_training
from unveil.registry import connection
from unveil.training import train as trains
from unveil.training.callbacks import SeedEachEpoch

TRAININGS = [
    ("cnn3_gray", "plateau", "float32"),
    ("vgg16", "cosine", "float32"),
    ("cnn3_gray", "plateau", "bfloat16"),
]


def start(folder: Path, *training: str, **kill: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.training", *training],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **kill},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.fixture(scope="module")
def uninterrupted() -> dict:
    return {}


def whole(uninterrupted: dict, place: Path, training: tuple[str, ...]) -> str:
    """The output of an uninterrupted run; cached."""
    if training not in uninterrupted:
        uninterrupted[training] = ended(start(place, *training))
    return uninterrupted[training]


@pytest.mark.fault("SIGKILL of a training, stage 1", 2)
@pytest.mark.fault("SIGKILL of a training, stage 2", 2)
@pytest.mark.parametrize(
    ("training", "seed"),
    [
        (TRAININGS[0], 0),
        pytest.param(TRAININGS[0], 1, marks=pytest.mark.slow),
        pytest.param(TRAININGS[1], 0, marks=pytest.mark.slow),
        pytest.param(TRAININGS[2], 0, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_twice_in_each_stage_ends_with_the_same_weights(
    packed, uninterrupted, training, seed
):
    expected = whole(uninterrupted, packed, training)
    chance = random.Random(f"{training}{seed}")
    for epoch in (0, chance.choice((1, 2)), 3, 4):
        after = chance.uniform(0, 0.05)
        killed = start(packed, *training, DIE_AT=str(epoch), DIE_AFTER=str(after))
        killed.communicate(timeout=300)
        assert killed.returncode == -9, (epoch, after)
    assert ended(start(packed, *training)) == expected
    assert [path.name for path in (packed / ".checkpoints" / training[0]).iterdir()] == ["lock"]


@pytest.mark.fault("SIGKILL of a distillation", 3)
def test_a_distillation_that_is_killed_ends_with_the_same_weights(packed):
    teacher = str(bundles.made(packed / "teacher"))
    expected = ended(start(packed, *TRAININGS[0], TEACHER=teacher))
    for epoch in (0, 2, 4):
        killed = start(packed, *TRAININGS[0], TEACHER=teacher, DIE_AT=str(epoch), DIE_AFTER="0")
        killed.communicate(timeout=300)
        assert killed.returncode == -9, epoch
        assert len(list((packed / ".checkpoints").rglob("views/*.npz"))) == 2
    assert ended(start(packed, *TRAININGS[0], TEACHER=teacher)) == expected
    assert [path.name for path in (packed / ".checkpoints/cnn3_gray").iterdir()] == ["lock"]


@pytest.mark.fault("two trainings of one architecture")
def test_of_two_concurrent_runs_one_is_refused_and_the_other_unharmed(packed, uninterrupted):
    training = TRAININGS[0]
    expected = whole(uninterrupted, packed, training)
    both = [start(packed, *training) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert expected in [out for out, _ in outputs]
    assert any("cnn3_gray is already being trained in this checkout" in err for _, err in outputs)


@pytest.mark.fault("SIGKILL of a training, stage 2")
@pytest.mark.fault("checkpoint damaged")
def test_a_damaged_checkpoint_costs_an_epoch_and_not_the_result(packed, uninterrupted):
    training = TRAININGS[0]
    expected = whole(uninterrupted, packed, training)
    start(packed, *training, DIE_AT="4", DIE_AFTER="0").communicate(timeout=300)
    newest = max((packed / ".checkpoints").rglob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:-1])
    again = start(packed, *training)
    output, errors = again.communicate(timeout=300)
    assert f"{newest.name} is not used" in errors
    assert output == expected


@pytest.mark.fault("out of memory")
def test_out_of_memory_is_one_line_and_keeps_the_checkpoints(packed):
    starved = start(packed, *TRAININGS[0], STARVE_AT="2")
    _, errors = starved.communicate(timeout=300)
    assert starved.returncode == 1
    assert "UserError: cnn3_gray: out of memory at batch_size 8; lower it\n" in errors
    assert len(list((packed / ".checkpoints").rglob("*.npz"))) == 2


def refuse(*_: object) -> None:
    raise AssertionError("an epoch is trained again")


def origin(key: str) -> str:
    return json.loads((MODELS / key / "run.json").read_text())["origin"]


@pytest.mark.fault("SIGKILL of a training, its files written")
def test_a_run_killed_before_dvc_cached_its_files_writes_them_again_without_training(
    packed, monkeypatch
):
    key, decay, _ = TRAININGS[0]
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{servers.free_port()}"}
    killed = start(packed, *TRAININGS[0], RECORDED="1", **away)
    within(120, (MODELS / key / "run.json").exists)
    killed.kill()
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    before = digest(trains.load(MODELS / key / "model.keras")), origin(key)
    history = pd.read_csv(MODELS / key / "history.csv")
    shutil.rmtree(MODELS / key)  # as DVC does before it reruns the stage

    monkeypatch.setenv(*away.popitem())
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT", 1)
    monkeypatch.setattr(SeedEachEpoch, "on_epoch_begin", refuse)
    again = tracked_training.train(key, toy(key, decay=decay))
    assert (digest(again.network), origin(key)) == before
    assert pd.read_csv(MODELS / key / "history.csv").equals(history)
