"""dvc.yaml: each stage depends on the packages that it runs, and on no other."""

import subprocess
from pathlib import Path

import pytest
import yaml
from tests.support.import_graph import ROOT, SOURCE, closure
from tests.support.servers import BIN

CODE_OF = {
    "manifest": "data/manifest.py",
    "validate": "quality/validate.py",
    "card": "quality/datasheet.py",
    "pack": "data/pack.py",
    "train": "training/train.py",
    "evaluate": "evaluation/evaluate.py",
    "compare": "evaluation/model_comparison.py",
}
"""Where the code of each stage of dvc.yaml begins."""


def stages() -> dict[str, dict]:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


@pytest.mark.parametrize("name", stages())
def test_a_stage_depends_on_all_code_it_runs_and_on_no_other(name):
    named = {dep for dep in stages()[name]["deps"] if dep.startswith("src/")}
    needed = closure(SOURCE / CODE_OF[name])
    assert named == {f"src/unveil/{package}" for package in needed}


def test_a_training_is_known_by_all_code_that_decides_it():
    from unveil.config.provenance import CODE

    assert set(CODE) == closure(SOURCE / CODE_OF["train"])


def test_dvc_sees_the_pointer_to_the_raw_data(project):
    from dvc.repo import Repo

    pointer = project / "data/01_raw/faces.zip.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    made = not pointer.exists()
    if made:
        pointer.write_text("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: faces.zip\n")
    with Repo(project) as repo:
        names = {Path(stage.path).name for stage in repo.index.stages}
    if made:
        pointer.unlink()
    assert names == {"dvc.yaml", "faces.zip.dvc"}


def test_dvc_can_try_a_value_of_params_yaml(project):
    """DVC writes the whole file again and reads it; not every YAML file survives that."""
    change = "recipes.sample.training.mixup=0.25"
    command = ["dvc", "exp", "run", "--queue", "--set-param", change, "train@cnn3"]
    ended = subprocess.run([BIN / command[0], *command[1:]], cwd=project, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
