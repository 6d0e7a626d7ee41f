"""Exports have the faces in use, can be ingested again, and are recorded without names."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.dataset_faults import inject_faults, twins_across_splits
from typer.testing import CliRunner

from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.paths import ARCHIVE, JOURNAL, MANIFEST
from unveil.config import params
from unveil.config.provenance import dvc_hash
from unveil.data import ingest, manifest, synthetic

COUNTS = {"train": 24, "validation": 8, "test": 8}
KEPT = ["sha256", "split", "label", "glasses", "lighting"]


@pytest.fixture
def listed(place: Path) -> pd.DataFrame:
    """A folder with an archive in which the train copies of eight test faces are in quarantine."""
    synthetic.draw_dataset(Path("drawn.zip"), counts=COUNTS, seed=0)
    inject_faults(Path("drawn.zip"), Path("faulty.zip"), twins_across_splits)
    ARCHIVE.parent.mkdir(parents=True)
    Path("faulty.zip").rename(ARCHIVE)
    faces = manifest.make(ARCHIVE, params.load())
    return faces[faces["quarantine"] == ""]


def exported(target: str) -> str:
    said = CliRunner().invoke(app, ["data", "export", target], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.output


def facts(faces: pd.DataFrame) -> np.ndarray:
    return faces[KEPT].fillna("").sort_values(KEPT).to_numpy()


def test_an_export_can_be_ingested_elsewhere(listed, place, monkeypatch):
    said = exported("out.zip")
    assert "24 faces in train, 8 faces in validation, 8 faces in test" in said
    line = json.loads(JOURNAL.read_text())
    assert line.pop("time")
    assert line == {"verb": "export", "archive": dvc_hash(Path("out.zip")), "images": len(listed)}
    loaded = params.load()
    monkeypatch.chdir((place / "elsewhere").mkdir() or place / "elsewhere")
    ingest.ingest(place / "out.zip", layout=manifest.archive_layout(loaded))
    again = manifest.make(ARCHIVE, loaded)
    assert set(again["quarantine"]) == {""}
    assert (facts(again) == facts(listed)).all()


def test_the_same_faces_give_the_same_bytes(listed):
    exported("one.zip")
    exported("two.zip")
    assert Path("one.zip").read_bytes() == Path("two.zip").read_bytes()


def test_nothing_is_overwritten_or_incomplete_and_errors_are_one_line(listed, monkeypatch):
    for name, line in (("out.tar", "does not end with .zip"), (ARCHIVE, "exists already")):
        before = ARCHIVE.read_bytes()
        with pytest.raises(UserError, match=f"{name} {line}; name a new zip"):
            exported(str(name))
        assert ARCHIVE.read_bytes() == before
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        archive.writestr("no/face", "")
    with pytest.raises(UserError, match="has no member"):
        exported("out.zip")
    assert not Path("out.zip").exists()
    assert not JOURNAL.exists()
    MANIFEST.unlink()
    with pytest.raises(UserError, match="unveil manifest"):
        exported("out.zip")
