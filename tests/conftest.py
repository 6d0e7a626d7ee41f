"""What tests share: the project's own parameters, toy projects, and no telemetry."""

import os
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "1",  # as `unveil.common.backend` sets it
}
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.org")
os.environ.update(OFFLINE)
# The same examples every time, so that a test does not fail at random.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")
# A shell that starts us in the background has us, and all we start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = ("test_dispatch.py", "test_train_all.py", "test_erase_after_training.py")
LONGEST += ("test_artifacts.py", "test_promotion.py", "test_registry.py", "test_resume.py")
"""The files that take minutes, longest first."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the project's params.yaml."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def packed(place: Path) -> Path:
    """A place with packed faces."""
    pack(place)
    return place


def pack(place: Path, *, train: int = 48, validation: int = 24, test: int = 24) -> None:
    """Pack so many faces of each split below a folder.

    Each class is bright in a quarter of its own, and every third wears glasses.
    """
    counts = {"train": train, "validation": validation, "test": test}
    folder = place / "data/03_packed"
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate(counts.items()):
        generator = np.random.default_rng(seed)
        labels = np.arange(count) % 4
        images = generator.integers(0, 90, (count, 48, 48, 1)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 2)
            image[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24] += 120
        np.savez(folder / f"{name}.npz", images=images, labels=labels)
        rows(name, images, labels).to_parquet(folder / f"{name}.parquet")


def rows(name: str, images: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """What a manifest says of so packed faces."""
    pixels = images.reshape(len(images), -1)
    return pd.DataFrame(
        {
            "member": [f"{name}/{place:03}.png" for place in range(len(labels))],
            "label": np.array(["happy", "neutral", "sad", "surprise"])[labels],
            "brightness": pixels.mean(1),
            "contrast": pixels.std(1),
            "sharpness": np.abs(np.diff(pixels.astype(float))).mean(1),
            "glasses": np.where(np.arange(len(labels)) % 3, "no", "yes"),
            **({} if name == "train" else {"twin_in_train": "none"}),
        }
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project with what the work tree changed; its module may edit it."""
    folder = tmp_path_factory.mktemp("project")
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for command in (
        ["git", "init", "--quiet"],
        ["git", "add", "--all"],
        ["git", *IDENTITY, "commit", "--quiet", "-m", "start"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture(autouse=True)
def _fault(request: pytest.FixtureRequest, record_property) -> None:
    """Send a test's fault along with its report, which pytest-xdist carries to the summary."""
    for marker in request.node.iter_markers("fault"):
        record_property("fault", [*marker.args, 1][:2])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no process is left alone with one of them."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests counted: the layout, and the faults injected and survived."""
    print_layout(terminalreporter)
    print_faults(terminalreporter)


def print_layout(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many modules, files and functions break the rules of the layout."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    properties = [pair for one in reports if one.when == "call" for pair in one.user_properties]
    counts = [value for name, value in properties if name == "layout"]
    if counts:
        terminalreporter.section("layout")
    for name, count in counts:
        terminalreporter.line(f"{count:4}  {name}")


def print_faults(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how often each fault was injected, and survived."""
    injected, survived = Counter(), Counter()
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.getreports(outcome):
            faults = dict(
                value for name, value in getattr(report, "user_properties", ()) if name == "fault"
            )
            if report.when == "call" or outcome == "error":
                injected.update(faults)
                survived.update(faults if outcome == "passed" else {})
    if injected:
        terminalreporter.section("faults")
        width = max(map(len, injected))
        terminalreporter.line(f"{'fault':{width}}  injected  survived")
        for fault, count in sorted(injected.items()):
            terminalreporter.line(f"{fault:{width}}  {count:8}  {survived[fault]:8}")
