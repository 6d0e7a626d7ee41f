"""A file that git or DVC has and that is not here is no reason to begin anew."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flows.stages import prepare
from PIL import Image
from typer.testing import CliRunner

from unveil import files, journal, tracked
from unveil.cli import app
from unveil.errors import UserError
from unveil.paths import ARCHIVE, AUDITED, CORRECTIONS, JOURNAL

ROOT = Path(__file__).parents[2]
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
    """Make a folder with two faces of a class, noise that no other seed gives."""
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
    """A repository whose faces are under DVC, on a remote; decisions and counts are in git."""
    folder = tmp_path_factory.mktemp("team")
    shutil.copy(ROOT / "params.yaml", folder)
    run("git", "init", "--quiet", at=folder)
    dvc("init", "--quiet", at=folder)
    dvc("remote", "add", "--default", "store", str(folder.parent / "store"), at=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said("ingest", str(faces(folder.parent / "faces", seed=0)))
    (folder / CORRECTIONS).write_text("sha256,member,action,label\n")
    (folder / AUDITED).write_text("{}\n")
    (folder / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    run("git", "add", "--all", at=folder)
    run("git", "commit", "--quiet", "-m", "faces", at=folder)
    dvc("push", "--quiet", at=folder)
    return folder


def test_a_git_that_refuses_to_answer_is_not_taken_for_one_that_has_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not tracked.in_git(Path("a"))
    run("git", "init", "--quiet", at=tmp_path)
    Path("a").write_text("kept")
    run("git", "add", "a", at=tmp_path)
    assert (tracked.in_git(Path("a")), tracked.in_git(Path("b"))) == (True, False)
    assert not tracked.in_git(tmp_path.parent / "c")
    # What git itself is tested with: the folder counts as another user's.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for path in ("a", "b"):
        with pytest.raises(UserError, match=r"git does not answer .*dubious ownership") as refusal:
            tracked.refuse_lost(tmp_path / f"{path}.gone", Path(path))
        assert len(str(refusal.value).splitlines()) == 1


@pytest.fixture
def clone(team, tmp_path, monkeypatch) -> Path:
    """A fresh clone: the pointer is here, the faces are not."""
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


def test_recorded_faces_that_cannot_be_had_are_not_replaced_by_drawn_ones(clone):
    (clone / ".dvc/config").write_text("")
    before = POINTER.read_text()
    state = prepare.fn(None, None, None)
    assert state.is_failed()
    assert f"{POINTER} records it; `dvc pull {ARCHIVE}`" in state.message
    assert "drawn faces do not replace it" in (line := refused("sample"))
    assert f"`dvc pull {ARCHIVE}`" in line
    assert POINTER.read_text() == before
    assert not ARCHIVE.exists()


def test_drawn_faces_do_not_replace_real_ones_whose_pointer_was_removed(clone):
    prepare.fn(None, None, None)
    POINTER.unlink()
    before = ARCHIVE.read_bytes()
    assert f"{ARCHIVE} has faces that are not drawn" in refused("sample")
    assert ARCHIVE.read_bytes() == before
    ARCHIVE.unlink()
    assert f"`git checkout -- {POINTER}` brings it back" in refused("sample")


def test_a_source_over_a_pointer_says_what_it_replaces_and_the_same_one_changes_nothing(
    clone, team
):
    before = POINTER.read_text()
    same = said("ingest", str(team.parent / "faces"))
    assert f"the same faces as {POINTER} recorded before" in same
    assert POINTER.read_text() == before
    ARCHIVE.unlink()
    md5 = before.split("md5: ")[1][:32]
    other = said("ingest", str(faces(clone.parent / "others", seed=1)))
    assert f"replaced the archive that {POINTER} recorded, md5 {md5}, which was not here" in other
    assert POINTER.read_text() != before


@pytest.mark.parametrize("name", [CORRECTIONS, AUDITED, Path("dvc.lock")])
def test_a_run_stops_where_a_file_of_git_is_gone(clone, name):
    name.unlink()
    state = prepare.fn(None, None, None)
    assert state.is_failed()
    assert state.message == (
        f"{name} is not here, but git has it; `git checkout -- {name}` brings it back"
    )


def test_the_manifest_does_not_forget_decisions_whose_file_is_gone(clone):
    prepare.fn(None, None, None)
    CORRECTIONS.unlink()
    assert f"`git checkout -- {CORRECTIONS}` brings it back" in refused("manifest")
    run("git", "rm", "--quiet", "--cached", str(CORRECTIONS), at=clone)
    assert "2 faces" in said("manifest")


def test_a_journal_that_is_gone_is_put_back_before_it_grows(clone, capsys):
    before = JOURNAL.read_bytes()
    JOURNAL.unlink()
    journal.record("export", images=1)
    assert JOURNAL.read_bytes().startswith(before)
    assert len(JOURNAL.read_bytes()) > len(before)
    assert f"{JOURNAL} was gone and is put back" in capsys.readouterr().err


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


def test_an_output_of_dvc_that_is_gone_is_brought_back_by_dvc(clone):
    from unveil.tracked import lost

    Path("dvc.lock").write_text(LOCKED)
    for path in ("data/04_models/cnn3/model.keras", "data/02_manifest/data_docs/index.html"):
        assert lost(Path(path)) == (
            f"{path} is not here, but dvc.lock records it; `dvc checkout {path}` or "
            f"`dvc pull {path}` brings it back"
        )
    with pytest.raises(UserError, match=r"dvc\.lock records it; `dvc checkout data/04_models/cnn3"):
        files.existing(Path("data/04_models/cnn3/model.keras"), made_by="unveil train cnn3")
    assert lost(Path("data/04_models/vgg16/model.keras")) is None
    Path("dvc.lock").write_text("{half")
    assert lost(Path("data/04_models/cnn3/model.keras")) is None


def test_without_faces_and_without_a_pointer_the_sample_is_drawn(place):
    from unveil import intake

    intake.refuse_replaced_by_drawings()
    assert "`unveil ingest SOURCE` or `unveil sample` makes it" in refused("manifest")
