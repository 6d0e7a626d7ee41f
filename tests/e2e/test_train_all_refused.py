"""A train-all that cannot start: one error line and exit code 2, before any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import servers

WITHOUT_PREFECT = """
import atexit, runpy
heavy = ("prefect", "dvc", "mlflow", "keras", "rich.live")
atexit.register(lambda: print([name for name in heavy if name in sys.modules]))
runpy.run_module("flows", run_name="__main__")
"""
MERGED = "<<<<<<< HEAD\na: 1\n=======\n"


def call(folder: Path, module: str, url: str | None = None) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": f"{servers.BIN}:{os.environ['PATH']}"}
    environment |= {"PREFECT_HOME": str(folder / ".prefect"), "PYTHONPATH": str(folder)}
    environment.pop("PREFECT_API_URL", None)
    environment |= {"PREFECT_API_URL": url} if url else {}
    return subprocess.run(
        [sys.executable, "-m", *module.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def refused(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 2, result.stdout + result.stderr
    assert len((result.stdout + result.stderr).splitlines()) == 1, result.stdout + result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize(
    "name", ["dvc.lock", "dvc.yaml", "params.yaml", "data/01_raw/faces.zip.dvc"]
)
def test_a_file_with_merge_conflict_markers_is_named(project, name):
    path = project / name
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MERGED)
    try:
        refused(call(project, "flows"), name)
    finally:
        path.unlink() if before is None else path.write_text(before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--architectures nonsense", ["unknown architecture 'nonsense'; choose from cnn3, "]),
        ("--architectures cnn3,vgg61", ["unknown architecture 'vgg61'", "did you mean 'vgg16'?"]),
        ("--recipe nonsense", ["unknown recipe 'nonsense'; choose from sample, modest, full"]),
        ("--recipe smaple", ["did you mean 'sample'?"]),
        ("--source nowhere.zip", ["nowhere.zip not found; a source is a zip, a folder"]),
    ],
)
def test_a_wrong_argument_is_refused_before_prefect_is_imported(project, options, words):
    refused(call(project, f"flows {options}"), "train-all: ", *words)
    program = f"import sys; sys.argv = ['flows', *{options.split()}]\n{WITHOUT_PREFECT}"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2, result.stderr
    assert result.stdout == "[]\n"
    assert not (project / "data/10_logs").exists()


@pytest.mark.parametrize(
    "module", ["flows", "flows.deploy", "flows.monitor", "flows.events", "flows.trigger train-all"]
)
def test_a_server_that_was_stopped_is_named_without_its_password(project, module):
    url = f"http://ann:secret@127.0.0.1:{servers.free_port()}/api"
    result = call(project, module, url)
    refused(result, url.replace("ann:secret", "***"), "PREFECT_API_URL")
    assert "secret" not in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:4200/api", "http://[::1/api", "http://", "ftp://h/api"])
def test_an_invalid_address_is_reported(project, url):
    refused(call(project, "flows", url), repr(url), "PREFECT_API_URL")
