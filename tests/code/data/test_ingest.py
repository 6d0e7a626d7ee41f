"""Ingesting every kind of source, valid and invalid, and tracking it with DVC."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from unveil import registry
from unveil.cli import app
from unveil.common.errors import UserError
from unveil.common.files import write_json
from unveil.common.paths import CORRECTIONS, JOURNAL, MANIFEST, SUMMARY, VALIDATION
from unveil.config import params
from unveil.data import ingest as module
from unveil.data import manifest, pack
from unveil.data.archive import Layout, open_archive, read_listing
from unveil.data.archive import read_member as content_of
from unveil.data.decoding import UnreadableImage, decode
from unveil.data.fer2013 import EMOTIONS
from unveil.data.ingest import ingest, track_with_dvc

LAYOUT = Layout(
    classes=("happy", "neutral", "sad", "surprise"),
    aliases={"joy": "happy"},
    drop=("angry", "disgust", "fear"),
    max_members=1000,
)


def picture(value: int = 90) -> bytes:
    """Draw a gray square."""
    buffer = io.BytesIO()
    Image.new("L", (48, 48), value).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path: Path, *names: str) -> Path:
    """Create an archive with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, picture())
    return path


def spread(folder: Path, *names: str) -> Path:
    """Create a folder with these files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture())
    return folder


def table(path: Path, *rows: str, header: str = "emotion,pixels,Usage") -> Path:
    """Write a table in the format of fer2013.csv."""
    path.write_text("\n".join([header, *rows, ""]))
    return path


def members(path: Path) -> dict[str, bytes]:
    """Read all members of an archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sha256(path: Path) -> str:
    """Digest a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return the path of the archive, in a folder that does not exist yet."""
    return tmp_path / "data/01_raw/faces.zip"


@pytest.fixture
def refused(target: Path) -> Callable[..., str]:
    """Ingest, expect a one-line error and an unchanged old archive."""

    def line(source: Path, attributes: Path | None = None) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"old")
        with pytest.raises(UserError) as refusal:
            ingest(source, target=target, layout=LAYOUT, attributes=attributes)
        assert target.read_bytes() == b"old"
        assert list(target.parent.iterdir()) == [target]
        assert len(str(refusal.value).splitlines()) == 1
        return str(refusal.value)

    return line


@pytest.mark.parametrize("name", ["faces.zip", "FACES.ZIP", "download"])
def test_only_the_images_of_a_zip_are_imported(tmp_path: Path, target: Path, name: str) -> None:
    source = zipped(tmp_path / name, "top/train/happy/a.png", "top/train/fear/b.png", "notes.txt")
    taken = ingest(source, target=target, layout=LAYOUT)
    kept = {name: content for name, content in members(source).items() if name != "notes.txt"}
    assert members(target) == kept
    assert [one.name for one in taken.members] == ["top/train/happy/a.png"]
    assert (taken.dropped, taken.ignored, taken.attributes) == ({"fear": 1}, 1, None)


def test_ingesting_a_zip_is_reproducible(tmp_path: Path, target: Path) -> None:
    ingest(zipped(tmp_path / "a.zip", "happy/a.png", "sad/b.png"), target=target, layout=LAYOUT)
    digest = sha256(target)
    again = zipped(tmp_path / "b.zip", "sad/b.png", "happy/a.png", ".DS_Store", "sad/")
    ingest(again, target=target, layout=LAYOUT)
    assert sha256(target) == digest
    ingest(target, target=target, layout=LAYOUT)
    assert sha256(target) == digest


def test_comments_and_extra_fields_of_a_zip_are_dropped(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.comment = b"planted in the archive"
        entry = zipfile.ZipInfo("happy/a.png", date_time=(2024, 5, 6, 7, 8, 9))
        entry.comment, entry.extra = b"planted in a member", b"\x75\x70\x09\x00\x01planted!"
        archive.writestr(entry, picture())
    ingest(tmp_path / "a.zip", target=target, layout=LAYOUT)
    assert b"planted" not in target.read_bytes()
    assert members(target) == {"happy/a.png": picture()}


def test_an_unreadable_image_is_stored_as_its_reason_only(tmp_path: Path, target: Path) -> None:
    cut = picture()[:-40]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("happy/a.png", picture())
        archive.writestr("happy/cut.png", cut)
        archive.writestr("happy/text.png", "planted " * 9)
        archive.writestr("happy/header.ppm", b"P5 planted 4 4 255 " + bytes(99))
        archive.writestr("happy/empty.png", b"")
    ingest(tmp_path / "a.zip", target=target, layout=LAYOUT)
    for _ in range(2):
        with open_archive(target) as archive:
            said = {entry.filename: entry.comment for entry in archive.infolist()}
            taken = read_listing(archive, LAYOUT).members
            for name in ("happy/cut.png", "happy/text.png", "happy/header.ppm", "happy/empty.png"):
                with pytest.raises(UnreadableImage) as fault:
                    content_of(archive, name, max_bytes=999)
                assert str(fault.value) == said[name].decode()
        assert said["happy/text.png"] == b"not an image"
        assert said["happy/empty.png"] == b"empty file"
        assert said["happy/cut.png"].startswith(b"damaged")
        assert len(taken) == 5
        assert b"planted" not in target.read_bytes()
        # Taken in again, the reasons stay.
        ingest(target, target=target, layout=LAYOUT)


def test_a_read_only_zip_is_copied(tmp_path: Path, target: Path) -> None:
    source = zipped(tmp_path / "faces.zip", "happy/a.png")
    source.chmod(0o444)
    (tmp_path / "link.zip").symlink_to(source)
    groups = table(tmp_path / "groups.csv", "a.png,yes", header="file,glasses")
    ingest(tmp_path / "link.zip", target=target, layout=LAYOUT, attributes=groups)
    assert not target.is_symlink()
    assert list(members(source)) == ["happy/a.png"]


def test_a_refused_zip_keeps_the_old_archive(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "'smile' (1 images)" in refused(zipped(tmp_path / "a.zip", "smile/a.png"))
    assert "climbs out" in refused(zipped(tmp_path / "b.zip", "../happy/a.png"))
    whole = zipped(tmp_path / "c.zip", "happy/a.png")
    whole.write_bytes(whole.read_bytes()[:-9])
    assert f"{whole} is not a zip, or its directory is damaged" in refused(whole)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_ingest_keeps_the_old_archive(
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    interruption: type[BaseException],
) -> None:
    def interrupted(*_: object) -> bytes:
        raise interruption

    ingest(zipped(tmp_path / "old.zip", "happy/a.png"), target=target, layout=LAYOUT)
    before = sha256(target)
    monkeypatch.setattr(module, "strip_metadata", interrupted)
    with pytest.raises(interruption):
        ingest(zipped(tmp_path / "new.zip", "sad/a.png"), target=target, layout=LAYOUT)
    assert sha256(target) == before
    assert list(target.parent.iterdir()) == [target]


def test_a_zip_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = zipped(tmp_path / "a.zip", "happy/a.png")

    def growing(content: bytes, *_: object) -> bytes:
        source.write_bytes(source.read_bytes() + b"more")
        return content

    monkeypatch.setattr(module, "strip_metadata", growing)
    assert "changed while it was read" in refused(source)


def test_ingesting_a_folder_is_reproducible(tmp_path: Path, target: Path) -> None:
    names = ("train/sad/b.png", "train/happy/a.PNG", "train/fear/c.png", "test/joy/é.png")
    noise = ("README.md", ".git/config", "train/happy/.a.png", "train/happy/Thumbs.db")
    first = spread(tmp_path / "first", *names, *noise)
    second = spread(tmp_path / "second", *reversed(names))
    os.utime(second / names[0], (1e9, 1e9))
    (second / names[1]).chmod(0o600)
    taken = ingest(first, target=target, layout=LAYOUT)
    digest = sha256(target)
    ingest(second, target=target, layout=LAYOUT)
    assert sha256(target) == digest
    assert list(members(target)) == sorted(names)
    assert (len(taken.members), taken.dropped, taken.ignored) == (3, {"fear": 1}, 4)
    with open_archive(target) as archive:
        assert read_listing(archive, LAYOUT).members == taken.members
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_attributes_in_a_folder_are_imported(tmp_path: Path, target: Path) -> None:
    source = spread(tmp_path / "faces", "happy/a.png")
    table(source / "attributes.csv", "a.png,yes", header="file,glasses")
    assert ingest(source, target=target, layout=LAYOUT).attributes == "attributes.csv"
    assert members(target)["attributes.csv"] == (source / "attributes.csv").read_bytes()


@pytest.mark.parametrize("place", ["happy/link.png", "link", ".hidden"])
@pytest.mark.parametrize("aim", ["happy/a.png", "happy", "nowhere"])
def test_a_link_in_a_folder_is_refused(
    tmp_path: Path, refused: Callable[..., str], place: str, aim: str
) -> None:
    source = spread(tmp_path / "faces", "happy/a.png")
    (source / place).symlink_to(source / aim)
    assert f"{str(source / place)!r} is a symbolic link" in refused(source)


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    source = spread(tmp_path / "faces", "happy/a.png")
    os.mkfifo(source / "happy/b.png")
    assert f"{str(source / 'happy/b.png')!r} is a special file" in refused(source)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (b"happy/\xff.png", "is not UTF-8"),
        (b"happy/a\\b.png", "has a backslash"),
        (b"happy/a\nb.png", "has a control character"),
        (b"smile/a.png", "unknown class folder 'smile' (1 images)"),
    ],
)
def test_an_invalid_name_in_a_folder_is_refused(
    tmp_path: Path, refused: Callable[..., str], name: bytes, fault: str
) -> None:
    spread(tmp_path / "faces", "happy/a.png", "smile/README")
    try:
        Path(os.fsdecode(bytes(tmp_path / "faces") + b"/" + name)).write_bytes(picture())
    except OSError:
        pytest.skip("this file system does not take such a name")
    assert fault in refused(tmp_path / "faces")


def test_unsupported_sources_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "empty").mkdir()
    spread(tmp_path / "texts", "happy/notes.txt")
    tar = Path(shutil.make_archive(str(tmp_path / "faces"), "gztar", tmp_path / "texts"))
    os.mkfifo(tmp_path / "pipe.zip")
    for source, fault in [
        (tmp_path / "absent.zip", "not found"),
        (tmp_path / "empty", "is a folder without images"),
        (tmp_path / "texts", "is a folder without images"),
        (tar, "has an unsupported type"),
        (tmp_path / "texts/happy/notes.txt", "has an unsupported type"),
        (tmp_path / "pipe.zip", "has an unsupported type"),
    ]:
        line = refused(source)
        assert line == f"{source} {fault}; {module.KINDS}"


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a folder that all can read, as a user without rights: root can read all files."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        am_root = os.geteuid() == 0
        if am_root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if am_root:
                os.seteuid(0)


@pytest.mark.parametrize(
    "locked", ["faces.zip", "download", "faces", "faces/happy", "faces/happy/a.png"]
)
def test_a_locked_source_is_refused(public: Path, locked: str) -> None:
    spread(public / "faces", "happy/a.png")
    zipped(public / "faces.zip", "happy/a.png")
    zipped(public / "download", "happy/a.png")
    source = public / locked.split("/")[0]
    (public / locked).chmod(0)
    with pytest.raises(UserError) as refusal:
        ingest(source, target=public / "out/faces.zip", layout=LAYOUT)
    (public / locked).chmod(0o700)
    assert str(refusal.value) == f"{public / locked}: permission denied; {module.KINDS}"


def test_a_locked_target_is_refused(public: Path) -> None:
    (public / "out").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"out.*permission denied"):
        ingest(zipped(public / "a.zip", "sad/a.png"), target=public / "out/a.zip", layout=LAYOUT)


def pixels(seed: int, side: int = 48) -> str:
    """Return random pixels in the format of the table."""
    values = np.random.default_rng(seed).integers(0, 256, side * side)
    return " ".join(map(str, values))


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "\ufeffemotion, pixels, Usage"])
def test_a_table_keeps_its_pixels(tmp_path: Path, target: Path, header: str) -> None:
    rows = [
        f"3,{pixels(0)},Training",
        f"6,{pixels(1)},PublicTest",
        f"0,{pixels(2)},Training",
        "",
        f"5,{pixels(3)},PrivateTest",
    ]
    taken = ingest(
        table(tmp_path / "fer2013.csv", *rows, header=header), target=target, layout=LAYOUT
    )
    assert [(one.name, one.split, one.label) for one in taken.members] == [
        ("test/surprise/00000003.png", "test", "surprise"),
        ("train/happy/00000000.png", "train", "happy"),
        ("validation/neutral/00000001.png", "validation", "neutral"),
    ]
    assert taken.dropped == {"angry": 1}
    for name, image in members(target).items():
        seed = int(Path(name).stem)
        assert " ".join(map(str, decode(image).pixels.ravel())) == pixels(seed)


def test_ingesting_a_table_is_reproducible(tmp_path: Path, target: Path) -> None:
    source = table(tmp_path / "fer2013.csv", f"3,{pixels(0)},Training")
    ingest(source, target=target, layout=LAYOUT)
    digest = sha256(target)
    ingest(source, target=target, layout=LAYOUT)
    assert sha256(target) == digest


def test_a_table_of_larger_faces(tmp_path: Path, target: Path) -> None:
    ingest(
        table(tmp_path / "big.csv", f"4,{pixels(0, 224)},Training"), target=target, layout=LAYOUT
    )
    assert decode(members(target)["train/sad/00000000.png"]).pixels.shape == (224, 224)


def test_the_emotions_of_fer2013() -> None:
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (f"3,{pixels(1)[:-4]} x,Training", "pixel 'x' is not an integer in 0..255"),
        (f"3,{pixels(1)} 256,Training", "pixel '256' is not an integer in 0..255"),
        (f"3,{pixels(1)} -1,Training", "pixel '-1' is not an integer in 0..255"),
        (f"3,{pixels(1)} 1.5,Training", "pixel '1.5' is not an integer in 0..255"),
        (f"3,{pixels(1)} 0,Training", "2305 pixels, the first row has 2304"),
        (f"3,{pixels(1, 47)},Training", "2209 pixels, the first row has 2304"),
        ("3,,Training", "0 pixels, the first row has 2304"),
        (f"7,{pixels(1)},Training", "unknown emotion '7'; choose from 0, 1, 2, 3, 4, 5, 6"),
        (f"happy,{pixels(1)},Training", "unknown emotion 'happy'"),
        (f",{pixels(1)},Training", "unknown emotion ''"),
        (f"3,{pixels(1)},Testing", "unknown Usage 'Testing'; choose from Training, PublicTest"),
        (f"3,{pixels(1)}", "2 cells, the header has 3"),
        (f"3,{pixels(1)},Training,more", "4 cells, the header has 3"),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, refused: Callable[..., str], row: str, fault: str
) -> None:
    good = f"3,{pixels(0)},Training"
    source = table(tmp_path / "fer2013.csv", good, row, good)
    assert f"{source}, line 3: {fault}" in refused(source)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 0: no column 'emotion'"),
        (
            b"emotion,Usage\n",
            "line 1: no column 'pixels'; a fer2013.csv has emotion, pixels, Usage",
        ),
        (b"emotion,pixels,Usage\n", "no image of a class"),
        (b"emotion,pixels,Usage\n3,1 2,Training\n", "line 2: 2 pixels, not a square number"),
        (b"emotion,pixels,Usage\n3,\xff,Training\n", "is not UTF-8 text"),
        (b"emotion,pixels,Usage\n3," + b"1 " * 9_000_000 + b",Training\n", "line 2: field larger"),
        (
            b"emotion,pixels,Usage\n0,1,Training\n",
            "no image of a class among 1 files, 1 in dropped",
        ),
    ],
    ids=["empty", "column", "rows", "square", "encoding", "cell", "dropped"],
)
def test_a_bad_table_is_refused(
    tmp_path: Path, refused: Callable[..., str], content: bytes, fault: str
) -> None:
    source = tmp_path / "fer2013.csv"
    source.write_bytes(content)
    line = refused(source)
    assert fault in line
    assert str(source) in line


def test_attributes_are_imported(tmp_path: Path, target: Path) -> None:
    groups = table(tmp_path / "groups.csv", "a.png,yes", header="\ufefffile,glasses")
    sources = (
        zipped(tmp_path / "a.zip", "é/sad/a.png", "happy/b.png"),
        spread(tmp_path / "faces", "é/sad/a.png"),
        table(tmp_path / "fer.csv", f"3,{pixels(0)},Training"),
    )
    for source in sources:
        taken = ingest(source, target=target, layout=LAYOUT, attributes=groups)
        assert members(target)["attributes.csv"] == groups.read_bytes()
        with open_archive(target) as archive:
            assert read_listing(archive, LAYOUT) == taken
            assert archive.testzip() is None


def test_invalid_attributes_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    source = zipped(tmp_path / "a.zip", "happy/a.png")
    nameless = table(tmp_path / "nameless.csv", header="image,glasses")
    assert f"{nameless} has no column 'file'; it has image, glasses" in refused(source, nameless)
    line = refused(source, Path(os.devnull))
    assert f"{os.devnull} cannot be read as a table: no columns" in line
    absent = tmp_path / "absent.csv"
    assert f"{absent} cannot be read as a table" in refused(source, absent)
    (tmp_path / "picture.csv").write_bytes(picture())
    assert "cannot be read as a table" in refused(source, tmp_path / "picture.csv")
    groups = table(tmp_path / "groups.csv", header="file")
    with_one = zipped(tmp_path / "b.zip", "happy/a.png", "top/attributes.csv")
    line = refused(with_one, groups)
    assert line == f"{with_one} already has 'top/attributes.csv'; do not also give {groups}"


def run(*command: str) -> None:
    """Run a program in the current folder."""
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


ENVIRONMENT = {
    **os.environ,
    "DVC_NO_ANALYTICS": "1",
    **{f"GIT_{who}_NAME": "A Tester" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "tester@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def test_dvc_restores_an_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    with pytest.raises(UserError, match=r"dvc add .*faces\.zip failed: .*does not exist"):
        track_with_dvc()
    digests = []
    for name in ("happy/a.png", "sad/b.png"):
        ingest(zipped(tmp_path / "new.zip", name), layout=LAYOUT)
        track_with_dvc()
        digests.append(sha256(module.ARCHIVE))
        run("git", "add", "data", ".dvc", ".dvcignore")
        run("git", "commit", "-q", "-m", name)
    assert Path("data/01_raw/faces.zip.dvc").is_file()
    run("git", "check-ignore", str(module.ARCHIVE))
    assert digests[0] != digests[1]
    run("git", "checkout", "-q", "HEAD~1", "--", "data/01_raw/faces.zip.dvc")
    run(sys.executable, "-m", "dvc", "checkout", "--quiet", "data/01_raw/faces.zip.dvc")
    assert sha256(module.ARCHIVE) == digests[0]


SECRETS = (b"Planted by the camera", b"52 deg planted north", b"planted comment", b"planted text")


def with_metadata(seed: int, kind: str) -> bytes:
    """Draw a face whose file has a location, an author and a thumbnail."""
    values = np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)
    tags, thumbnail = Image.Exif(), io.BytesIO()
    Image.fromarray(values).resize((16, 16)).save(thumbnail, "JPEG", comment=SECRETS[2])
    tags[0x010E] = SECRETS[0].decode()
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: SECRETS[1].decode()})
    text, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    text.add_text("Comment", SECRETS[3].decode())
    options = {"pnginfo": text} if kind == "PNG" else {"comment": SECRETS[2]}
    Image.fromarray(values).save(buffer, kind, exif=tags, **options)
    return buffer.getvalue() + thumbnail.getvalue()


def test_planted_metadata_is_not_stored(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("source") / "faces"
    for seed in range(24):
        split, label = ("train", "validation", "test")[seed % 3], LAYOUT.classes[seed % 4]
        path = source / split / label / f"{seed}.{'png' if seed % 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(with_metadata(seed, "PNG" if seed % 2 else "JPEG"))
    assert all(secret in b"".join(map(Path.read_bytes, source.rglob("*.*"))) for secret in SECRETS)
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    loaded = params.load()
    ingest(source, layout=LAYOUT)
    track_with_dvc()
    manifest.make(module.ARCHIVE, loaded)
    verdict = {"manifest": sha256(MANIFEST), "passed": True}
    write_json(VALIDATION, verdict)
    pack.make(module.ARCHIVE, MANIFEST, loaded, validation=VALIDATION)
    with registry.train_all_run(loaded):
        registry.log_files(MANIFEST, SUMMARY, VALIDATION)
    stored = [path for path in place.rglob("*") if path.is_file()]
    kinds = {path.relative_to(place).parts[0] for path in stored}
    assert {"data", ".dvc", "mlflow"} <= kinds
    assert len([path for path in stored if path.suffix == ".npz"]) == 3
    for path in stored:
        content = path.read_bytes()
        assert not any(secret in content for secret in SECRETS), path
    with open_archive(module.ARCHIVE) as archive:
        for member in read_listing(archive, LAYOUT).members:
            before = (source / member.name).read_bytes()
            after = content_of(archive, member.name, max_bytes=99_999)
            assert np.array_equal(decode(after).pixels, decode(before).pixels)


def test_corrections_and_journal_survive_another_archive(place, monkeypatch):
    run("git", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    CORRECTIONS.parent.mkdir(parents=True)
    CORRECTIONS.write_text(f"sha256,member,action,label\n{'a' * 64},happy/1.png,keep,\n")
    before = CORRECTIONS.read_bytes()
    for value in (90, 120):
        with zipfile.ZipFile("source.zip", "w") as archive:
            archive.writestr("happy/1.png", picture(value))
        done = CliRunner().invoke(app, ["ingest", "source.zip"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert CORRECTIONS.read_bytes() == before
    assert len(JOURNAL.read_text().splitlines()) == 2
