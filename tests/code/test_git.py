"""Git is asked through one door: an answer, none where there is no repository, or one line."""

import subprocess
from pathlib import Path

import pytest
from flows import checkout
from tests.conftest import ROOT

from unveil import git, provenance, tracked
from unveil.errors import UserError


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    return tmp_path


def test_without_a_repository_there_is_no_answer(place):
    assert git.ask("rev-list", "--all") is None
    assert provenance.git_commit() == "unknown"
    assert not tracked.in_git(Path("a"))
    with pytest.raises(UserError, match=r"^git status: no git here, or .* is no git repository$"):
        checkout.state()


def test_without_git_there_is_no_answer(place, monkeypatch):
    subprocess.run(["git", "init", "--quiet"], check=True)
    monkeypatch.setenv("PATH", str(place))
    assert git.ask("rev-list", "--all") is None
    assert provenance.git_commit() == "unknown"
    with pytest.raises(UserError, match=r"^git status: no git here, or "):
        checkout.state()


def test_an_answer_has_names_as_they_are_and_nothing_found_is_one(place):
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("f\u00e4ce\udcff").write_text("kept")
    subprocess.run(["git", "add", "."], check=True)
    assert git.ask("ls-files") == git.Answer(0, "f\u00e4ce\udcff\n", "")
    answer = git.ask("grep", "-f", "-", "--cached", given="absent")
    assert (answer.code, answer.said) == (1, "")


@pytest.mark.parametrize("arguments", [("show", "HEAD:a"), ("checkout", "--no-such")])
def test_what_git_refuses_is_its_own_line(place, arguments):
    subprocess.run(["git", "init", "--quiet"], check=True)
    with pytest.raises(UserError, match=rf"^git {arguments[0]}: ") as refusal:
        git.ask(*arguments)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_git_that_is_mute_or_cannot_be_run_is_a_line(place, monkeypatch):
    mute = place / "git"
    mute.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setenv("PATH", str(place))
    mute.chmod(0o700)
    with pytest.raises(UserError, match=r"^git status took more than 0\.2 s$"):
        git.ask("status", patience=0.2)
    mute.write_text("no program")
    with pytest.raises(UserError, match=r"^git does not answer: "):
        git.ask("status")


def test_nothing_else_starts_git():
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        assert path.name == "git.py" or '["git"' not in path.read_text(), path
