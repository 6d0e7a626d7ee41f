"""`run_git`: a result, None without git or a repository, and errors of one line."""

import subprocess
from pathlib import Path

import pytest
from flows import code_version
from tests.conftest import ROOT

from unveil.common import missing_files
from unveil.common.errors import UserError
from unveil.common.git import GitResult, run_git
from unveil.config import provenance


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    return tmp_path


def test_outside_a_repository_there_is_no_result(place):
    assert run_git("rev-list", "--all") is None
    assert provenance.git_commit() == "unknown"
    assert not missing_files.in_git(Path("a"))
    message = r"^git status: git is not installed, or .* is not a git repository$"
    with pytest.raises(UserError, match=message):
        code_version.state()


def test_without_git_there_is_no_result(place, monkeypatch):
    subprocess.run(["git", "init", "--quiet"], check=True)
    monkeypatch.setenv("PATH", str(place))
    assert run_git("rev-list", "--all") is None
    assert provenance.git_commit() == "unknown"
    with pytest.raises(UserError, match=r"^git status: git is not installed, or "):
        code_version.state()


def test_names_are_not_quoted_and_finding_nothing_is_a_result(place):
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("f\u00e4ce\udcff").write_text("kept")
    subprocess.run(["git", "add", "."], check=True)
    assert run_git("ls-files") == GitResult(0, "f\u00e4ce\udcff\n", "")
    result = run_git("grep", "-f", "-", "--cached", stdin="absent")
    assert (result.code, result.stdout) == (1, "")


@pytest.mark.parametrize("arguments", [("show", "HEAD:a"), ("checkout", "--no-such")])
def test_a_refusal_of_git_is_its_own_message_in_one_line(place, arguments):
    subprocess.run(["git", "init", "--quiet"], check=True)
    with pytest.raises(UserError, match=rf"^git {arguments[0]}: ") as refusal:
        run_git(*arguments)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_git_that_does_not_answer_or_cannot_run_is_a_one_line_error(place, monkeypatch):
    program = place / "git"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    monkeypatch.setenv("PATH", str(place))
    program.chmod(0o700)
    with pytest.raises(UserError, match=r"^git status took more than 0\.2 s$"):
        run_git("status", timeout=0.2)
    program.write_text("no program")
    with pytest.raises(UserError, match=r"^git does not answer: "):
        run_git("status")


def test_no_other_module_runs_git():
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        assert path.name == "git.py" or '["git"' not in path.read_text(), path
