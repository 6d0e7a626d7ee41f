"""Ctrl-C and SIGTERM during `make train-all`, with real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from tests.conftest import ROOT
from tests.support.prefect_project import within

PROMISED = 5
"""Seconds from the signal to the end."""

KEY = "cnn3_gray"


@pytest.fixture(scope="module")
def place(project: Path) -> Path:
    """A project with few faces, which uses the virtual environment of these tests."""
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["sample"] = {"train": 240, "validation": 48, "test": 96}
    content["promotion"]["floor"] = 0.0
    content["architectures"] = {KEY: content["architectures"][KEY]}
    schedule = content["recipes"]["sample"]["schedules"][KEY]
    content["recipes"] = {"sample": {**content["recipes"]["sample"], "schedules": {KEY: schedule}}}
    for stage in schedule["stages"]:
        stage |= {"epochs": 400, "patience": 400}
    (project / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (project / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if not path.name.startswith("installed-"):
            (project / ".venv" / path.name).symlink_to(path)
    (project / ".venv/installed-train").touch()
    if (ROOT / ".tools").exists():  # where no uv is on the path
        (project / ".tools").symlink_to(ROOT / ".tools")
    return project


def environment(place: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    kept.pop("PREFECT_API_URL", None)
    return {**kept, "PREFECT_HOME": str(place / ".prefect")}


def at_work(place: Path) -> list[psutil.Process]:
    """All processes whose working folder is the project."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(place) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def epochs(place: Path) -> int:
    """The number of completed epochs, from the checkpoints."""
    kept = (place / ".checkpoints" / KEY).rglob("*-*.npz")
    return max((int(path.name.split("-")[0]) for path in kept), default=0)


@pytest.fixture
def training(place: Path) -> Iterator[subprocess.Popen]:
    """`make train-all` in a process group of its own, after one more completed epoch."""
    before = epochs(place)
    with (place / "log").open("w+b") as log:
        process = subprocess.Popen(
            ["make", "train-all"],
            cwd=place,
            env=environment(place),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            within(
                300,
                lambda: epochs(place) > before or process.poll() is not None,
                lambda: log_text(place),
            )
            assert process.poll() is None, log_text(place)
            yield process
        finally:
            for left in at_work(place):
                left.kill()
            process.wait()


def log_text(place: Path) -> str:
    return (place / "log").read_text()


def ended(place: Path, process: subprocess.Popen, began: float) -> int:
    status = process.wait(timeout=60)
    within(PROMISED, lambda: not at_work(place), lambda: at_work(place))
    assert time.monotonic() - began < PROMISED, log_text(place)[-3000:]
    assert "Traceback" not in log_text(place)
    return status


@pytest.mark.fault("Ctrl-C while train-all trains")
def test_ctrl_c_ends_it_all(place, training):
    began = time.monotonic()
    os.killpg(training.pid, signal.SIGINT)
    # make returns how its command ended; a shell returns 130.
    assert ended(place, training, began) in (2, 130, -signal.SIGINT)
    assert "train-all: ended by SIGINT" in log_text(place)


@pytest.mark.fault("SIGTERM while train-all trains")
def test_sigterm_of_the_command_ends_its_children_too(place, training):
    (command,) = [one for one in at_work(place) if one.cmdline()[1:3] == ["-m", "flows"]]
    began = time.monotonic()
    command.send_signal(signal.SIGTERM)
    assert ended(place, training, began) in (2, 143)
    assert "train-all: ended by SIGTERM" in log_text(place)
