"""The state of a stage's task after success, failure or a signal; with real DVC and processes."""

import subprocess
from pathlib import Path

import pytest
from flows import stages
from tests.conftest import ROOT
from tests.support.servers import BIN

PIPELINE = """
stages:
  train:
    foreach: [killed, wrong]
    do:
      cmd: sh ${item}.sh
      outs: [made]
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch) -> Path:
    """A folder with a pipeline, and the environment of a worker's run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT}/src")
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "ours")
    Path("dvc.yaml").write_text(PIPELINE)
    Path("killed.sh").write_text("kill -KILL $$")
    Path("wrong.sh").write_text("echo 'unveil: the loss is no longer finite' >&2; exit 2")
    subprocess.run([BIN / "dvc", "init", "--no-scm", "--quiet"], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "state", "reason"),
    [
        ("killed", "Crashed", "failed to reproduce 'train@killed': failed to run: sh killed.sh"),
        ("wrong", "Failed", "the loss is no longer finite"),
    ],
)
def test_a_failed_stage_has_its_reason_and_a_signal_is_a_crash(pipeline, key, state, reason):
    ended = stages.repro.fn(f"train@{key}")
    assert ended.name == state
    assert ended.message.startswith(f"stage train@{key} failed: {reason}")
