"""The Makefile: what is installed stays, misspelt variables, what `make clean` removes."""

import shutil
import subprocess
from pathlib import Path

from tests.support.import_graph import ROOT


def test_make_keeps_the_environment_that_is_installed(tmp_path):
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed-gpu").touch()
    asked = ["make", "--dry-run", "worker"]
    said = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "flows.worker" in said.stdout
    assert "sync" not in said.stdout


def test_make_refuses_a_misspelt_variable():
    command = ["make", "help", "ARCHITECTURE=cnn3"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "unknown variable 'ARCHITECTURE'; choose from SOURCE RECIPE ARCHITECTURES" in said.stderr


def test_make_refuses_an_unknown_extra_and_takes_the_old_name_of_train():
    command = ["make", "--dry-run", "install"]
    said = subprocess.run([*command, "EXTRA=tpu"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "unknown EXTRA 'tpu'; choose from train gpu jax" in said.stderr
    said = subprocess.run([*command, "EXTRA=cpu"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0
    assert "EXTRA=cpu is now EXTRA=train" in said.stderr
    assert "extra cpu" not in said.stdout


def test_make_installs_several_extras_of_which_one_is_a_backend(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).touch()
    command = ["make", "--dry-run", "install"]
    said = subprocess.run(
        [*command, "EXTRA=gpu,backbones"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--extra gpu --extra backbones" in said.stdout
    assert ".venv/installed-gpu,backbones" in said.stdout
    said = subprocess.run(
        [*command, "EXTRA=backbones"], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 2
    assert "EXTRA=backbones has no backend of Keras; add one, for example EXTRA=train,backb" in (
        said.stderr
    )


def test_force_is_0_or_1(tmp_path):
    command = ["make", "--dry-run", "train-all"]
    for value, forced in (("", False), ("0", False), ("1", True)):
        said = subprocess.run(
            [*command, f"FORCE={value}"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert ("--force" in said.stdout) == forced, value
    said = subprocess.run([*command, "FORCE=yes"], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "unknown FORCE 'yes'; choose from 0 1" in said.stderr


def test_make_clean_removes_only_what_is_made_again(tmp_path):
    from unveil.common import paths

    generated = {
        *("MANIFEST", "SUMMARY", "VALIDATION", "DATA_DOCS", "PACKED", "MODELS", "REPORTS"),
        *("COMPARISON", "LEADERBOARD", "HARDWARE", "EXPLANATIONS", "REPORT", "DATA_CARD"),
        *("DATA_CARD_PLOTS", "CONTACT_SHEET"),
    }
    kept = {
        *("PARAMS", "JOURNAL", "PROMOTIONS", "ARCHIVE", "CORRECTIONS", "AUDIT_COUNTS", "PROMOTION"),
        *("MODEL_CARD", "LEARNING_CURVES", "SUSPECTS", "BUNDLE", "STARTER", "AUDIT_LOG"),
        *("LAST_GOOD", "TRACKING", "SEEDS", "SEED_REPORTS", "RUN_LOGS", "SWEEPS", "CHECKPOINTS"),
    }
    named = {name for name, path in vars(paths).items() if isinstance(path, Path)}
    assert named - {"DATA", "AUDIT"} == generated | kept  # a new path has to be added to one
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in generated | kept:
        path = tmp_path / getattr(paths, name)
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        (path if path.suffix else path / "file").write_text(name)
    own = ["data/05_reports/notes.md", "data/06_audit/mine.csv", "data/08_serving/feedback/a"]
    made = ["data/06_audit/folds/a", "data/06_audit/features/a"]
    for path in map(tmp_path.joinpath, [*own, *made]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    for name in generated | kept:
        assert (tmp_path / getattr(paths, name)).exists() == (name in kept), name
    assert [path for path in [*own, *made] if (tmp_path / path).exists()] == own
