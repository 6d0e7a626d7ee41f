"""Trainings of one task, grouped by environment: real runs in a real MLflow."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mlflow import MlflowClient

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.files import write_json
from unveil.common.paths import HARDWARE
from unveil.config import provenance
from unveil.experiments import hardware

CPU = {"hardware.cpu": "AMD EPYC", "hardware.cores": "2", "hardware.gpu": "none"}
GPU = {"hardware.cpu": "Xeon", "hardware.cores": "8", "hardware.gpu": "NVIDIA H100 80GB HBM3"}
KERAS = {"computed.backend": "jax 0.10", "computed.precision": "float32"}


@pytest.fixture
def client(place) -> MlflowClient:
    return registry.connect()


def ran(
    client: MlflowClient, key: str, seconds: float, tags: dict, *, known: bool = True, **other: str
) -> None:
    """Log an evaluated training in an environment, with ``other`` parameters."""
    experiment = client.get_experiment_by_name("facial-emotion").experiment_id
    run = client.create_run(experiment, tags={"architecture": key, **KERAS, **tags}).info.run_id
    for name, value in {"recipe": "full", "train_images": "all", **other}.items():
        client.log_param(run, name, value)
    scores = {"test_macro_f1": 0.7, "test_accuracy": 0.75, "seconds_per_epoch": seconds}
    for name, value in scores.items():
        client.log_metric(run, name, value)
    if known:
        estimate = {"value": 0.7, "low": 0.65, "high": 0.752}
        write_json(Path("metrics.json"), {"test": {"macro_f1": estimate, "accuracy": estimate}})
        client.log_artifact(run, "metrics.json", "report")


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_same_training_on_two_machines_has_intervals_and_cost(client):
    ran(client, "cnn3", 9.0, {**CPU, "computed.devices": "cpu:0"})
    ran(client, "cnn3", 30.0, {**CPU, "computed.devices": "cpu:0"}, known=False)
    ran(client, "cnn3", 12.0, {**CPU, "computed.devices": "cpu:0"})
    ran(client, "cnn3", 1.5, {**GPU, "computed.devices": "gpu:0"})
    ran(client, "cnn4", 20.0, {**GPU, "computed.devices": "cpu:0"}, known=False)
    text = hardware.compare(hardware.parse_prices(["h100=2.40", "epyc=0.3"]))
    assert text == HARDWARE.read_text()
    score = "0.700 [0.650, 0.752]"
    assert cells(text) == [
        [
            *("`cnn3`", "full, all images", "NVIDIA H100 80GB HBM3", "jax 0.10", "float32"),
            *("1", "1.50", "1.00", score, score, "0.001"),
        ],
        [
            *("`cnn3`", "full, all images", "AMD EPYC, 2 cores", "jax 0.10", "float32"),
            *("3", "12.00", "8.00", score, score, "0.001"),
        ],
        [
            *("`cnn4`", "full, all images", "Xeon, 8 cores", "jax 0.10", "float32"),
            *("1", "20.00", "1.00", "0.750", "0.700", ""),
        ],
    ]


def test_other_parameters_are_another_task_and_another_seed_is_not(client):
    first, second = {"network.filters": "(8, 8)"}, {"network.filters": "(16, 16)"}
    ran(client, "cnn3", 9.0, CPU, known=False, **first, **{"training.seed": "0"})
    ran(client, "cnn3", 7.0, CPU, known=False, **first, **{"training.seed": "1"})
    ran(client, "cnn3", 30.0, CPU, known=False, **second, **{"training.seed": "0"})
    ran(client, "cnn4", 20.0, CPU, known=False)
    rows = {row[6]: row for row in cells(hardware.compare({}))}
    assert {seconds: row[5] for seconds, row in rows.items()} == {
        "8.00": "2",
        "30.00": "1",
        "20.00": "1",
    }
    assert {row[7] for row in rows.values()} == {"1.00"}
    labels = [rows[seconds][1] for seconds in ("8.00", "30.00")]
    assert all(re.fullmatch(r"full, all images, settings [0-9a-f]{8}", one) for one in labels)
    assert labels[0] != labels[1]
    assert rows["20.00"][1] == "full, all images"


def test_a_price_for_an_unknown_machine_names_the_machines(client):
    ran(client, "cnn3", 9.0, CPU, known=False)
    with pytest.raises(UserError, match=r"^unknown machine 'V100'; choose from AMD EPYC, 2 cores$"):
        hardware.compare({"V100": 1.0})


def test_runs_without_evaluation_are_ignored(client):
    client.create_run(client.get_experiment_by_name("facial-emotion").experiment_id)
    with pytest.raises(UserError, match=r"^MLflow has no evaluated training; `unveil publish`"):
        hardware.compare({})


@pytest.mark.parametrize(
    "option", ["H100", "=2", "H100=cheap", "H100=-1", "H100=nan", "H100=inf", "H100=1e9"]
)
def test_an_invalid_price_shows_the_format(option):
    with pytest.raises(UserError, match=r"write NAME=EUR_PER_HOUR, such as H100=2\.50$"):
        hardware.parse_prices([option])


def test_two_prices_for_one_machine_are_refused():
    with pytest.raises(UserError, match="two prices for 'H100': H100=2, H100=3; give one"):
        hardware.parse_prices(["H100=2", "H100=3"])
    known = {"NVIDIA H100 80GB HBM3"}
    with pytest.raises(UserError, match="two prices for 'NVIDIA H100 80GB HBM3': 2 and 3, by 'NV"):
        hardware.prices_by_machine({"H100": 2.0, "NVIDIA": 3.0}, known)
    assert hardware.prices_by_machine({"H100": 2.0, "NVIDIA": 2.0}, known) == dict.fromkeys(
        known, 2.0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "colour"], "unknown comparison 'colour'; choose from architecture, hardware"),
        (
            ["--price", "H100=2"],
            "--price needs --by hardware: `unveil compare --by hardware",
        ),
    ],
)
def test_an_invalid_comparison_is_one_line(place, arguments, message):
    command = [sys.executable, "-m", "unveil", "compare", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"unveil: {message}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(("visible", "named"), [(None, 2), ("1", 1), ("", 0), ("-1", 0)])
def test_only_visible_gpus_are_reported(tmp_path, monkeypatch, visible, named):
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\ncase "$1" in --id=*) echo A;; *) echo A; echo B;; esac\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert provenance.hardware()["gpu"] == (", ".join("AB"[:named]) or "none")


def test_requirements_include_the_training_backend():
    needed = {one.split("==")[0] for one in provenance.requirements()}
    assert {"keras", "numpy"} < needed
    assert needed & ({"tensorflow", "tensorflow-cpu"} if find_spec("tensorflow") else {"jax"})
