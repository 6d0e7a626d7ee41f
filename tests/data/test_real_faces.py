"""The real faces: counts, twins and splits, checked by code of their own."""

import hashlib
import io
import json
import shutil
import zipfile
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.data.conftest import ABSENT, FACES

from unveil.config import params
from unveil.data import ingest, manifest

SHA256 = "28ff896f05a989092de62f1b3fff7877fb463736b44688af04aa3b514765d045"
COUNTS = {
    "train": {"happy": 7215, "neutral": 4965, "sad": 4830, "surprise": 3171},
    "validation": {"happy": 463, "neutral": 281, "sad": 325, "surprise": 218},
    "test": {"happy": 432, "neutral": 326, "sad": 328, "surprise": 197},
}
LEAKS = ("across_splits", "with_two_labels")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FACES.exists(), reason=ABSENT),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[pd.DataFrame, dict]:
    folder = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", ".")
        params.choose_recipe("full")
        faces = manifest.make(FACES, params.load())
        return faces, json.loads(Path("data/02_manifest/summary.json").read_text())


@pytest.fixture(scope="module")
def groups() -> list[list[tuple[str, str, str]]]:
    """Group ``(split, label, member)`` by decoded pixels, without any code of ``unveil``."""
    found = defaultdict(list)
    with zipfile.ZipFile(FACES) as archive:
        for name in archive.namelist():
            if name.endswith(".jpg"):
                image = Image.open(io.BytesIO(archive.read(name))).convert("L")
                key = hashlib.md5(repr(image.size).encode() + image.tobytes()).hexdigest()
                found[key].append((*name.split("/")[-3:-1], name))
    return list(found.values())


def test_the_archive_is_the_one_the_numbers_are_about():
    with FACES.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def test_the_counts_are_those_of_its_readme(made):
    faces, summary = made
    assert summary["images"] == len(faces) == 22_751
    counts = faces.groupby(["split", "label"]).size()
    assert {split: counts[split].to_dict() for split in COUNTS} == COUNTS
    assert set(faces["width"]) == set(faces["height"]) == {48}
    assert set(faces["mode"]) == {"L"}


def test_the_twins_are_those_found_independently(made, groups):
    _, summary = made
    twins = [group for group in groups if len(group) > 1]
    expected = {
        "groups": len(twins),
        "across_splits": sum(len({split for split, _, _ in group}) > 1 for group in twins),
        "within_a_split": sum(len({split for split, _, _ in group}) == 1 for group in twins),
        "with_two_labels": sum(len({label for _, label, _ in group}) > 1 for group in twins),
    }
    assert summary["exact_twins"] == expected
    assert (expected["groups"], expected["within_a_split"]) == (868, 682)
    assert (expected["across_splits"], expected["with_two_labels"]) == (186, 5)


def test_near_twins_are_as_many_as_were_looked_at(made):
    counts = {"groups": 579, "within_a_split": 423, "across_splits": 156, "with_two_labels": 23}
    assert made[1]["near_twins"] == counts


def test_no_photograph_in_use_stands_in_two_splits_or_has_two_labels(made):
    faces, _ = made
    groups = faces[faces["quarantine"] == ""].groupby("twins")
    assert groups[["split", "label"]].nunique().to_numpy().max() == 1


def test_no_face_in_use_has_a_twin_in_another_split_or_with_another_label(made, groups):
    faces, _ = made
    kept = set(faces.loc[faces["quarantine"] == "", "member"])
    assert len(kept) < len(faces)
    for group in groups:
        used = [(split, label) for split, label, member in group if member in kept]
        assert len({split for split, _ in used}) <= 1
        assert len({label for _, label in used}) <= 1
        if len({label for _, label, _ in group}) == 1 and "test" in {one[0] for one in group}:
            left_out = faces.set_index("member").loc[[member for *_, member in group], "quarantine"]
            near = left_out.str.startswith("near_twin_with_two_labels").any()
            assert used or near, "a face of the test split with one label is in use"


def test_the_test_split_keeps_all_but_faults(made):
    faces, summary = made
    test = faces[faces["split"] == "test"]
    left_out = test[test["quarantine"] != ""]
    assert len(test) == 1283
    assert left_out["quarantine"].str.contains("twin_with_two_labels").all()
    assert sum(summary["used"]["test"].values()) == 1283 - len(left_out)
    assert len(left_out) <= 2


def test_what_is_left_out_is_counted(made):
    faces, summary = made
    used = sum(sum(counts.values()) for counts in summary["used"].values())
    assert used + sum(summary["quarantined"].values()) == len(faces)
    twins = {f"{kind}_{fault}" for kind in ("twin", "near_twin") for fault in LEAKS}
    assert set(summary["quarantined"]) == {*twins, "constant", "near_white"}


def test_ingest_stores_every_face_byte_for_byte(tmp_path):
    ingest.ingest(
        FACES,
        target=tmp_path / "faces.zip",
        layout=manifest.archive_layout(params.load(ROOT / "params.yaml")),
    )
    with zipfile.ZipFile(FACES) as before, zipfile.ZipFile(tmp_path / "faces.zip") as after:
        names = [name for name in before.namelist() if name.endswith(".jpg")]
        assert len(names) == 22_751
        assert after.namelist() == sorted(names)
        assert all(before.read(name) == after.read(name) for name in names)
