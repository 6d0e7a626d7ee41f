"""Differences between two versions of the data: planted changes are found, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import IDENTITY
from tests.support.servers import BIN

from unveil.quality import version_diff
from unveil.quality.version_diff import compare

MANIFEST = Path("data/02_manifest/manifest.parquet")


def faces(count: int = 40) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = {
        "member": [f"train/{place:03}.png" for place in range(count)],
        "split": ["train", "train", "validation", "test"] * (count // 4),
        "label": ["sad", "happy"] * (count // 2),
        "sha256": [f"{place:064x}" for place in range(count)],
        "quarantine": "",
    }
    quality = {name: generator.normal(100, 20, count) for name in version_diff.QUALITIES}
    return pd.DataFrame({**rows, **quality})


def test_a_version_does_not_differ_from_itself_in_any_order():
    found = compare(faces(), faces().sample(frac=1, random_state=1))
    assert not any(found["changes"].values())
    assert {one["divergence"] for one in found["labels"]} == {0}
    assert {(one["ks"], one["shift"]) for one in found["quality"]} == {(0, 0)}
    assert [one["change"] for one in found["used"]] == [0] * len(found["used"])
    assert found["left_out"] == []


def test_every_planted_change_is_found_and_named():
    after = faces().drop(index=[0, 1])
    after.loc[2, "label"] = "happy"
    after.loc[3, "split"] = "train"
    after.loc[4, "quarantine"] = "twin_across_splits: test has x"
    after.loc[5, "member"] = "train/renamed.png"
    after.loc[99] = {**after.loc[5].to_dict(), "member": "new.png", "sha256": "f" * 64}
    found = compare(faces(), after)
    changes = found["changes"]
    assert found["images"] == {"before": 40, "after": 39}
    assert [one["member"] for one in changes["added"]] == ["new.png"]
    assert [one["member"] for one in changes["removed"]] == ["train/000.png", "train/001.png"]
    assert changes["relabelled"] == [{"member": "train/002.png", "before": "sad", "after": "happy"}]
    assert changes["moved"] == [{"member": "train/003.png", "before": "test", "after": "train"}]
    assert changes["quarantine"] == [
        {"member": "train/004.png", "before": "in use", "after": "twin_across_splits"}
    ]
    assert found["left_out"] == [
        {"reason": "twin_across_splits", "before": 0, "after": 1, "change": 1}
    ]
    said = version_diff.format_table({"revision": "v1", **found})
    assert "v1 -> workspace: 40 -> 39 images" in said
    assert "train/002.png (sad -> happy)" in said


def test_duplicates_are_one_image_and_unreadable_ones_are_identified_by_name():
    before = faces(8)
    before.loc[1, "sha256"] = before.loc[0, "sha256"]
    before.loc[[2, 3], "sha256"] = ""
    after = before.copy()
    after.loc[1, "label"] = "sad"
    changes = compare(before, after.drop(index=3))["changes"]
    assert [one["member"] for one in changes["removed"]] == ["train/003.png"]
    (twin,) = changes["relabelled"]
    assert (twin["before"], twin["after"]) == ("happy and sad", "sad")


def test_darker_faces_change_only_their_split_and_measure():
    after = faces(400)
    after.loc[after["split"] == "test", "brightness"] -= 30
    found = {(one["split"], one["measure"]): one for one in compare(faces(400), after)["quality"]}
    odd = found.pop(("test", "brightness"))
    assert odd["shift"] == pytest.approx(30)
    assert odd["ks"] > 0.4
    assert {one["shift"] for one in found.values()} == {0}


def test_an_empty_split_has_no_value():
    found = compare(faces(), faces().query("split != 'test'"))
    assert [one["divergence"] for one in found["labels"]] == [0, 0, None]
    assert {one["ks"] for one in found["quality"] if one["split"] == "test"} == {None}
    json.dumps(found, allow_nan=False)
    assert " - " in version_diff.format_table({"revision": "v1", **found})


@pytest.fixture(scope="module")
def versions(tmp_path_factory) -> Path:
    """A project under git and DVC with two versions of a manifest, v1 and the workspace."""
    folder = tmp_path_factory.mktemp("versions")
    done(folder, "git", "init", "--quiet")
    done(folder, "dvc", "init", "--quiet")
    done(folder, "git", *IDENTITY, "commit", "--quiet", "--all", "--message", "empty")
    stage = {"cmd": "true", "outs": [MANIFEST.as_posix()]}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"manifest": stage}}))
    (folder / MANIFEST.parent).mkdir(parents=True)
    (folder / "params.yaml").write_text("")
    faces().to_parquet(folder / MANIFEST)
    done(folder, "dvc", "commit", "--quiet", "--force")
    done(folder, "git", "add", "--all")
    done(folder, "git", *IDENTITY, "commit", "--quiet", "--message", "one")
    done(folder, "git", "tag", "v1")
    faces()[4:].to_parquet(folder / MANIFEST)
    done(folder, "dvc", "commit", "--quiet", "--force")
    done(folder, "git", *IDENTITY, "commit", "--quiet", "--all", "--message", "two")
    return folder


def call(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def done(folder: Path, *command: str) -> str:
    said = call(folder, *command)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def diff(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return call(folder, sys.executable, "-m", "unveil", "data", "diff", *arguments)


def refused(folder: Path, revision: str) -> str:
    said = diff(folder, revision)
    assert (said.returncode, said.stdout) == (2, "")
    (line,) = [one for one in said.stderr.splitlines() if one]
    return line


@pytest.mark.parametrize("revision", ["v1", "HEAD~1"])
def test_a_revision_is_compared_with_the_workspace(versions, revision):
    found = json.loads(diff(versions, revision, "--json").stdout)
    assert found["images"] == {"before": 40, "after": 36}
    assert len(found["changes"]["removed"]) == 4
    assert "removed" in diff(versions, "HEAD").stdout


def test_what_cannot_be_compared_is_a_one_line_error(versions, tmp_path):
    assert "unknown revision 'v9'; choose a commit" in refused(versions, "v9")
    assert f"'HEAD~2' has no {MANIFEST} under DVC" in refused(versions, "HEAD~2")
    shutil.copytree(versions, tmp_path / "bare")
    (tmp_path / "bare" / MANIFEST).unlink()
    lost = refused(tmp_path / "bare", "v1")
    assert f"{MANIFEST} is missing, but dvc.lock records it" in lost
    assert f"dvc checkout {MANIFEST}" in lost


def test_a_manifest_missing_in_the_cache_is_read_from_the_current_remote(versions, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(versions, folder)
    done(folder, "dvc", "remote", "add", "--local", "--default", "there", str(tmp_path / "there"))
    done(folder, "dvc", "push", "--quiet", "--all-tags")
    shutil.rmtree(folder / ".dvc/cache")
    before = set(folder.rglob("*.parquet"))
    assert "40 -> 36 images" in diff(folder, "v1").stdout
    assert not (folder / ".dvc/cache/files").exists()
    assert set(folder.rglob("*.parquet")) == before
    for stored in (tmp_path / "there/files").rglob("*"):
        if stored.is_file():
            stored.chmod(0o644)
            stored.write_bytes(b"damaged")
    assert "is damaged" in refused(folder, "v1")
    shutil.rmtree(tmp_path / "there")
    assert "is in neither DVC's cache nor a remote" in refused(folder, "v1")


@pytest.mark.parametrize(("name", "text"), [("dvc.lock", "a: [}"), ("dvc.yaml", "stages: 7\n")])
def test_a_revision_that_dvc_cannot_read_is_a_one_line_error(versions, tmp_path, name, text):
    folder = tmp_path / "copy"
    shutil.copytree(versions, folder)
    whole = (folder / name).read_text()
    (folder / name).write_text(text)
    done(folder, "git", *IDENTITY, "commit", "--quiet", "--all", "--message", "damaged")
    (folder / name).write_text(whole)
    assert "DVC cannot read revision 'HEAD'" in refused(folder, "HEAD")


def test_without_git_a_revision_is_an_error(versions, tmp_path):
    shutil.copytree(versions, tmp_path / "bare", ignore=shutil.ignore_patterns(".git"))
    (tmp_path / "bare/.dvc/config").write_text("[core]\n    no_scm = true\n")
    assert "DVC cannot read revision 'HEAD'" in refused(tmp_path / "bare", "HEAD")
