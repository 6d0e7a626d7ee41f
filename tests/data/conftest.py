"""What tests on real faces share: where they are, and the splits packed once for a module."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ROOT

from unveil.common.paths import ARCHIVE
from unveil.config import params

FACES = ROOT.parent / "shared" / "data" / "Facial_emotion_images.zip"
ABSENT = f"the real faces are not at {FACES}"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real faces, packed as the recipe full has it, in a folder to work in."""
    if not FACES.exists():
        pytest.skip(ABSENT)
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", ".")
        params.choose_recipe("full")
        ARCHIVE.parent.mkdir(parents=True)
        shutil.copy(FACES, ARCHIVE)
        for verb in ("manifest", "validate", "pack"):
            subprocess.run([sys.executable, "-m", "unveil", verb], check=True, capture_output=True)
        yield folder
