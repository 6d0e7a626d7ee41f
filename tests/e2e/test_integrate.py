"""The examples of docs/how-to/embed.md work unchanged on a running server."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from tests.support import servers
from tests.support.bundles import made, quarter
from tests.support.import_graph import ROOT
from tests.support.scenes import film, scene

from unveil.serving import tokens

PAGE = (ROOT / "docs/how-to/embed.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
PYTHON = [text for kind, text in BLOCKS if kind == "python" and "prefect" not in text]
CURL = [text for kind, text in BLOCKS if kind == "sh" and text.startswith("curl")]
PREFECT = [text for kind, text in BLOCKS if kind == "python" and "prefect" in text]
SAID = (
    " None\n",
    "['",
    "{'neutral': 2}",
    "'surprise': 0.25",
    "to withdraw the image, give this name: ",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("integrate")
    (folder / "models").symlink_to(ROOT / "models")
    Image.fromarray(quarter(1)).save(folder / "face.png")
    film(folder / "video.avi", [scene((200, 120, 200))] * 3)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Run an example next to a face and a video, with its own server."""
    token = tokens.issue(folder / "tokens.json", "program")
    options = ["--token-file", "tokens.json", "--feedback", "kept", "--feedback-pictures"]
    with servers.unveil_server(folder, made(folder / "b"), *options) as url:

        def run(command: list[str], text: str) -> str:
            text = text.replace("http://127.0.0.1:8000", url)
            text = text.replace("VideoCapture(0)", "VideoCapture('video.avi')")
            around = {**os.environ, "UNVEIL_TOKEN": token}
            result = subprocess.run(
                [*command, text],
                cwd=folder,
                env=around,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert result.returncode == 0, result.stdout + result.stderr
            return result.stdout

        yield run


def test_the_page_has_the_snippets_that_are_tested():
    assert (len(PYTHON), len(CURL), len(PREFECT)) == (len(SAID), 2, 1)
    assert [kind for kind, _ in BLOCKS].count("html") == 1  # opened in test_page


@pytest.mark.parametrize("place", range(len(SAID)))
def test_python_is_answered(run, place):
    assert SAID[place] in run([sys.executable, "-c"], PYTHON[place])


def test_curl_is_answered(run):
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    answered, fed = (json.loads(run(["sh", "-c"], text)) for text in CURL)
    assert answered["faces"][0]["emotion"] == "neutral"
    assert fed == {"picture": None}


@pytest.mark.slow
def test_an_automation_is_triggered_by_champion_events(tmp_path):
    with servers.prefect_server(tmp_path / "prefect") as api:
        around = {**os.environ, "PREFECT_API_URL": api, "PREFECT_HOME": str(tmp_path / "prefect")}
        command = [sys.executable, "-c", PREFECT[0]]
        result = subprocess.run(command, env=around, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        command = [servers.BIN / "prefect", "automation", "ls"]
        listed = subprocess.run(command, env=around, capture_output=True, text=True, timeout=120)
        assert "tell of a new" in " ".join(listed.stdout.split())
