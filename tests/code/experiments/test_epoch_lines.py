"""The lines of the epochs, which train-all reads; written only if they are asked for."""

import pytest

from unveil.config import params
from unveil.experiments.epoch_lines import EPOCHS, Epoch, with_lines

ROW = {"epoch": 2.0, "stage": 2.0, "seconds": 4.26, "val_macro_f1": 0.59104, "loss": 1.0}


@pytest.fixture
def schedule(place):
    return params.load().schedules["cnn3"]


def test_an_epoch_is_read_back_from_its_line(schedule, monkeypatch, capsys):
    monkeypatch.setenv(EPOCHS, "1")
    rows = []
    with_lines(rows.append, "cnn3", schedule)(ROW)
    line = capsys.readouterr().err
    assert line == "cnn3: epoch 3 of 7, stage 2 of 2, validation macro-F1 0.5910, 4.3 s\n"
    expected = Epoch("cnn3", 3, 7, stage=2, stages=2, score=0.591, seconds=4.3)
    assert Epoch.parse(line) == expected
    assert rows == [ROW]


def test_no_line_is_written_otherwise(schedule, monkeypatch, capsys):
    monkeypatch.delenv(EPOCHS, raising=False)
    assert with_lines(print, "cnn3", schedule) is print


@pytest.mark.parametrize("line", ["", "cnn3: epoch 3", "cnn3: best validation macro-F1 0.5910"])
def test_other_lines_are_no_epochs(line):
    assert Epoch.parse(line) is None
