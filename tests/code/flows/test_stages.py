"""The state of a stage's task and of train-all after success, failure or a signal; real DVC."""

import subprocess
from pathlib import Path

import pytest
from flows import stages
from prefect.states import Completed, Failed
from tests.conftest import ROOT
from tests.support.servers import BIN

from unveil.common.files import write_json
from unveil.common.paths import COMPARISON

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


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A folder with a comparison that ranks cnn3 alone."""
    monkeypatch.chdir(tmp_path)
    score = {"value": 0.6, "low": 0.5, "high": 0.7}
    report = {"architecture": "cnn3", "test": {"images": 400, "macro_f1": score}}
    report |= {"epochs": 7, "parameters": 94436}
    comparison = {"ranking": ["cnn3"], "reports": {"cnn3": report}, "lead": None, "ties": []}
    write_json(COMPARISON, comparison)


def test_train_all_is_completed_if_all_trained_networks_were_compared(comparison):
    final = stages.summarize({"cnn3": Completed()}, Completed(message="cnn3 is champion"))
    assert (final.is_completed(), final.message) == (True, "cnn3 is champion")


def test_train_all_fails_if_a_trained_network_was_not_compared(comparison):
    trained = {"cnn3": Completed(), "cnn4": Completed()}
    final = stages.summarize(trained, Completed(message="champion"))
    assert final.is_failed()
    assert str(final.message).startswith("not compared: cnn4; another command changed")


def test_a_failed_training_is_named_before_what_was_not_compared(comparison, capsys):
    trained = {"cnn3": Completed(), "cnn4": Failed(message="no room")}
    final = stages.summarize(trained, Completed())
    assert final.message == "failed: cnn4; the others were compared"
    assert "1  cnn3          0.600 [0.500, 0.700]" in capsys.readouterr().out


def test_a_failed_promotion_is_shown_beside_a_failed_training(comparison, capsys):
    trained = {"cnn3": Completed(), "cnn4": Failed(message="no room")}
    final = stages.summarize(trained, Failed(message="unveil promote failed: no answer"))
    assert final.message == "failed: cnn4; the others were compared"
    assert capsys.readouterr().out.count("unveil promote failed: no answer") == 1


def test_with_nothing_to_do_the_comparison_is_not_read(comparison):
    COMPARISON.unlink()
    assert stages.summarize({}, Completed(message="nothing to do")).is_completed()
