"""What is wrong with a worker's or a run's words is said in a line, before a server is asked."""

import pytest
import typer
from flows import dispatch, start, worker
from typer.testing import CliRunner

from unveil.paths import MODELS


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [
        (worker.main, ["--pool", "controll"], "unknown work pool 'controll'; choose from control"),
        (worker.main, ["--cores", "-1"], "equal to 1"),
        (worker.main, ["--cores", "2"], "cores are for a machine without GPUs, here are: 0,"),
        (start.main, ["train-all", "--recipe", "ful"], "unknown recipe 'ful'"),
    ],
)
def test_a_wrong_word_is_one_line(place, monkeypatch, verb, arguments, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    app = typer.Typer()
    app.command()(verb)
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert said in ended.stderr


@pytest.mark.parametrize("text", ["", "epoch\n1\n", "seconds\nlong\n", "epoch,seconds\n1\n", "\0"])
def test_a_damaged_history_costs_no_training(place, text):
    without = dispatch._cost("cnn3")
    history = MODELS / "cnn3/history.csv"
    history.parent.mkdir(parents=True, exist_ok=True)
    history.write_text("seconds\n1\n2.5\n")
    assert dispatch._cost("cnn3") == 3.5
    history.write_text(text)
    assert dispatch._cost("cnn3") in (without, 0)
    history.write_bytes(b"\xff\xfe seconds")
    assert dispatch._cost("cnn3") == without
