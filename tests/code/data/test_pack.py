"""Packed arrays are the manifest rows in their order; data that did not pass is not packed."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import ROOT

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.common.types import SPLITS
from unveil.config import params
from unveil.config.schema import TWIN
from unveil.data import manifest, pack
from unveil.data.decoding import resize
from unveil.dataset import arrays
from unveil.dataset.arrays import Faces, subset
from unveil.privacy import search

PARAMS = params.load(ROOT / "params.yaml")
ARCHIVE, MANIFEST, VERDICT = map(Path, ("faces.zip", "faces.parquet", "validation.json"))


def noise(seed: int, width: int = 48, height: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


PIXELS = {
    f"{split}/{label}/{split}{place}.png": noise(5 * number + place)
    for number, (split, label) in enumerate(
        (split, label) for split in SPLITS for label in reversed(PARAMS.classes)
    )
    for place in range(3)
} | {"train/sad/wide.png": noise(1000, 80, 50), "train/sad/small.png": noise(1001, 20, 20)}


def encoded(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def faces(tmp_path, monkeypatch) -> pd.DataFrame:
    monkeypatch.chdir(tmp_path)
    twin = {"train/happy/twin.png": PIXELS["test/happy/test0.png"]}
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for name, pixels in (PIXELS | twin).items():
            archive.writestr(name, encoded(pixels))
        archive.writestr("train/happy/empty.png", b"")
    return manifest.make(ARCHIVE, PARAMS)


def judged(faces: pd.DataFrame, *, passed: bool) -> None:
    faces.to_parquet(MANIFEST)
    VERDICT.write_text(json.dumps({"passed": passed, "manifest": sha256(MANIFEST)}))


def made(faces: pd.DataFrame, parameters: params.Params = PARAMS) -> dict[str, Faces]:
    judged(faces, passed=True)
    counts = pack.make(ARCHIVE, MANIFEST, parameters, validation=VERDICT)
    assert counts == {name: len(arrays.load(name)) for name in SPLITS}
    return {name: arrays.load(name) for name in SPLITS}


def test_the_arrays_are_the_rows_in_use_in_their_order(faces):
    packs = made(faces.sample(frac=1, random_state=1))
    for name in SPLITS:
        rows = manifest.used_faces(faces, name)
        images, labels = packs[name].images, packs[name].labels
        assert (images.shape, images.dtype) == ((len(rows), 48, 48, 1), np.uint8)
        assert (labels.shape, labels.dtype) == ((len(rows),), np.int64)
        assert [PARAMS.classes[label] for label in labels] == list(rows["label"])
        for image, member in zip(images, rows["member"], strict=True):
            assert np.array_equal(image[:, :, 0], resize(PIXELS[member], 48))
    assert {name: len(packs[name]) for name in SPLITS} == {
        "train": 14,
        "validation": 12,
        "test": 12,
    }


def test_only_a_file_of_two_arrays_is_written(faces):
    made(faces)
    written = sorted(path.name for path in Path("data/03_packed").iterdir())
    assert written == [f"{name}.{kind}" for name in sorted(SPLITS) for kind in ("npz", "parquet")]
    with np.load("data/03_packed/train.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels"]


def test_the_rows_of_the_manifest_are_kept_in_the_order_of_the_arrays(faces):
    packs = made(faces.assign(glasses="no").sample(frac=1, random_state=1))
    for name in SPLITS:
        rows, labels = arrays.load_metadata(name), packs[name].labels
        assert list(rows["label"]) == [PARAMS.classes[label] for label in labels]
        assert list(rows["member"]) == sorted(rows["member"])
        assert {*faces.columns, "glasses"} == {*rows.columns} - {TWIN}
        assert (TWIN in rows) == (name != "train")


def test_near_duplicates_in_train_and_in_quarantine_are_distinguished(faces):
    rows = pack.with_twins(faces, "test").set_index("member")[TWIN]
    assert rows[rows != "none"].to_dict() == {"test/happy/test0.png": "left out"}
    kept = faces.assign(quarantine="", split=faces["split"].where(faces["sha256"] != "", "test"))
    rows = pack.with_twins(kept, "test").set_index("member")[TWIN]
    assert rows[rows != "none"].to_dict() == {"test/happy/test0.png": "learned"}


@pytest.mark.parametrize("column", ["fault", "twins"])
def test_a_row_with_the_duplicate_of_an_erased_face_is_found(faces, tmp_path, column):
    made(faces)
    person = search.Person(frozenset({"train/sad/theirs.png"}), {"d" * 64: encoded(noise(7))})
    table = tmp_path / "rows.parquet"
    arrays.load_metadata("test").to_parquet(table)
    assert not search.contains(table, person)
    words = {"fault": "near twin: train has train/sad/theirs.png", "twins": "d" * 64}
    arrays.load_metadata("test").assign(**{column: words[column]}).to_parquet(table)
    assert search.contains(table, person)


def test_other_sizes_are_resized(faces):
    smaller = replace(PARAMS, data=replace(PARAMS.data, image_size=24))
    images = made(faces, smaller)["train"].images
    assert images.shape == (14, 24, 24, 1)
    place = list(manifest.used_faces(faces, "train")["member"]).index("train/sad/wide.png")
    assert np.array_equal(images[place, :, :, 0], resize(PIXELS["train/sad/wide.png"], 24))


def test_data_that_did_not_pass_is_not_packed(faces):
    judged(faces, passed=False)
    with pytest.raises(UserError, match=r"^validation\.json: validation did not pass"):
        pack.make(ARCHIVE, MANIFEST, PARAMS, validation=VERDICT)
    VERDICT.unlink()
    with pytest.raises(UserError, match="not found; run `unveil validate`"):
        pack.make(ARCHIVE, MANIFEST, PARAMS, validation=VERDICT)
    assert not Path("data/03_packed").exists()


def test_a_result_about_another_manifest_is_refused(faces):
    judged(faces, passed=True)
    faces.iloc[1:].to_parquet(MANIFEST)
    with pytest.raises(UserError, match=r"^validation\.json is about another manifest"):
        pack.make(ARCHIVE, MANIFEST, PARAMS, validation=VERDICT)
    assert not Path("data/03_packed").exists()


def test_a_split_that_is_not_packed_names_the_command(faces):
    with pytest.raises(UserError, match=r"train\.npz not found; run `unveil pack`"):
        arrays.load("train")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_pack_keeps_the_old_arrays(faces, monkeypatch, stop):
    made(faces)
    before = {path: path.read_bytes() for path in Path("data/03_packed").iterdir()}

    def interrupted(file: IO[bytes], array: np.ndarray, **_: object) -> None:
        file.write(array.tobytes()[:1])
        raise stop

    monkeypatch.setattr(arrays.npy, "write_array", interrupted)
    with pytest.raises(stop):
        made(faces)
    assert {path: path.read_bytes() for path in Path("data/03_packed").iterdir()} == before


def test_the_same_data_packs_to_the_same_bytes(faces):
    made(faces)
    before = {path: path.read_bytes() for path in Path("data/03_packed").iterdir()}
    made(faces)
    assert {path: path.read_bytes() for path in Path("data/03_packed").iterdir()} == before


def numbered(labels: list[int]) -> Faces:
    """Return faces whose first two pixels encode their index."""
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(len(labels)), 256)
    return Faces(images=images, labels=np.array(labels, np.int64))


def numbers(faces: Faces) -> list[int]:
    return list(faces.images[:, 0, 0, 0].astype(int) * 256 + faces.images[:, 0, 1, 0])


FACES = numbered([0] * 500 + [1] * 300 + [2] * 150 + [3] * 50)


def test_all_faces_are_returned_for_none_and_for_a_larger_count():
    for count in (None, 1000, 1001):
        assert subset(FACES, count, seed=0) is FACES


def test_a_subset_is_stratified_sorted_and_repeatable():
    part = subset(FACES, 100, seed=3)
    assert np.bincount(part.labels).tolist() == [50, 30, 15, 5]
    assert numbers(part) == sorted(set(numbers(part)))
    assert [FACES.labels[number] for number in numbers(part)] == list(part.labels)
    assert numbers(subset(FACES, 100, seed=3)) == numbers(part)
    assert numbers(subset(FACES, 100, seed=4)) != numbers(part)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=200), st.integers(1, 200), st.integers(0, 9)
)
@settings(deadline=None)
def test_a_subset_has_its_size_and_the_class_fractions(labels, count, seed):
    whole = numbered(labels)
    part = subset(whole, count, seed=seed)
    assert len(part) == min(count, len(whole))
    assert numbers(part) == sorted(set(numbers(part)))
    expected = np.bincount(labels, minlength=4) * len(part) / len(whole)
    assert np.abs(np.bincount(part.labels, minlength=4) - expected).max() <= 2
