"""Wrong arguments of a worker or run are one error line, before any request to a server."""

import pytest
import typer
from flows import trigger, worker
from typer.testing import CliRunner


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
