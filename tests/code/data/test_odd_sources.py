"""Unusual archives and tables are refused or counted, in one line."""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.paths import ARCHIVE, MANIFEST

# Great Expectations 1.24 imports what Python and its own libraries have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CLASSES = ("happy", "neutral", "sad", "surprise")


def face(seed: int) -> bytes:
    """Draw low-frequency noise, so that no two faces are near duplicates."""
    small = np.random.default_rng(seed).integers(40, 215, (12, 12)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def folder(at: Path, counts: dict[str, int], classes: tuple[str, ...] = CLASSES) -> Path:
    """Write the given number of faces of each class into ``PARENT/CLASS`` for each parent."""
    seed = 0
    for parent, count in counts.items():
        for label in classes:
            for _ in range(count):
                path = at / parent / label / f"{seed:05}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(face(seed))
                seed += 1
    return at


def refused(*arguments: str) -> str:
    """Run a command that fails with a one-line error and writes no archive."""
    with pytest.raises(UserError) as refusal:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert len(str(refusal.value).splitlines()) == 1
    assert not ARCHIVE.exists()
    return str(refusal.value)


def tarred(path: Path, mode: str) -> None:
    with tarfile.open(path, mode) as archive:
        archive.add("params.yaml")


@pytest.fixture
def tracked(place: Path) -> Path:
    """A DVC project in which commands run to their end."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], check=True)
    return place


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize(
    ("method", "name"),
    [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma"), (9, "deflate64"), (93, "zstandard")],
)
def test_a_zip_with_an_unsupported_compression_is_refused_by_name(place, method, name):
    known = method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile("a.zip", "w", method if known else zipfile.ZIP_STORED) as archive:
        for number in range(3):
            archive.writestr(f"happy/{number}.png", face(number))
            archive.infolist()[-1].compress_type = method  # what the directory says of it
    line = refused("ingest", "a.zip")
    assert "3 of 3 files have an unsupported compression, first 'happy/0.png'" in line
    assert f"{name}, method {method}" in line
    assert "unpack it and give the folder" in line


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(99)), "a 7z archive"),
        (lambda path: path.write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(99)), "a rar archive"),
        (lambda path: tarred(path, "w"), "a tar archive"),
        (lambda path: tarred(path, "w:gz"), "compressed by gzip"),
        (lambda path: path.write_bytes(b"PK\3\4" + bytes(99)), "is not a zip, or its directory"),
    ],
)
def test_other_archive_formats_named_zip_are_recognised(place, make, kind):
    make(place / "a.zip")
    assert kind in refused("ingest", "a.zip")


def test_a_zip_of_zips_must_be_unpacked_first(place):
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("train/happy.zip", b"PK")
    line = refused("ingest", "a.zip")
    assert "1 archives to be unpacked first, such as 'train/happy.zip'" in line


def test_a_zip_of_streams_large_entries_and_junk_before_it_is_read(tracked):
    class Pipe(io.BytesIO):
        """Where nothing can be written twice, as in a pipe: sizes follow the data."""

        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe(b"")
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            with archive.open(f"happy/{number}.png", "w", force_zip64=True) as member:
                member.write(face(number))
    Path("a.zip").write_bytes(b"#!/bin/sh\nexit\n" + pipe.getvalue())
    output = said("ingest", "a.zip")
    assert "3 faces" in output
    assert "unreadable" not in output


def test_a_source_without_readable_images_is_refused(place):
    for path in folder(place / "faces", {"train": 2}).rglob("*.png"):
        path.write_bytes(b"no picture")
    line = refused("ingest", "faces")
    assert "none of 8 images can be read, first 'train/happy/00000.png'" in line


def test_unreadable_images_are_counted_by_folder_and_compared_with_the_limit(tracked):
    folder(tracked / "faces", {"train": 4})
    for path in sorted((tracked / "faces/train/sad").iterdir())[:2]:
        path.write_bytes(path.read_bytes()[:80])
    output = said("ingest", "faces")
    assert "unreadable: 2 of 16 images (2 in 'train/sad'), first 'train/sad/0" in output
    assert "12.5% exceeds rules.sets.few_quarantined.max_share 0.1 of params.yaml" in output


def test_an_archive_without_a_train_folder_is_refused_before_it_is_written(place):
    folder(place / "faces", {"test": 1, "val": 1})
    assert "has test, validation but no train folder" in refused("ingest", "faces")


def test_usual_names_of_held_out_folders_are_recognised(tracked):
    folder(tracked / "faces", {"FER2013Train": 2, "FER2013Valid": 1, "FER2013Test": 1})
    output = said("ingest", "faces")
    assert "FER2013Test is test, FER2013Train is train, FER2013Valid is validation" in output
    said("manifest")
    import pandas as pd

    faces = pd.read_parquet(MANIFEST)
    held = faces["member"].str.startswith("FER2013Test/")
    assert set(faces.loc[held, "split"]) == {"test"}
    assert set(faces.loc[~held, "split"]) == {"train", "validation"}


def test_pooled_folders_are_named_and_ambiguous_splits_refused(tracked):
    folder(tracked / "faces", {"fold1": 1, "fold2": 2})
    line = refused("ingest", "faces")
    assert "'fold1' (4 images), 'fold2' (8 images)" in line
    assert "data.split_folders in params.yaml" in line
    text = Path("params.yaml").read_text()
    assert "split_folders: {}" in text
    Path("params.yaml").write_text(
        text.replace("split_folders: {}", "split_folders: {fold1: none, fold2: none}")
    )
    output = said("ingest", "faces")
    assert "no splits: 2 folders are pooled, 4 in 'fold1', 8 in 'fold2'" in output


def fer2013(*rows: str, header: str = "emotion,pixels,Usage") -> Path:
    Path("fer2013.csv").write_text("\n".join([header, *rows, ""]))
    return Path("fer2013.csv")


def pixels(seed: int) -> str:
    return " ".join(map(str, np.random.default_rng(seed).integers(0, 255, 48 * 48)))


def test_a_fer2013_that_a_spreadsheet_saved_is_the_same_faces(tracked):
    plain = [f"{3 + number},{pixels(number)},Training" for number in range(4)]
    said("ingest", str(fer2013(*plain)))
    before = ARCHIVE.read_bytes()
    odd = [*plain[:1], ",,", *plain[1:2], "", *(f"{row},," for row in plain[2:]), ",,", ", ,"]
    floats = [f"{3 + number}.0;{pixels(number)};training" for number in range(4)]
    for rows, header in ((odd, "emotion,pixels,Usage"), (floats, "\ufeffEmotion;Pixels;USAGE")):
        said("ingest", str(fer2013(*rows, header=header)))
        assert ARCHIVE.read_bytes() == before


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_ignored_files_are_counted_by_suffix(tracked, kind):
    for number, suffix in enumerate([*[".png"] * 3, *[".heic"] * 9, "", ".txt"]):
        path = Path(f"source/train/happy/{number}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 48), number, np.uint8)).save(path, "PNG")
    Path("source/train/happy/.DS_Store").touch()
    source = shutil.make_archive("faces", "zip", "source") if kind == "zip" else "source"
    result = CliRunner().invoke(app, ["ingest", source], catch_exceptions=False)
    assert "3 faces into" in result.stdout
    assert "ignored: 11 files, 9 .heic, 1 .txt, 1 without a suffix; images end" in result.stderr


def test_a_fer2013_with_the_same_column_in_two_cases_is_refused(place):
    rows = f"3,4,{pixels(0)},Training"
    line = refused("ingest", str(fer2013(rows, header="Emotion,emotion,pixels,Usage")))
    assert "fer2013.csv, line 1: the column 'emotion' occurs twice" in line


def test_a_fer2013_with_a_bad_row_after_empty_ones_names_its_line(place):
    line = refused("ingest", str(fer2013(f"3,{pixels(0)},Training", ",,", "3,1 2 3,Training")))
    assert "fer2013.csv, line 4: 3 pixels, the first row has 2304" in line


@pytest.mark.parametrize(
    "table",
    [
        "\ufefffile;tone\n00000.png;dark\n;\n\n00001.png;light\n",
        "File,tone\n00000.png,dark,\n,\n00001.png,light,\n,,\n",
    ],
)
def test_attributes_saved_by_a_spreadsheet_are_read(tracked, table):
    folder(tracked / "faces", {"train": 1})
    (tracked / "faces/attributes.csv").write_text(table)
    said("ingest", "faces")
    said("manifest")
    import pandas as pd

    with zipfile.ZipFile(ARCHIVE) as archive:  # as an erasure looks for rows
        assert archive.read("attributes.csv").startswith(b"file,tone\n")
    faces = pd.read_parquet(MANIFEST)
    assert faces["tone"].tolist()[:2] == ["dark", "light"]
    assert faces["tone"].isna().tolist()[2:] == [True, True]


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("file,tone\n00000.png,dark,light\n", "line 2: 3 cells, the header has 2"),
        ("file,tone\n00000.png,dark\n00000.png,dark\n", "line 3: '00000.png' appears twice"),
        ("file,tone\n,dark\n", "line 2: the cell of 'file' is empty"),
        ("name,tone\n00000.png,dark\n", "has no column 'file'; it has name, tone"),
    ],
)
def test_attributes_with_an_invalid_row_are_refused_before_they_are_written(place, table, line):
    folder(place / "faces", {"train": 1})
    (place / "faces/attributes.csv").write_text(table)
    assert line in refused("ingest", "faces")


def test_rows_of_attributes_that_name_no_face_are_counted(tracked):
    folder(tracked / "faces", {"train": 1})
    (tracked / "faces/attributes.csv").write_text("file,tone\n00000.png,dark\nx.png,dark\n")
    said("ingest", "faces")
    assert "attributes.csv: 1 of 2 rows name no face of a class, first 'x.png'" in said("manifest")


def test_sixty_faces_of_each_class_without_splits_are_enough(tracked):
    folder(tracked / "faces", {"": 60}, classes=CLASSES)
    said("ingest", "faces")
    said("manifest")
    assert "the data passed" in said("validate")


def test_too_few_faces_of_a_class_are_reported_with_the_minimum(tracked):
    folder(tracked / "faces", {"": 55}, classes=CLASSES)
    said("ingest", "faces")
    said("manifest")
    result = CliRunner().invoke(app, ["validate"])
    assert "validation/happy 6" in result.stderr
    assert (
        "(rules.sets.every_class_in_every_split of params.yaml: train 40, validation 10, test 10, "
        "of each class in all 60)"
    ) in result.stderr


def test_imbalance_is_reported_with_value_limit_and_key(tracked):
    folder(tracked / "faces", {"train": 1, "test": 1}, classes=("sad",))
    folder(tracked / "faces", {"train": 10, "test": 10}, classes=("happy", "neutral", "surprise"))
    said("ingest", "faces")
    said("manifest")
    result = CliRunner().invoke(app, ["validate"])
    assert (
        "the ratio of the largest class to the smallest too high. test/sad 10, train/sad "
        in result.stderr
    )
    assert "(rules.sets.class_balance of params.yaml: max_imbalance 4)" in result.stderr
