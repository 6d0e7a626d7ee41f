"""The lock of train-all in a checkout: real processes that hold it, and one that is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flows import run_lock
from tests.conftest import ROOT

from unveil.common.errors import UserError

HOLDS = """
from flows.run_lock import checkout_lock
with checkout_lock():
    print("holds", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch) -> Iterator[subprocess.Popen]:
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "holds\n"
        yield process
        process.kill()


def test_a_second_train_all_is_refused_and_the_running_one_named(holder):
    with pytest.raises(UserError, match=rf"runs in this checkout: process {holder.pid} of .+;"):
        run_lock.checkout_lock().__enter__()


def test_a_second_deployed_flow_ends_as_failed(holder):
    from flows.train_all import train_all

    state = train_all.fn()
    assert state.is_failed()
    assert f"process {holder.pid} of " in state.message


@pytest.mark.fault("SIGKILL of a train-all that holds its checkout")
def test_the_lock_of_a_killed_process_is_released(holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(timeout=20)
    with run_lock.checkout_lock():
        assert f"process {os.getpid()} of " in run_lock.LOCK.read_text()
        with run_lock.checkout_lock():  # the flow of a command that holds the lock
            pass


def test_an_old_lock_file_is_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_lock.LOCK.parent.mkdir(parents=True)
    run_lock.LOCK.write_text("process 1 of nobody on a host with a long name, since long ago" * 3)
    with run_lock.checkout_lock():
        assert run_lock.LOCK.read_text().count("process") == 1
