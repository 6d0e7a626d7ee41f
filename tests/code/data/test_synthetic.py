"""The synthetic faces: reproducible, with the given counts, and a task that is not trivial."""

import csv
import io
import zipfile
from collections import Counter
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from unveil.common.types import Split
from unveil.data import synthetic
from unveil.data.decoding import Pixels, decode

COUNTS: dict[Split, int] = {"train": 22, "validation": 9, "test": 12}
VALUES = {
    "skin_tone": {"light", "medium", "dark"},
    "age_band": {"young", "middle", "old"},
    "glasses": {"yes", "no"},
    "lighting": {"left", "front", "right", "dim"},
}


def drawn(target: Path, counts: dict[Split, int] = COUNTS, *, seed: int = 7) -> dict[str, bytes]:
    synthetic.draw_dataset(target, counts=counts, seed=seed)
    with zipfile.ZipFile(target) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rows(members: dict[str, bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(members["sample/attributes.csv"].decode())))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return drawn(tmp_path_factory.mktemp("drawn") / "sample.zip")


@pytest.fixture(scope="module")
def pictures(members: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in members.items() if name.endswith(".png")}


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = tmp_path / "first.zip", tmp_path / "again.zip", tmp_path / "other.zip"
    for target, seed in ((first, 7), (again, 7), (other, 8)):
        synthetic.draw_dataset(target, counts=COUNTS, seed=seed)
    assert first.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(other) as two:
        assert one.namelist() == two.namelist()
        assert all(one.read(name) != two.read(name) for name in one.namelist())


def test_the_archive_is_sorted_uncompressed_and_without_dates(tmp_path: Path) -> None:
    synthetic.draw_dataset(tmp_path / "sample.zip", counts=COUNTS, seed=0)
    with zipfile.ZipFile(tmp_path / "sample.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.date_time == (1980, 1, 1, 0, 0, 0)


def test_each_split_is_balanced(pictures: dict[str, bytes]) -> None:
    assert synthetic.CLASSES == ("happy", "neutral", "sad", "surprise")
    counted = Counter(tuple(name.split("/")[1:3]) for name in pictures)
    for split, count in COUNTS.items():
        sizes = [counted[split, label] for label in synthetic.CLASSES]
        assert sum(sizes) == count
        assert max(sizes) - min(sizes) <= 1
    assert "sample/train/happy/train_happy_0001.png" in pictures


def test_every_picture_decodes_to_a_gray_face(pictures: dict[str, bytes]) -> None:
    for content in pictures.values():
        face = decode(content)
        assert face.pixels.shape == (48, 48)
        assert face.mode == "L"
        assert face.pixels.std() > 3


def test_no_two_pictures_are_the_same(pictures: dict[str, bytes]) -> None:
    assert len({decode(content).pixels.tobytes() for content in pictures.values()}) == len(pictures)


def test_every_picture_has_a_row_of_known_attributes(
    members: dict[str, bytes], pictures: dict[str, bytes]
) -> None:
    table = rows(members)
    assert set(members) == {*pictures, "sample/attributes.csv"}
    assert [row["file"] for row in table] == [Path(name).name for name in pictures]
    for row in table:
        assert row.keys() == {"file", *VALUES}
        assert all(row[name] in choices for name, choices in VALUES.items())


def test_the_attributes_of_a_row_match_its_picture(members: dict[str, bytes]) -> None:
    def brightness(lighting: str) -> float:
        faces = [members[name] for name in members if Path(name).name in lit[lighting]]
        return float(np.mean([decode(face).pixels.mean() for face in faces]))

    lit = {
        lighting: {row["file"] for row in rows(members) if row["lighting"] == lighting}
        for lighting in VALUES["lighting"]
    }
    assert brightness("dim") < min(map(brightness, ("left", "front", "right")))


def test_larger_counts_keep_the_first_faces(
    tmp_path: Path, members: dict[str, bytes], pictures: dict[str, bytes]
) -> None:
    grown = drawn(tmp_path / "grown.zip", {"test": 12, "train": 41, "validation": 10})
    assert len(grown) == 41 + 10 + 12 + 1
    assert all(grown[name] == content for name, content in pictures.items())
    after = {row["file"]: row for row in rows(grown)}
    assert all(after[row["file"]] == row for row in rows(members))


@pytest.mark.parametrize("before", [None, b"older faces"])
def test_a_failed_drawing_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    target, face = tmp_path / "sample.zip", synthetic.draw_face
    if before is not None:
        target.write_bytes(before)
    left = iter(range(3))

    def failing(label: str, generator: np.random.Generator) -> Pixels:
        if next(left, None) is None:
            raise OSError("the pencil broke")
        return face(label, generator)

    monkeypatch.setattr(synthetic, "draw_face", failing)
    with pytest.raises(OSError, match="the pencil broke"):
        synthetic.draw_dataset(target, counts=COUNTS, seed=0)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_the_bayes_optimal_accuracy_from_the_parameters_is_94_percent() -> None:
    generator = np.random.default_rng(0)
    means, spreads = (
        np.array([astuple(pair[which]) for pair in synthetic.EXPRESSIONS.values()])
        for which in (0, 1)
    )
    right = []
    for label in range(len(means)):
        drawn = generator.normal(means[label], spreads[label], (20_000, 5))
        distance = ((drawn[:, None] - means) / spreads) ** 2 / 2 + np.log(spreads)
        right.append((distance.sum(axis=2).argmin(axis=1) == label).mean())
    assert np.mean(right) == pytest.approx(0.94, abs=0.01)
