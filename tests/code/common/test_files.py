"""Atomic file writes: complete or unchanged, whatever interrupts them."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from unveil.common.errors import UserError
from unveil.common.files import (
    atomic_write,
    read_json,
    remove_stale,
    require_path,
    sha256,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_appears_where_folders_were_missing(tmp_path):
    target = tmp_path / "a" / "b" / "numbers.txt"
    with atomic_write(target) as path:
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert names(tmp_path / "a") == ["b", "b/numbers.txt"]


def test_a_file_replaces_the_old_one(tmp_path):
    target = tmp_path / "numbers.txt"
    target.write_text("old")
    with atomic_write(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["numbers.txt"]


def test_a_folder_replaces_the_old_one(tmp_path):
    target = tmp_path / "report"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "old.txt").write_text("old")
    with atomic_write(target) as path:
        path.mkdir()
        (path / "new.txt").write_text("new")
    assert names(tmp_path) == ["report", "report/new.txt"]


def test_a_linked_folder_is_replaced_and_its_target_unchanged(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "old.txt").write_text("old")
    (tmp_path / "report").symlink_to(tmp_path / "cache", target_is_directory=True)
    with atomic_write(tmp_path / "report") as path:
        path.mkdir()
    assert names(tmp_path) == ["cache", "cache/old.txt", "report"]
    assert not (tmp_path / "report").is_symlink()


@pytest.mark.parametrize(
    "stop", [ValueError("no"), KeyboardInterrupt(), SystemExit(1), OSError(errno.EIO, "broken")]
)
def test_an_error_in_the_block_keeps_the_old_content(tmp_path, stop):
    (tmp_path / "file.txt").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old.txt").write_text("old")
    before = names(tmp_path)
    with pytest.raises(type(stop)), atomic_write(tmp_path / "file.txt") as path:
        path.write_text("half")
        raise stop
    with pytest.raises(type(stop)), atomic_write(tmp_path / "folder") as path:
        path.mkdir()
        (path / "half.txt").write_text("half")
        raise stop
    with pytest.raises(type(stop)), atomic_write(tmp_path / "fresh.txt") as path:
        path.write_text("half")
        raise stop
    assert names(tmp_path) == before
    assert (tmp_path / "file.txt").read_text() == "old"
    assert (tmp_path / "folder" / "old.txt").read_text() == "old"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_writes_nothing_fails_and_keeps_the_old_content(tmp_path, kind):
    target = tmp_path / "report"
    if kind == "folder":
        target.mkdir()
        (target / "old.txt").write_text("old")
    else:
        target.write_text("old")
    before = names(tmp_path)
    with pytest.raises(FileNotFoundError), atomic_write(target):
        pass
    assert names(tmp_path) == before


def test_an_error_between_the_renames_restores_the_old_folder(tmp_path, monkeypatch):
    target = tmp_path / "report"
    target.mkdir()
    (target / "old.txt").write_text("old")
    rename = Path.replace

    def interrupted(self: Path, other: Path) -> Path:
        if other == target and not self.name.endswith(".old"):
            raise KeyboardInterrupt
        return rename(self, other)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as path:
        path.mkdir()
    assert names(tmp_path) == ["report", "report/old.txt"]


def test_a_full_disk_is_a_one_line_error_with_the_file(tmp_path):
    target = tmp_path / "arrays.npz"
    target.write_text("old")
    with pytest.raises(UserError) as refusal, atomic_write(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(refusal.value) == f"{target} cannot be written: no space left on device"
    assert (target.read_text(), names(tmp_path)) == ("old", ["arrays.npz"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_file_system_keeps_the_old_file(small_disk):
    target = small_disk / "summary.json"
    write_json(target, {"images": 1})
    with pytest.raises(UserError, match=f"^{target} cannot be written: no space left on device$"):
        write_json(target, ["x" * 200_000])
    assert json.loads(target.read_text()) == {"images": 1}
    assert names(small_disk) == ["summary.json"]
    write_json(target, {"images": 2})
    assert json.loads(target.read_text()) == {"images": 2}


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [0.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert text.endswith("}\n")
    assert text.index('"a"') < text.index('"b"')
    assert read_json(tmp_path / "a.json", made_by="unveil x") == {"a": [0.5, None], "b": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_invalid_json_values_are_refused_and_the_old_file_kept(tmp_path, value):
    target = tmp_path / "a.json"
    write_json(target, 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(target, {"share": value})
    assert (target.read_text(), names(tmp_path)) == ("1\n", ["a.json"])


def test_a_missing_artifact_names_the_command_to_run(tmp_path):
    line = f"{tmp_path / 'a.json'} not found; run `unveil validate`"
    for read in (read_json, require_path):
        with pytest.raises(UserError) as refusal:
            read(tmp_path / "a.json", made_by="unveil validate")
        assert str(refusal.value) == line
    (tmp_path / "a.json").write_text("1")
    assert require_path(tmp_path / "a.json", made_by="x") == tmp_path / "a.json"


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 5000])
def test_the_digest_is_that_of_the_bytes(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_concurrent_writers_leave_one_complete_file(tmp_path):
    target = tmp_path / "a.json"
    with atomic_write(target) as first:
        first.write_text("first")
        with atomic_write(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert (target.read_text(), names(tmp_path)) == ("first", ["a.json"])


def test_a_file_at_the_path_of_a_folder_is_kept_on_error(tmp_path):
    target = tmp_path / "report"
    target.write_text("old")
    with suppress(OSError), atomic_write(target) as path:
        path.mkdir()
    assert target.is_dir() or target.read_text() == "old"
    assert names(tmp_path) == ["report"]


KILLED = """
import os, sys
from pathlib import Path
from unveil.common.files import atomic_write
with atomic_write(Path(sys.argv[1])) as path:
    path.write_text("half")
    print("begun", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path) -> Iterator[subprocess.Popen]:
    """A process that has written half a file and waits."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "deep/arrays.npz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


@pytest.mark.fault("a command is killed while it writes")
def test_the_next_write_removes_temporary_files_of_killed_processes(tmp_path, writer):
    write_json(tmp_path / "deep/a.json", 1)
    assert len(left := [*(tmp_path / "deep").glob(".unveil-*/arrays.npz")]) == 1
    assert remove_stale(tmp_path / "deep") == [left[0].parent]  # it lives, and keeps what it makes
    writer.kill()
    writer.wait()
    write_json(tmp_path / "deep/a.json", 2)
    assert names(tmp_path / "deep") == ["a.json"]


@pytest.mark.fault("a command is killed while it writes")
def test_every_command_removes_temporary_files_of_killed_commands(place, monkeypatch):
    (temporary := place / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    folders = ("data/03_packed", "data/05_reports/deep/er", ".checkpoints/cnn3/id", ".dvc/tmp")
    left = [place / one / ".unveil-x-killed/x" for one in (*folders, "mlflow/state/artifacts", ".")]
    left.append(temporary / ".unveil-object-killed/faces.zip")
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_text("half")
    for code in ("import unveil.cli; unveil.cli.main()",):
        subprocess.run([sys.executable, "-c", code, "--help"], check=True, capture_output=True)
    assert [path for path in left if path.parent.exists()] == []


def test_a_folder_moved_aside_by_a_killed_write_is_restored(tmp_path):
    aside = tmp_path / ".unveil-report-killed/report.old"
    aside.mkdir(parents=True)
    (aside / "old.txt").write_text("old")
    (aside.parent / "report").mkdir()
    assert remove_stale(tmp_path) == []
    assert names(tmp_path) == ["report", "report/old.txt"]


@pytest.mark.parametrize("text", ["[]", "7", "null", '"text"', "[{}]", "[" * 100_000])
def test_an_artifact_that_is_not_an_object_names_the_command_to_run(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a.json cannot be read: .*run `unveil validate` again"):
        read_json(path, made_by="unveil validate")
