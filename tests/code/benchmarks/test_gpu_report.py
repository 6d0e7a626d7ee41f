"""The script `gpu_report.py`, in a project with packed faces."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from tests.conftest import ROOT

from unveil.common.errors import UserError
from unveil.common.files import read_json

SCRIPT = ROOT / "scripts/gpu_report.py"


def report(place: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, SCRIPT, "--project", place, *arguments],
        env={**os.environ, "KERAS_HOME": str(place / "keras"), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, imported once: a process for each wrong argument would import TensorFlow."""
    spec = importlib.util.spec_from_file_location("gpu_report", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRONG = {
    ("--entries", "vgg61"): "unknown architecture 'vgg61'; choose from cnn3, ",
    ("--project", "absent"): "no project in 'absent': No such file or directory",
    ("--project", "empty"): "no params.yaml in ",
}


def test_an_invalid_choice_is_one_line_with_the_choices(place):
    completed = report(place, "--recipe", "huge")
    assert completed.returncode == 2
    line = "gpu_report: unknown recipe 'huge'; choose from sample, modest, full, transfer\n"
    assert completed.stderr == line


@pytest.mark.parametrize("arguments", WRONG)
def test_each_invalid_choice_is_named(place, script, monkeypatch, arguments):
    (place / "empty").mkdir()
    monkeypatch.setattr(sys, "argv", ["gpu_report", *arguments])
    with pytest.raises(UserError) as refused:
        script.main()
    assert str(refused.value).startswith(WRONG[arguments])


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_epochs_must_be_a_positive_integer(script, monkeypatch, capsys, value):
    monkeypatch.setattr(sys, "argv", ["gpu_report", "--epochs", value])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    said = capsys.readouterr().err
    assert f"argument --epochs: '{value}' is no whole number from 1 on" in said


@pytest.mark.slow  # trains two networks
def test_it_trains_what_it_can_reports_failures_and_resumes(packed):
    content = yaml.safe_load((packed / "params.yaml").read_text())
    content["architectures"]["cnn3_gray"]["filters"] = [4, 8]
    content["architectures"]["vgg16"]["weights"] = "absent.weights.h5"
    (packed / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    arguments = ("--entries", "vgg16", "cnn3_gray", "--epochs", "2")
    completed = report(packed, *arguments)
    assert completed.returncode == 1, completed.stderr[-3000:]
    folder = packed / "gpu_report"
    result = read_json(folder / "cnn3_gray/result.json", made_by="the script")
    assert result["epochs"] == 4
    table = (folder / "table.md").read_text()
    assert completed.stdout.strip() == table.strip()
    assert "| `cnn3_gray` | none | " in table
    assert "`vgg16` failed: weights 'absent.weights.h5' of vgg16.VGG16 are not available" in table
    assert not list((packed / ".checkpoints").rglob("*.npz"))

    before = (folder / "cnn3_gray/model.keras").stat().st_mtime_ns
    assert report(packed, *arguments).returncode == 1
    assert (folder / "cnn3_gray/model.keras").stat().st_mtime_ns == before

    completed = report(packed, "--entries", "vgg16", "--epochs", "1")
    assert "`vgg16` failed" in completed.stdout
    assert "| `cnn3_gray`" not in completed.stdout, "those were two epochs of each stage"
