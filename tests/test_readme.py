"""README: its examples run and print what it shows; its numbers, commands and paths exist."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.support.import_graph import ROOT
from tests.support.scenes import drawn, scene

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
FACE = 19
"""The number of a synthetic face that the starter network answers with a high probability."""
SCORE = re.compile(r"(0\.\d{3}) \[(0\.\d{3}), (0\.\d{3})\]")
PERCENT = re.compile(r"(\d\d\.\d\d?) \[(\d\d\.\d), (\d\d\.\d)\]")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Enter a folder with the pictures that README names."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    Image.fromarray(scene((200, 120, 200), number=FACE)).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(drawn(FACE)).save(tmp_path / "face.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_numbers(text: str) -> str:
    """Mask the numbers, which differ a little between processors."""
    return re.sub(r"\d+(\.\d+)?", "N", text).strip()


def test_the_readme_is_short():
    assert README.count("\n") < 150


def test_the_python_blocks_run_one_after_the_other(folder):
    names: dict[str, object] = {}
    for text in [text for kind, text in BLOCKS if kind == "python"]:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, "README.md", "exec"), names)
    (shown,) = [text for kind, text in BLOCKS if kind == ""]
    face = names["result"][0]
    probabilities = {name: round(value, 3) for name, value in face.probabilities.items()}
    seen = repr((face.emotion, probabilities, face.box))
    assert without_numbers(seen) == without_numbers(shown)
    with Image.open("labelled.png") as labelled:
        assert labelled.size == (640, 480)
    assert len(names["result"].to_pandas()) == 1


def test_the_commands_print_what_is_shown(folder):
    around = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}"}
    (shown,) = [text for kind, text in BLOCKS if kind == "console"]
    command, _, output = shown.partition("\n")
    run = [sys.executable, "-m", *command.removeprefix("$ ").split()]
    seen = subprocess.run(run, capture_output=True, text=True, env=around, check=True).stdout
    assert without_numbers(seen) == without_numbers(output)


def test_every_score_is_one_of_the_recorded_ones():
    pages = [ROOT / "docs/experiments.md", *(ROOT / "docs/experiments").glob("*.md")]
    recorded = "\n".join(path.read_text() for path in pages)
    scores = {tuple(map(float, one)) for one in SCORE.findall(recorded)}
    scores |= {tuple(float(value) / 100 for value in one) for one in PERCENT.findall(recorded)}
    promised = [tuple(map(float, one)) for one in SCORE.findall(README)]
    assert len(promised) == 11
    for score in promised:
        assert any(score == pytest.approx(one, abs=6e-4) for one in scores), score


def test_every_network_is_in_the_table_of_models():
    from unveil.config import params

    named = re.findall(r"^\| `(\w+)` \|", README, re.M)
    assert sorted(named) == sorted(params.load(ROOT / "params.yaml").architectures)


def test_every_path_in_the_readme_and_in_the_tree_exists():
    tree = re.search(r"```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S).group(1)
    named = re.findall(r"^([\w./-]+)  ", tree, re.M)
    assert named and [name for name in named if not (ROOT / name).exists()] == []
    links = re.findall(r"\]\(([\w./-]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []
