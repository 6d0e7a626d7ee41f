"""exit_on_signals: signals end a command in time; with real processes and signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.conftest import ROOT
from tests.support import closed

PROMISED = 5
"""Seconds from the signal to the end of all processes."""

COMMAND = """
import signal, subprocess, sys, time
from flows.signals import exit_on_signals
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has the tests, and all they start, ignore it
with exit_on_signals("a command"):
    child = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    own = subprocess.Popen([sys.executable, "-c", child], start_new_session=True, **quiet)
    try:
        print("begun", flush=True)
        time.sleep(600)
    finally:
        print("left in order", flush=True)
        if "stuck" in sys.argv:
            time.sleep(600)
        own.kill()
    print("never said")
"""


@pytest.fixture(params=["", "stuck"])
def command(request, tmp_path: Path) -> Iterator[subprocess.Popen]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, request.param],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.stuck = bool(request.param)
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_in_time_with_the_code_of_the_signal(command, number):
    began = time.monotonic()
    os.killpg(command.pid, number)
    output = command.communicate(timeout=60)
    assert time.monotonic() - began < PROMISED
    assert command.returncode == 128 + number
    assert output[0] == "left in order\n"
    assert output[1].startswith(f"a command: ended by {signal.Signals(number).name}; ")
    assert len(output[1].splitlines()) == 1


def test_a_second_signal_changes_nothing(command):
    began = time.monotonic()
    os.killpg(command.pid, signal.SIGINT)
    assert command.stdout.readline() == "left in order\n"
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(command.pid, number)
    output = command.communicate(timeout=60)
    assert time.monotonic() - began < PROMISED
    assert command.returncode == 130
    assert "Traceback" not in output[1]


def test_a_stuck_command_is_killed_with_its_children(command):
    if not command.stuck:
        pytest.skip("its children are its own concern")
    (child,) = psutil.Process(command.pid).children()
    os.killpg(command.pid, signal.SIGINT)
    command.wait(timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_signals_ignored_by_the_shell_stay_ignored(tmp_path: Path):
    program = "from flows.signals import exit_on_signals; import signal\n"
    program += (
        "with exit_on_signals('it'): print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    )
    result = subprocess.run(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "True\n", result.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_a_command_with_a_closed_stream_ends_with_the_code_of_the_signal(number):
    program = "import os, signal, time; from flows.signals import exit_on_signals\n"
    program += "with exit_on_signals('it'): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"
    ended = closed.run(program, number)
    assert ended.returncode == 128 + signal.SIGTERM
    line = "it: ended by SIGTERM; results are kept, run it again to resume\n"
    assert (ended.stdout, ended.stderr) == ("", "" if number == 2 else line)
