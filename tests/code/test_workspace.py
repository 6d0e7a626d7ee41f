"""All files of a checkout are given to a search, through links too, or named as not looked into."""

import os
from pathlib import Path

import pytest

from unveil import workspace


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    for name in ("disk/fb/a.txt", "disk/one.txt", "checkout/data/own.txt", "checkout/.venv/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path


def test_what_is_linked_is_looked_into_once_and_without_an_end(checkout):
    Path("data/feedback").symlink_to(checkout / "disk/fb")
    Path("a").symlink_to("data")
    Path("data/again").symlink_to(checkout / "disk/fb")
    Path("data/one").symlink_to(checkout / "disk/one.txt")
    Path("env").symlink_to(".venv")
    (checkout / "disk/fb/loop").symlink_to(checkout / "disk/fb")
    unread: list[str] = []
    found = {str(path) for path in workspace.files(unread=unread)}
    assert len(found - {"data/own.txt", "data/one"}) == 1
    assert found & {"data/feedback/a.txt", "data/again/a.txt"}
    assert {"data/own.txt", "data/one"} < found
    assert unread == []


def test_what_is_linked_and_not_there_or_above_is_named(checkout):
    Path("gone").symlink_to(checkout / "absent")
    Path("up").symlink_to(checkout)
    unread: list[str] = []
    assert [str(path) for path in workspace.files(unread=unread)] == ["data/own.txt"]
    assert unread == [
        "gone: leads nowhere, or may not be read",
        f"up: leads to {checkout}, in which this checkout lies",
    ]


def test_a_folder_that_cannot_be_listed_is_named(checkout, monkeypatch):
    real = os.listdir

    def refusing(path):  # who runs the tests may be root, whom nothing is refused
        if Path(path).name == "data":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", refusing)
    unread: list[str] = []
    assert list(workspace.files(unread=unread)) == []
    assert unread == ["data: cannot be listed: permission denied"]


def test_only_the_cache_that_is_searched_is_left_out(checkout):
    for name in (".dvc/cache/x", "cache/x"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("x")
    found = {str(path) for path in workspace.files(Path("cache").resolve())}
    assert found == {".dvc/cache/x", "data/own.txt"}


def test_a_file_that_is_only_linked_here_is_not_ours(checkout):
    kept = checkout / "cache/files/md5/ab" / ("c" * 30)
    kept.parent.mkdir(parents=True)
    kept.touch()
    for name, target in (("mine", checkout / "disk/one.txt"), ("kept", kept), ("in", "own.txt")):
        Path("data", name).symlink_to(target)
    ours = [name for name in ("mine", "kept", "in") if workspace.is_ours(Path("data", name))]
    assert ours == ["kept", "in"]
