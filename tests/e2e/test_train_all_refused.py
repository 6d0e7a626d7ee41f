"""A train-all that cannot start: one error line and exit code 2, before any work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import servers

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
