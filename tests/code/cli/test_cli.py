"""The command line: fast help, one-line errors with exit code 2, never a traceback."""

import subprocess
import sys
from importlib import metadata

import pytest

VERBS = ("sample", "ingest", "manifest", "validate", "pack", "train", "evaluate", "compare")
VERBS += ("promote", "rollback", "champion", "export", "predict", "run", "remote", "data")
VERBS += ("serve", "token")
HEAVY = ("keras", "tensorflow", "mlflow", "great_expectations", "pandas", "sklearn", "boto3", "dvc")
HEAVY += ("cleanlab", "skimage", "cv2", "onnx", "onnxruntime", "fastapi", "uvicorn")


def unveil(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_lists_every_command():
    result = unveil("--help")
    assert result.returncode == 0
    assert [verb for verb in VERBS if f" {verb} " not in result.stdout] == []


def test_the_version_is_that_of_the_package():
    result = unveil("--version")
    assert (result.returncode, result.stdout) == (0, f"unveil {metadata.version('unveil')}\n")


@pytest.mark.parametrize("arguments", [["-h"], ["train", "-h"], ["data", "audit", "-h"]])
def test_help_has_a_short_option(arguments):
    result = unveil(*arguments)
    assert (result.returncode, result.stdout.startswith("Usage: ")) == (0, True)


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
        (["evaluate", "vgg61"], "unknown architecture 'vgg61'"),
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
        (["predict", "face.jpg", "--bundle", "it"], "no bundle 'it'; choose from starter, champion"),
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
