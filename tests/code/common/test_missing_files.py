"""Missing files that git or DVC tracks are never replaced by new ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flows.stages import prepare
from PIL import Image
from tests.conftest import ROOT
from typer.testing import CliRunner

from unveil.cli import app
from unveil.common import audit_log, files, missing_files
from unveil.common.errors import UserError
from unveil.common.paths import ARCHIVE, AUDIT_COUNTS, CORRECTIONS, JOURNAL

POINTER = Path(f"{ARCHIVE}.dvc")
ENVIRONMENT = {
    **os.environ,
    **{f"GIT_{who}_NAME": "A Tester" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "tester@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def run(*command: str, at: Path) -> None:
    subprocess.run(command, cwd=at, check=True, capture_output=True, env=ENVIRONMENT)


def dvc(*arguments: str, at: Path) -> None:
    run(sys.executable, "-m", "dvc", *arguments, at=at)


def faces(folder: Path, seed: int) -> Path:
    """Create a folder with two faces of a class, as noise from a seed."""
    generator = np.random.default_rng(seed)
    for number in range(2):
        path = folder / f"train/happy/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (48, 48)).astype(np.uint8)).save(path)
    return folder


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(UserError) as refusal:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert len(str(refusal.value).splitlines()) == 1
    return str(refusal.value)


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> Path:
    """A repository with faces under DVC, on a remote, and decisions and counts in git."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copy(ROOT / "params.yaml", folder)
    run("git", "init", "--quiet", at=folder)
    dvc("init", "--quiet", at=folder)
    dvc("remote", "add", "--default", "store", str(folder.parent / "store"), at=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said("ingest", str(faces(folder.parent / "faces", seed=0)))
    (folder / CORRECTIONS).write_text("sha256,member,action,label\n")
    (folder / AUDIT_COUNTS).write_text("{}\n")
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    run("git", "add", "--all", at=folder)
    run("git", "commit", "--quiet", "-m", "faces", at=folder)
    dvc("push", "--quiet", at=folder)
    return folder


def test_an_error_of_git_does_not_count_as_an_untracked_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not missing_files.in_git(Path("a"))
    run("git", "init", "--quiet", at=tmp_path)
    Path("a").write_text("kept")
    run("git", "add", "a", at=tmp_path)
    assert (missing_files.in_git(Path("a")), missing_files.in_git(Path("b"))) == (True, False)
    assert not missing_files.in_git(tmp_path.parent / "c")
    # Git's own tests use this variable: the folder counts as another user's.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for path in ("a", "b"):
        with pytest.raises(UserError, match=r"git does not answer .*dubious ownership") as refusal:
            missing_files.refuse_missing(tmp_path / f"{path}.gone", Path(path))
        assert len(str(refusal.value).splitlines()) == 1


@pytest.fixture
def clone(team, tmp_path, monkeypatch) -> Path:
    """A fresh clone, with the .dvc file and without the faces."""
    run("git", "clone", "--quiet", str(team), "clone", at=tmp_path)
    monkeypatch.chdir(tmp_path / "clone")
    Path("flows").symlink_to(ROOT / "flows")  # where a flow starts its commands from
    assert POINTER.exists() and not ARCHIVE.exists()
    return tmp_path / "clone"


def test_a_fresh_clone_fetches_the_faces_that_dvc_has_recorded(clone):
    before = POINTER.read_text()
    assert prepare.fn(None, None, None) is None
    assert ARCHIVE.exists()
    assert POINTER.read_text() == before


def test_tracked_faces_that_are_missing_are_not_replaced_by_synthetic_ones(clone):
    (clone / ".dvc/config").write_text("")
    before = POINTER.read_text()
    state = prepare.fn(None, None, None)
    assert state.is_failed()
    assert f"{POINTER} records it; `dvc pull {ARCHIVE}`" in state.message
    assert "synthetic faces do not replace it" in (line := refused("sample"))
    assert f"`dvc pull {ARCHIVE}`" in line
    assert POINTER.read_text() == before
    assert not ARCHIVE.exists()


def test_synthetic_faces_do_not_replace_real_ones_without_a_dvc_file(clone):
    prepare.fn(None, None, None)
    POINTER.unlink()
    before = ARCHIVE.read_bytes()
    assert f"{ARCHIVE} has faces that are not synthetic" in refused("sample")
    assert ARCHIVE.read_bytes() == before
    ARCHIVE.unlink()
    assert f"`git checkout -- {POINTER}` restores it" in refused("sample")


def test_ingest_reports_the_replaced_archive_and_the_same_source_changes_nothing(clone, team):
    before = POINTER.read_text()
    same = said("ingest", str(team.parent / "faces"))
    assert f"the same faces as {POINTER} recorded before" in same
    assert POINTER.read_text() == before
    ARCHIVE.unlink()
    md5 = before.split("md5: ")[1][:32]
    other = said("ingest", str(faces(clone.parent / "others", seed=1)))
    assert f"replaced the archive that {POINTER} recorded, md5 {md5}, which was missing" in other
    assert POINTER.read_text() != before


@pytest.mark.parametrize("name", [CORRECTIONS, AUDIT_COUNTS, Path("dvc.lock")])
def test_a_run_stops_if_a_file_tracked_by_git_is_missing(clone, name):
    name.unlink()
    state = prepare.fn(None, None, None)
    assert state.is_failed()
    assert state.message == (
        f"{name} is missing, but git tracks it; `git checkout -- {name}` restores it"
    )


def test_the_manifest_stops_if_the_corrections_are_missing(clone):
    prepare.fn(None, None, None)
    CORRECTIONS.unlink()
    assert f"`git checkout -- {CORRECTIONS}` restores it" in refused("manifest")
    run("git", "rm", "--quiet", "--cached", str(CORRECTIONS), at=clone)
    assert "2 faces" in said("manifest")


def test_a_missing_journal_is_restored_before_it_is_appended_to(clone, capsys):
    before = JOURNAL.read_bytes()
    JOURNAL.unlink()
    audit_log.record("export", images=1)
    assert JOURNAL.read_bytes().startswith(before)
    assert len(JOURNAL.read_bytes()) > len(before)
    assert f"{JOURNAL} was missing and has been restored" in capsys.readouterr().err


LOCKED = """schema: '2.0'
stages:
  train@cnn3:
    cmd: unveil train cnn3
    outs:
    - {path: data/04_models/cnn3/model.keras, md5: 00000000000000000000000000000000}
  validate:
    cmd: unveil validate
    outs:
    - {path: data/02_manifest/data_docs, md5: 00000000000000000000000000000000.dir}
"""


def test_a_missing_output_names_the_dvc_command(clone):
    from unveil.common.missing_files import restore_hint

    Path("dvc.lock").write_text(LOCKED)
    for path in ("data/04_models/cnn3/model.keras", "data/02_manifest/data_docs/index.html"):
        assert restore_hint(Path(path)) == (
            f"{path} is missing, but dvc.lock records it; `dvc checkout {path}` or "
            f"`dvc pull {path}` restores it"
        )
    with pytest.raises(UserError, match=r"dvc\.lock records it; `dvc checkout data/04_models/cnn3"):
        files.require_path(Path("data/04_models/cnn3/model.keras"), made_by="unveil train cnn3")
    assert restore_hint(Path("data/04_models/vgg16/model.keras")) is None
    Path("dvc.lock").write_text("{half")
    assert restore_hint(Path("data/04_models/cnn3/model.keras")) is None


def test_without_faces_and_without_a_dvc_file_the_sample_is_drawn(place):
    from unveil.data import ingest_checks

    ingest_checks.refuse_to_replace_with_synthetic()
    assert "run `unveil ingest SOURCE` or `unveil sample`" in refused("manifest")
