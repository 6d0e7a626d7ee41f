"""What keeps a train-all from beginning is one line and exit code 2, before anything is made."""

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


def refused(said: subprocess.CompletedProcess, *words: str) -> None:
    assert said.returncode == 2, said.stdout + said.stderr
    assert len((said.stdout + said.stderr).splitlines()) == 1, said.stdout + said.stderr
    assert all(word in said.stderr for word in words), said.stderr


@pytest.mark.parametrize(
    "name", ["dvc.lock", "dvc.yaml", "params.yaml", "data/01_raw/faces.zip.dvc"]
)
def test_a_file_with_the_marks_of_a_merge_is_named(project, name):
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
    said = call(project, module, url)
    refused(said, url.replace("ann:secret", "***"), "PREFECT_API_URL")
    assert "secret" not in said.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:4200/api", "http://[::1/api", "http://", "ftp://h/api"])
def test_an_address_that_is_none_is_said_to_be(project, url):
    refused(call(project, "flows", url), repr(url), "PREFECT_API_URL")
