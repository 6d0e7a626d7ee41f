"""Commands of a flow: their output is printed line by line, and followed by the view."""

import io
from pathlib import Path

import pytest
from flows import command
from flows.plain_view import PlainView
from flows.view import showing
from tests.conftest import ROOT

TALKS = """
import sys
for share in (10, 55, 100):
    sys.stderr.write(f"\\rtrain: {share:3}%|#   | 1/2 [00:01<00:02]")
    sys.stderr.flush()
sys.stderr.write("\\n")
print("Updating lock file 'dvc.lock'")
print("a warning of unveil", file=sys.stderr)
print("unveil: the loss is no longer finite", file=sys.stderr)
print("half a line", end="")
sys.exit(2)
"""


@pytest.fixture
def view(tmp_path, monkeypatch) -> PlainView:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT}/src")
    Path("talks.py").write_text(TALKS)
    return PlainView(io.StringIO(), io.StringIO())


def test_a_progress_bar_is_one_line_and_a_warning_is_shown(view, capsys):
    with showing(view):
        result = command.run("talks")
    printed = capsys.readouterr().out.splitlines()
    assert "train: 100%|#   | 1/2 [00:01<00:02]" in printed
    assert "half a line" in printed
    assert len([line for line in printed if line.startswith("train:")]) == 1
    assert (result.status, result.reason) == (2, "the loss is no longer finite")
    assert view.state.detail == "train, 100 %"
    assert view._err.getvalue() == "a warning of unveil\n"


def test_only_a_view_that_listens_asks_for_the_lines_of_epochs(view, capsys):
    Path("talks.py").write_text("import os; print(os.environ.get('UNVEIL_EPOCHS'))")
    command.run("talks")
    with showing(view):
        command.run("talks")
    assert capsys.readouterr().out.split() == ["None", "1"]
