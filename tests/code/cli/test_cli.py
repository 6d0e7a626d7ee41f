"""The command line: fast help, one-line errors with exit code 2, never a traceback."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from unveil.cli import app
from unveil.cli.commands import EXAMPLES, PANELS

VERBS = ("sample", "ingest", "manifest", "validate", "pack", "train", "evaluate", "compare")
VERBS += ("promote", "rollback", "champion", "export", "predict", "run", "remote", "data")
VERBS += ("serve", "token")
HEAVY = ("keras", "tensorflow", "mlflow", "great_expectations", "pandas", "sklearn", "boto3", "dvc")
HEAVY += ("cleanlab", "skimage", "av", "onnx", "onnxruntime", "fastapi", "uvicorn")


def unveil(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_lists_every_command():
    result = unveil("--help")
    assert result.returncode == 0
    assert [verb for verb in VERBS if f" {verb} " not in result.stdout] == []
    assert [panel for panel in PANELS if f" {panel} " not in result.stdout] == []


def test_every_command_is_in_one_panel_and_every_example_is_one_of_a_command():
    shown = get_command(app).commands
    named = [name for names in PANELS.values() for name in names]
    assert sorted(named) == sorted(shown)
    for name, examples in EXAMPLES.items():
        epilog = shown[name].epilog
        assert all(one in epilog and f"unveil {name}" in one for one in examples)


def test_an_option_that_is_given_twice_is_an_error():
    result = unveil("predict", "a.png", "--bundle", "starter", "--bundle", "champion")
    assert result.returncode == 2
    assert "Error: --bundle is given 2 times; give it once" in result.stderr
    assert unveil("compare", "--price", "a=1", "--price", "b=2").stderr.startswith(
        "unveil: --price needs --by hardware"
    )


def test_the_shell_completes_commands():
    environment = {**os.environ, "_UNVEIL_COMPLETE": "complete_bash", "COMP_WORDS": "unveil pre"}
    result = subprocess.run(
        [Path(sys.executable).parent / "unveil"],
        env={**environment, "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.split() == ["predict"], result.stderr


def test_the_version_is_that_of_the_package():
    result = unveil("--version")
    assert (result.returncode, result.stdout) == (0, f"unveil {metadata.version('unveil')}\n")


@pytest.mark.parametrize("arguments", [["-h"], ["train", "-h"], ["data", "audit", "-h"]])
def test_help_has_a_short_option(arguments):
    result = unveil(*arguments)
    assert (result.returncode, result.stdout.split()[0]) == (0, "Usage:")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["remote", "create", "--help"],
        ["data", "--help"],
        ["predict", "--help"],
        ["serve", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from unveil.cli import app\n"
        f"try: app({arguments!r})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "vgg61"], "unknown architecture 'vgg61'; choose from cnn3"),
        (["evaluate", "vgg61"], "efficientnet; did you mean 'vgg16'?"),
        (["evaluate", "cnn3"], "model.keras not found; run `unveil train cnn3`"),
        (["train", "cnn3"], "train.npz not found; run `unveil pack`"),
        (["manifest"], "faces.zip not found"),
        (["validate"], "manifest.parquet not found; run `unveil manifest`"),
        (["data", "card"], "manifest.parquet not found; run `unveil manifest`"),
        (["data", "diff", "HEAD"], "manifest.parquet not found; run `unveil manifest`"),
        (["pack"], "manifest.parquet not found; run `unveil manifest`"),
        (["compare"], "nothing to compare"),
        (["data", "audit"], "faces.zip not found; run `unveil ingest SOURCE` or `unveil sample`"),
        (["data", "review", "a.csv"], "manifest.parquet not found; run `unveil manifest`"),
        (["promote"], "comparison.json not found; run `unveil compare`"),
        (
            ["predict", "face.jpg", "--bundle", "it"],
            "no bundle 'it'; choose from starter, champion",
        ),
        (["export", "--architecture", "vgg61"], "unknown architecture 'vgg61'"),
        (["export", "--architecture", "cnn3"], "model.keras not found; run `unveil train cnn3`"),
        (["promote", "--force"], "--force needs --reason TEXT"),
        (["promote", "--reason", "so"], "--reason needs --force"),
        (["rollback"], "no previous champion; there is nothing to roll back to"),
        (["ingest", "nowhere.zip"], "nowhere.zip not found; a source is a zip"),
    ],
)
def test_a_user_error_is_one_line_and_exit_code_2(place, arguments, named):
    result = unveil(*arguments, cwd=place)
    lines = [line for line in result.stderr.splitlines() if line.startswith("unveil: ")]
    assert result.returncode == 2
    assert len(lines) == 1
    assert named in lines[0]
    assert "Traceback" not in result.stderr


def test_publish_names_each_training_it_cannot_log_and_continues(place):
    for key in ("cnn3", "cnn4"):
        folder = place / "data/04_models" / key
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    result = unveil("publish", cwd=place)
    assert result.returncode == 2
    for key in ("cnn3", "cnn4"):
        assert f"{key}: data/04_models/{key}/run.json is of an older version" in result.stderr
    assert "MLflow has 0 trainings: none" in result.stdout


def test_outside_a_project_the_error_says_so(tmp_path):
    result = unveil("manifest", cwd=tmp_path)
    assert result.returncode == 2
    assert f"no params.yaml in {tmp_path}; run in the project's folder" in result.stderr


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["sample", "--sed", "1"]])
def test_wrong_usage_is_exit_code_2(arguments):
    result = unveil(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
