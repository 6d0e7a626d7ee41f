"""The log of a train-all gets all output but that of the view; old logs are removed."""

import os
import subprocess
import sys

import pytest
from flows.run_log import KEPT, run_log
from tests.conftest import ROOT
from tests.support import closed

from unveil.common.errors import UserError
from unveil.common.paths import RUN_LOGS

PROGRAM = """
import os, subprocess, sys
from flows.run_log import run_log
with run_log() as log:
    print("a line of Python")
    os.write(2, b"a line of C\\n")
    subprocess.run([sys.executable, "-c", "print('a line of a child')"], check=True)
    print("progress", file=log.out)
    print("error", file=log.err)
print("afterwards")
"""


def test_all_output_goes_to_the_log_and_the_streams_reach_the_terminal(place):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert (shown.stdout, shown.stderr) == ("progress\nafterwards\n", "error\n")
    (log,) = RUN_LOGS.iterdir()
    assert log.read_text().splitlines() == ["a line of Python", "a line of C", "a line of a child"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_stream_that_is_closed_changes_nothing_for_the_other_and_the_log(place, number):
    program = PROGRAM.replace("with run_log", "with exit_on_signals('it'), run_log")
    ended = closed.run(f"from flows.signals import exit_on_signals\n{program}", number)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ("" if number == 1 else "progress\nafterwards\n")
    assert ended.stderr == ("" if number == 2 else "error\n")
    (log,) = RUN_LOGS.iterdir()
    assert log.read_text().splitlines() == ["a line of Python", "a line of C", "a line of a child"]


def test_the_newest_logs_are_kept(place):
    RUN_LOGS.mkdir(parents=True)
    for number in range(30):
        (RUN_LOGS / f"train-all-20200101-0000{number:02}.log").touch()
    (RUN_LOGS / "notes.txt").touch()
    with run_log() as log:
        pass
    kept = sorted(path.name for path in RUN_LOGS.iterdir())
    assert len(kept) == KEPT + 2
    assert {log.path.name, "notes.txt", "train-all-20200101-000029.log"} <= set(kept)


def test_a_folder_that_cannot_be_written_is_one_line(place):
    RUN_LOGS.parent.mkdir(exist_ok=True)
    RUN_LOGS.write_text("a file")
    with pytest.raises(UserError, match=r"the log data/10_logs/train-all-.+\.log cannot be"):
        run_log().__enter__()
