"""The command line: quick help, one line for a mistake, exit code 2, never a traceback."""

import subprocess
import sys

import pytest

VERBS = ("sample", "ingest", "manifest", "validate", "pack", "train", "evaluate", "compare")
VERBS += ("promote", "rollback", "champion", "export", "predict", "run", "remote", "data")
VERBS += ("serve", "token")
HEAVY = ("keras", "tensorflow", "mlflow", "great_expectations", "pandas", "sklearn", "boto3", "dvc")
HEAVY += ("cleanlab", "skimage", "cv2", "onnx", "onnxruntime", "fastapi", "uvicorn")


def unveil(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_lists_every_verb():
    said = unveil("--help")
    assert said.returncode == 0
    assert [verb for verb in VERBS if f" {verb} " not in said.stdout] == []


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
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["train", "vgg61"], "unknown architecture 'vgg61'; choose from cnn3"),
        (["evaluate", "vgg61"], "unknown architecture 'vgg61'"),
        (["evaluate", "cnn3"], "model.keras is not there; `unveil train cnn3` makes it"),
        (["train", "cnn3"], "train.npz is not there; `unveil pack` makes it"),
        (["manifest"], "faces.zip is not there"),
        (["validate"], "manifest.parquet is not there; `unveil manifest` makes it"),
        (["data", "card"], "manifest.parquet is not there; `unveil manifest` makes it"),
        (["data", "diff", "HEAD"], "manifest.parquet is not there; `unveil manifest` makes it"),
        (["pack"], "manifest.parquet is not there; `unveil manifest` makes it"),
        (["compare"], "nothing to compare"),
        (["data", "audit"], "faces.zip is not there; `unveil ingest SOURCE` or `unveil sample`"),
        (["data", "review", "a.csv"], "manifest.parquet is not there; `unveil manifest` makes it"),
        (["promote"], "comparison.json is not there; `unveil compare` makes it"),
        (["predict", "face.jpg"], "no bundle in data/07_bundle or models/starter; `unveil export`"),
        (["export", "--architecture", "vgg61"], "unknown architecture 'vgg61'"),
        (["export", "--architecture", "cnn3"], "model.keras is not there; `unveil train cnn3`"),
        (["promote", "--force"], "--force needs --reason TEXT"),
        (["promote", "--reason", "so"], "--reason stands with --force alone"),
        (["rollback"], "no version was champion before; there is nothing to roll back to"),
        (["ingest", "nowhere.zip"], "nowhere.zip is not there; a source is a zip"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(place, arguments, named):
    said = unveil(*arguments, cwd=place)
    lines = [line for line in said.stderr.splitlines() if line.startswith("unveil: ")]
    assert said.returncode == 2
    assert len(lines) == 1
    assert named in lines[0]
    assert "Traceback" not in said.stderr


def test_publish_names_each_training_it_cannot_tell_of_and_goes_on(place):
    for key in ("cnn3", "cnn4"):
        folder = place / "data/04_models" / key
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
    said = unveil("publish", cwd=place)
    assert said.returncode == 2
    for key in ("cnn3", "cnn4"):
        assert f"{key}: data/04_models/{key}/run.json is of an older version" in said.stderr
    assert "MLflow has 0 trainings: none" in said.stdout


def test_outside_a_project_the_line_says_so(tmp_path):
    said = unveil("manifest", cwd=tmp_path)
    assert said.returncode == 2
    assert f"no params.yaml in {tmp_path}; run in the project's folder" in said.stderr


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["sample", "--sed", "1"]])
def test_a_wrong_call_is_exit_code_2(arguments):
    said = unveil(*arguments)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
