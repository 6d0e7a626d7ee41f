"""All files of a checkout, also linked ones, are searched or listed as not searched."""

import os
from pathlib import Path

import pytest

from unveil.privacy import workspace


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    for name in ("disk/fb/a.txt", "disk/one.txt", "checkout/data/own.txt", "checkout/.venv/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path


def test_linked_folders_are_searched_once_even_if_they_form_a_loop(checkout):
    Path("data/feedback").symlink_to(checkout / "disk/fb")
    Path("a").symlink_to("data")
    Path("data/again").symlink_to(checkout / "disk/fb")
    Path("data/one").symlink_to(checkout / "disk/one.txt")
    Path("env").symlink_to(".venv")
    (checkout / "disk/fb/loop").symlink_to(checkout / "disk/fb")
    unsearched: list[str] = []
    found = {str(path) for path in workspace.files(unsearched=unsearched)}
    assert len(found - {"data/own.txt", "data/one"}) == 1
    assert found & {"data/feedback/a.txt", "data/again/a.txt"}
    assert {"data/own.txt", "data/one"} < found
    assert unsearched == []


def test_a_broken_link_and_one_to_a_parent_folder_are_listed(checkout):
    Path("gone").symlink_to(checkout / "absent")
    Path("up").symlink_to(checkout)
    unsearched: list[str] = []
    assert [str(path) for path in workspace.files(unsearched=unsearched)] == ["data/own.txt"]
    assert unsearched == [
        "gone: is a broken link, or permission is denied",
        f"up: links to {checkout}, which contains this checkout",
    ]


def test_a_folder_that_cannot_be_listed_is_reported(checkout, monkeypatch):
    real = os.listdir

    def refusing(path):  # root, who may run the tests, can list any folder
        if Path(path).name == "data":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", refusing)
    unsearched: list[str] = []
    assert list(workspace.files(unsearched=unsearched)) == []
    assert unsearched == ["data: cannot be listed: permission denied"]


def test_only_the_configured_cache_is_excluded(checkout):
    for name in (".dvc/cache/x", "cache/x"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("x")
    found = {str(path) for path in workspace.files(Path("cache").resolve())}
    assert found == {".dvc/cache/x", "data/own.txt"}


def test_a_link_to_a_file_outside_the_checkout_is_not_deletable(checkout):
    kept = checkout / "cache/files/md5/ab" / ("c" * 30)
    kept.parent.mkdir(parents=True)
    kept.touch()
    for name, target in (("mine", checkout / "disk/one.txt"), ("kept", kept), ("in", "own.txt")):
        Path("data", name).symlink_to(target)
    names = ("mine", "kept", "in")
    deletable = [name for name in names if workspace.is_deletable(Path("data", name))]
    assert deletable == ["kept", "in"]
