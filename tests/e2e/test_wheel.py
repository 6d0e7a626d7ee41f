"""`pip install .` alone: a small environment that predicts from any folder."""

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image
from tests.support import scenes, wheels

MOST_MEGABYTES = 350
"""Of the environment; PyAV has 106 of them, ONNX Runtime 75, NumPy 62."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    return wheels.install(wheels.build(folder), folder / "env")


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    Image.fromarray(scenes.drawn()).save(tmp_path / "face.png")
    return tmp_path


def run(installed: Path, name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command, given = [str(installed / name), *arguments], wheels.environment()
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, timeout=120)


def test_the_installed_wheel_predicts_in_an_empty_folder(installed, elsewhere):
    began = time.monotonic()
    result = run(installed, "unveil", "predict", "face.png", "--format", "jsonl", cwd=elsewhere)
    seconds = time.monotonic() - began
    assert result.returncode == 0, result.stderr
    predicted = json.loads(result.stdout)
    assert predicted["top"] in predicted["probabilities"]
    assert predicted["model"]["trained_on"] == "real faces"
    assert re.match(r"unveil: uses the starter: cnn5_small_gray, trained on: real", result.stderr)
    assert [path.name for path in elsewhere.iterdir()] == ["face.png"]
    size = sum(path.lstat().st_size for path in installed.parent.rglob("*")) / 1e6
    timed = "import time; t = time.perf_counter(); import unveil; print(time.perf_counter() - t)"
    took = float(run(installed, "python", "-c", timed, cwd=elsewhere).stdout)
    print(f"{size:.0f} MB; first prediction in {seconds:.1f} s; import unveil in {took:.3f} s")
    assert size < MOST_MEGABYTES


def test_python_predicts_in_five_lines(installed, elsewhere):
    code = (
        "import unveil\n"
        "model = unveil.load('starter')\n"
        "result = model('face.png')\n"
        "print(result[0].emotion in (*model.classes, None), len(result[0].probabilities))\n"
        "print(result[0].box, result.plot().size)"
    )
    result = run(installed, "python", "-c", code, cwd=elsewhere)
    assert result.stdout == "True 4\nNone (48, 48)\n", result.stderr


def test_the_import_loads_no_dependency(installed, elsewhere):
    code = "import sys; before = set(sys.modules); import unveil; print(set(sys.modules) - before)"
    result = run(installed, "python", "-c", code, cwd=elsewhere)
    loaded = {name.partition(".")[0] for name in eval(result.stdout)}
    assert loaded <= {"unveil", "typing", "collections", "functools", "contextlib", "re"} | {
        *("operator", "reprlib", "itertools", "keyword", "enum", "types", "copyreg", "warnings"),
        *("_typing", "_collections", "_functools", "_operator", "_sre", "abc"),
    }


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["serve", "--purpose", "my own photo album"], "'.[serve]'"),
        (["manifest"], "'.[train]'"),
        (["champion"], "'.[train]'"),
    ],
)
def test_a_command_of_another_extra_names_it(installed, elsewhere, arguments, missing):
    result = run(installed, "unveil", *arguments, cwd=elsewhere)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("unveil: ") and missing in line
    assert [path.name for path in elsewhere.iterdir()] == ["face.png"]


def test_a_table_without_pandas_names_the_extra(installed, elsewhere):
    code = "import unveil; unveil.load()('face.png').to_pandas()"
    result = run(installed, "python", "-c", code, cwd=elsewhere)
    assert "UserError: pandas is not installed; it is in the extra train: run `pip" in result.stderr
