"""Wrong arguments of a worker or run are one error line, before any request to a server."""

import pytest
import typer
from flows import duration, trigger, worker
from typer.testing import CliRunner

from unveil.common.paths import MODELS


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (worker.main, ["--pool", "controll"], "unknown work pool 'controll'; choose from control"),
        (worker.main, ["--cores", "-1"], "equal to 1"),
        (worker.main, ["--cores", "2"], "cores are for a machine without GPUs, here are: 0,"),
        (trigger.main, ["train-all", "--recipe", "ful"], "unknown recipe 'ful'"),
    ],
)
def test_a_wrong_argument_is_one_line(place, monkeypatch, verb, arguments, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    app = typer.Typer()
    app.command()(verb)
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert message in ended.stderr


@pytest.mark.parametrize("text", ["", "epoch\n1\n", "seconds\nlong\n", "epoch,seconds\n1\n", "\0"])
def test_a_damaged_history_does_not_stop_a_training(place, text):
    without = duration.training_seconds("cnn3")
    history = MODELS / "cnn3/history.csv"
    history.parent.mkdir(parents=True, exist_ok=True)
    history.write_text("seconds\n1\n2.5\n")
    assert duration.training_seconds("cnn3") == 3.5
    history.write_text(text)
    assert duration.training_seconds("cnn3") in (without, 0)
    history.write_bytes(b"\xff\xfe seconds")
    assert duration.training_seconds("cnn3") == without
