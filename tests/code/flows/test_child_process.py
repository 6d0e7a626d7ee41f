"""flows.child_process: it waits for locks and ends with its parent; with real processes."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ROOT

WAITS = {
    "UNVEIL_SLOT": ("core-0", "unveil-core-0.training"),
    "UNVEIL_MAKES": ("cnn3", ".dvc/tmp/making-cnn3.lock"),
}


@pytest.fixture(params=WAITS)
def waiting(request, tmp_path) -> Iterator[tuple]:
    """A child process that will touch `done`, and the locked file it waits for."""
    value, name = WAITS[request.param]
    lock = tmp_path / name
    lock.parent.mkdir(parents=True, exist_ok=True)
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT}/src", "TMPDIR": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "flows.child_process",
        "/usr/bin/touch",
        str(tmp_path / "done"),
    ]
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen(
            command, cwd=tmp_path, env={**environment, request.param: value}, stdin=subprocess.PIPE
        ) as guard:
            with pytest.raises(subprocess.TimeoutExpired):
                guard.wait(timeout=2)
            yield guard, held
            guard.kill()


def test_a_command_waits_for_the_one_before_it(waiting, tmp_path: Path):
    guard, held = waiting
    assert not (tmp_path / "done").exists()
    fcntl.flock(held, fcntl.LOCK_UN)
    assert guard.wait(timeout=30) == 0
    assert (tmp_path / "done").exists()


def test_a_waiting_command_ends_with_its_parent(waiting, tmp_path: Path):
    guard, held = waiting
    guard.stdin.close()
    assert guard.wait(timeout=30) == 1
    fcntl.flock(held, fcntl.LOCK_UN)
    assert not (tmp_path / "done").exists()


def test_the_former_name_works_for_workers_that_an_upgrade_overtook(tmp_path: Path):
    command = [sys.executable, "-m", "flows.guard", "/usr/bin/touch", "done"]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT}/src"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as guard:
        assert guard.wait(timeout=60) == 0
        said = guard.stderr.read().decode()
    assert said == "flows.guard is now flows.child_process; restart this worker\n"
    assert (tmp_path / "done").exists()
