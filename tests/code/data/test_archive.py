"""Valid, unusual and hostile archives."""

import io
import shutil
import stat
import struct
import subprocess
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unveil.common.errors import UserError
from unveil.data.archive import Layout, Listing, open_archive, read_listing, read_member
from unveil.data.decoding import UnreadableImage

LAYOUT = Layout(
    classes=("happy", "neutral", "sad", "surprise"),
    aliases={"happiness": "happy", "joy": "happy"},
    drop=("angry", "fear"),
    max_members=100,
)


def packed(*names: str) -> io.BytesIO:
    """Create an ordinary archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"face")
    return buffer


def forged(
    name: bytes,
    stored: bytes = b"face",
    *,
    flags: int = 0,
    method: int = zipfile.ZIP_STORED,
    mode: int = 0,
    declared: int | None = None,
    crc: int | None = None,
) -> io.BytesIO:
    """Create an archive of one member byte by byte, with arbitrary headers."""
    checksum = zlib.crc32(stored) if crc is None else crc
    size = len(stored) if declared is None else declared
    common = struct.pack(
        "<5H3I2H", 20, flags, method, 0, 33, checksum, len(stored), size, len(name), 0
    )
    local = b"PK\3\4" + common + name + stored
    central = b"PK\1\2" + struct.pack("<H", 0x0314) + common
    central += struct.pack("<3H2I", 0, 0, 0, mode << 16, 0) + name
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 1, 1, len(central), len(local), 0)
    return io.BytesIO(local + central + end)


def listed(buffer: io.BytesIO, layout: Layout = LAYOUT) -> Listing:
    """List an archive in memory."""
    with zipfile.ZipFile(buffer) as archive:
        return read_listing(archive, layout)


def said(buffer: io.BytesIO, layout: Layout = LAYOUT) -> str:
    """Return the error for a refused archive."""
    with pytest.raises(UserError) as refusal:
        listed(buffer, layout)
    assert len(str(refusal.value).splitlines()) == 1
    return str(refusal.value)


def unreadable(buffer: io.BytesIO, *, max_bytes: int = 1000) -> str:
    """Return the reason why the only member of an archive is unreadable."""
    with zipfile.ZipFile(buffer) as archive, pytest.raises(UnreadableImage) as refusal:
        read_member(archive, archive.namelist()[0], max_bytes=max_bytes)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("validation", "validation"),
        ("val", "validation"),
        ("VALID", "validation"),
        ("test", "test"),
        ("testing", "test"),
    ],
)
def test_names_of_splits(folder: str, split: str) -> None:
    assert listed(packed(f"{folder}/happy/a.jpg")).members[0].split == split


@pytest.mark.parametrize("top", ["", "faces/", "a/b/", "./", "test/faces/"])
def test_top_folders_are_ignored(top: str) -> None:
    found = listed(packed(f"{top}train/sad/b.jpg", f"{top}train/happy/a.JPEG"))
    assert [(one.name, one.split, one.label) for one in found.members] == [
        (f"{top}train/happy/a.JPEG", "train", "happy"),
        (f"{top}train/sad/b.jpg", "train", "sad"),
    ]


def test_splits_are_optional() -> None:
    found = listed(packed("faces/sad/b.jpg", "faces/happy/a.png"))
    assert [(one.split, one.label) for one in found.members] == [(None, "happy"), (None, "sad")]


def test_aliases_and_case() -> None:
    found = listed(packed("Joy/a.jpg", "HAPPINESS/b.jpg", "Sad/c.jpg"))
    assert sorted(one.label for one in found.members) == ["happy", "happy", "sad"]


def test_dropped_classes_are_counted() -> None:
    found = listed(packed("Fear/a.jpg", "fear/b.jpg", "ANGRY/c.jpg", "sad/d.jpg", "fear/no.txt"))
    assert found.dropped == {"angry": 1, "fear": 2}
    assert [one.name for one in found.members] == ["sad/d.jpg"]


def test_a_class_wins_over_drop() -> None:
    layout = Layout(classes=("Fear", "sad"), aliases={"sad": "Fear"}, drop=("fear",), max_members=9)
    found = listed(packed("FEAR/a.jpg", "sad/b.jpg"), layout)
    assert [one.label for one in found.members] == ["Fear", "sad"]
    assert found.dropped == {}


def test_other_files_are_ignored_and_counted() -> None:
    names = (
        "happy/",
        "happy/a.jpg",
        "happy/.hidden.jpg",
        "happy/.ipynb_checkpoints/a.jpg",
        "__MACOSX/happy/a.jpg",
        "faces/__MACOSX/happy/a.jpg",
        "README.txt",
        "happy/more.zip",
        "Thumbs.db",
    )
    found = listed(packed(*names))
    assert ([one.name for one in found.members], found.ignored) == (["happy/a.jpg"], 7)


def test_attributes() -> None:
    found = listed(packed("faces/Attributes.csv", "faces/happy/a.jpg", "__MACOSX/attributes.csv"))
    assert (found.attributes, found.ignored) == ("faces/Attributes.csv", 1)
    assert listed(packed("happy/a.jpg")).attributes is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (b"", "has no name"),
        (b"../happy/a.jpg", "climbs out"),
        (b"happy/../../a.jpg", "climbs out"),
        (b"happy/..", "climbs out"),
        (b"../", "climbs out"),
        (b"/happy/a.jpg", "absolute name"),
        (b"C:/happy/a.jpg", "drive letter"),
        (b"c:happy/a.jpg", "drive letter"),
        (b"happy\\a.jpg", "backslash"),
        (b"..\\happy/a.jpg", "backslash"),
        (b"happy/a.jpg\0.exe", "control character"),
        (b"happy/a\n.jpg", "control character"),
        (b"happy/a\x1b[2J.jpg", "control character"),
        (b"README\x7f", "control character"),
    ],
)
def test_unsafe_names_are_refused(name: bytes, fault: str) -> None:
    line = said(forged(name))
    assert fault in line
    assert repr(name.decode("cp437")) in line


def test_dots_inside_a_name_are_safe() -> None:
    assert len(listed(packed("faces..v2/happy/a..b.jpg", "happy/...jpg")).members) == 1


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFIFO | 0o644, "is a special file"),
        (stat.S_IFCHR | 0o644, "is a special file"),
        (stat.S_IFSOCK, "is a special file"),
    ],
)
def test_links_and_special_files_are_refused(mode: int, fault: str) -> None:
    assert said(forged(b"happy/a.jpg", mode=mode)) == f"member 'happy/a.jpg' {fault}"


def test_plain_file_modes_are_accepted() -> None:
    for mode in (0, 0o644, stat.S_IFREG | 0o600):
        assert len(listed(forged(b"happy/a.jpg", mode=mode)).members) == 1


def test_an_encrypted_archive_is_refused() -> None:
    expected = "member 'happy/a.jpg' is protected by a password"
    assert said(forged(b"happy/a.jpg", flags=0x1)) == expected


@pytest.mark.skipif(shutil.which("zip") is None, reason="needs the program `zip`")
def test_an_archive_encrypted_by_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    (tmp_path / "happy/a.jpg").write_bytes(b"face")
    command = ["zip", "-q", "-r", "-P", "secret", "faces.zip", "happy/a.jpg"]
    subprocess.run(command, cwd=tmp_path, check=True)
    buffer = io.BytesIO((tmp_path / "faces.zip").read_bytes())
    assert said(buffer) == "member 'happy/a.jpg' is protected by a password"
    assert "is encrypted" in unreadable(buffer)


def test_a_duplicate_name_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        buffer = packed("happy/a.jpg", "sad/b.jpg", "happy/a.jpg")
    assert said(buffer) == "member 'happy/a.jpg' appears twice in the archive"


def test_too_many_members_are_refused() -> None:
    layout = Layout(classes=("happy",), aliases={}, drop=(), max_members=2)
    assert len(listed(packed("happy/a.jpg", "happy/b.jpg"), layout).members) == 2
    line = said(packed("happy/a.jpg", "happy/b.jpg", "../c"), layout)
    assert "3 members, more than max_members 2" in line


@pytest.mark.parametrize("name", ["a.jpg", "train/a.jpg", "faces/Val/a.jpg"])
def test_an_image_without_class_folder_is_refused(name: str) -> None:
    line = said(packed("train/happy/b.jpg", name))
    assert line == f"image {name!r} has no class folder; expected [split/]class/image"


def test_an_unknown_class_is_refused() -> None:
    line = said(packed("train/Smile/a.jpg", "test/smile/b.jpg", "train/happy/c.jpg"))
    assert "unknown class folder 'smile' (2 images)" in line
    assert "classes happy, neutral, sad, surprise" in line
    assert "aliases happiness, joy" in line
    assert "drop angry, fear" in line


def test_an_alias_of_an_unknown_class_is_refused() -> None:
    layout = Layout(classes=("happy", "sad"), aliases={"joy": "hapy"}, drop=(), max_members=9)
    line = said(packed("happy/a.jpg"), layout)
    assert line == (
        "unknown class of alias 'joy' (data.aliases) 'hapy'; choose from happy, sad; "
        "did you mean 'happy'?"
    )


def test_mixed_splits_are_refused() -> None:
    line = said(packed("train/happy/a.jpg", "sad/b.jpg"))
    assert "'train/happy/a.jpg' is in a split folder, 'sad/b.jpg' is not" in line


@pytest.mark.parametrize("names", [(), ("README.txt",), ("happy/",), (".x/happy/a.jpg",)])
def test_no_image_is_refused(names: tuple[str, ...]) -> None:
    line = said(packed(*names))
    assert "no image of a class" in line
    assert ".jpg" in line


def test_only_dropped_classes_are_refused() -> None:
    line = said(packed("fear/a.jpg", "fear/b.jpg"))
    assert "among 2 files, 2 in dropped folders" in line


def test_two_tables_are_refused() -> None:
    line = said(packed("attributes.csv", "faces/attributes.csv", "happy/a.jpg"))
    assert line == "more than one attributes.csv: 'attributes.csv' and 'faces/attributes.csv'"


WHOLE = packed("train/happy/a.jpg", "train/sad/b.jpg").getvalue()


@pytest.mark.parametrize(
    ("bytes_", "fault"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not a zip"),
        (b"\x1f\x8b not a zip", "is not a zip"),
        (WHOLE[:-10], "is not a zip"),
        (WHOLE[:-22], "is not a zip"),
        (WHOLE[: len(WHOLE) // 2], "is not a zip"),
        (WHOLE[: WHOLE.index(b"PK\1\2") + 20] + WHOLE[WHOLE.index(b"PK\1\2") + 40 :], "is damaged"),
        (WHOLE.replace(b"PK\1\2", b"PK\1\3"), "is damaged"),
        (
            WHOLE.replace(b"PK\1\2\x14\x03\x14", b"PK\1\2\x14\x03\xff"),
            "is damaged: zip file version",
        ),
        (forged(b"happy/\xff.jpg", flags=0x800).getvalue(), "is damaged"),
    ],
)
def test_a_file_that_cannot_be_opened(tmp_path: Path, bytes_: bytes | None, fault: str) -> None:
    path = tmp_path / "faces.zip"
    if bytes_ is not None:
        path.write_bytes(bytes_)
    with pytest.raises(UserError) as refusal, open_archive(path) as archive:
        read_listing(archive, LAYOUT)
    line = str(refusal.value)
    assert str(path) in line
    assert fault in line
    assert len(line.splitlines()) == 1


def test_a_folder_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"), open_archive(tmp_path):
        pass


def test_an_error_in_the_block_is_propagated(tmp_path: Path) -> None:
    path = tmp_path / "faces.zip"
    path.write_bytes(WHOLE)
    with pytest.raises(ValueError, match="my own"), open_archive(path):
        raise ValueError("my own")


folders = st.sampled_from(["train", "val", "happy", "Joy", "fear", "..", ".", "", "C:", "__MACOSX"])
files = st.sampled_from(["a.jpg", ".a.jpg", "attributes.csv", "x.txt", "a.jpg\0", "\\a.jpg", ""])
paths = st.tuples(st.lists(folders, max_size=4), files).map(lambda it: "/".join([*it[0], it[1]]))
names = st.one_of(
    paths.map(str.encode), st.text(max_size=40).map(lambda it: it.encode(errors="replace"))
)


@given(name=st.one_of(names, st.binary(max_size=40)), utf8=st.booleans())
@settings(deadline=None)
def test_any_name_is_listed_or_refused(name: bytes, utf8: bool) -> None:
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        Path(file.name).write_bytes(forged(name, flags=0x800 if utf8 else 0).getvalue())
        try:
            with open_archive(Path(file.name)) as archive:
                found = read_listing(archive, LAYOUT)
                assert read_member(archive, found.members[0].name, max_bytes=9) == b"face"
        except UserError as refusal:
            assert len(str(refusal).splitlines()) == 1


@given(changes=st.dictionaries(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), max_size=5))
@settings(deadline=None, max_examples=300)
def test_any_damaged_archive_is_handled(changes: dict[int, int]) -> None:
    damaged = bytearray(WHOLE)
    for place, value in changes.items():
        damaged[place] = value
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        Path(file.name).write_bytes(damaged)
        try:
            with open_archive(Path(file.name)) as archive:
                for member in read_listing(archive, LAYOUT).members:
                    assert len(read_member(archive, member.name, max_bytes=1000)) <= 1000
        except (UserError, UnreadableImage) as refusal:
            assert len(str(refusal).splitlines()) == 1


def deflated(data: bytes) -> bytes:
    """Compress as in a zip member."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def test_content_is_read_up_to_the_limit() -> None:
    data = bytes(range(256)) * 4
    stored = forged(b"happy/a.jpg", data)
    packed_ = forged(
        b"happy/a.jpg", deflated(data), method=8, declared=len(data), crc=zlib.crc32(data)
    )
    for buffer in (stored, packed_):
        with zipfile.ZipFile(buffer) as archive:
            assert read_member(archive, "happy/a.jpg", max_bytes=len(data)) == data
        assert unreadable(buffer, max_bytes=len(data) - 1) == "too large: more than 1023 bytes"


def test_content_with_a_wrong_checksum() -> None:
    assert "damaged member: Bad CRC-32" in unreadable(forged(b"happy/a.jpg", crc=1))


def test_truncated_content() -> None:
    data = bytes(range(256))
    cut = deflated(data)[:-9]
    buffer = forged(b"happy/a.jpg", cut, method=8, declared=len(data), crc=zlib.crc32(data))
    assert unreadable(buffer).startswith("damaged member")
    garbage = forged(b"happy/a.jpg", b"\xff" * 40, method=8, declared=100, crc=0)
    assert "Error -3" in unreadable(garbage)


def test_content_outside_the_file() -> None:
    assert unreadable(io.BytesIO(WHOLE[60:])).startswith("damaged member")
    moved = bytearray(WHOLE)
    place = moved.index(b"PK\1\2") + 42
    for offset in (0x7FFFFFFF, 7):
        moved[place : place + 4] = struct.pack("<I", offset)
        assert unreadable(io.BytesIO(moved)).startswith("damaged member")


def test_content_under_another_name_than_listed() -> None:
    renamed = bytearray(WHOLE)
    place = renamed.index(b"train/happy/a.jpg")
    renamed[place : place + 5] = b"trash"
    assert "File name in directory" in unreadable(io.BytesIO(renamed))


def test_content_that_declares_more_than_it_has() -> None:
    buffer = forged(b"happy/a.jpg", b"face", declared=500)
    assert unreadable(buffer) == "damaged member: 4 bytes, 500 declared"
    assert unreadable(forged(b"happy/a.jpg", declared=0x7FFFFFFF)).startswith("too large")


def test_a_decompression_bomb_with_a_small_declared_size_is_cheap() -> None:
    data = bytes(50_000_000)
    bomb = deflated(data)
    honest = forged(b"happy/a.jpg", bomb, method=8, declared=len(data), crc=zlib.crc32(data))
    lying = forged(b"happy/a.jpg", bomb, method=8, declared=10, crc=zlib.crc32(data))
    del data
    tracemalloc.start()
    assert unreadable(honest) == "too large: more than 1000 bytes"
    assert "Bad CRC" in unreadable(lying)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 99])
def test_content_in_another_compression(method: int) -> None:
    assert unreadable(forged(b"a.jpg", method=method)) == (
        f"unsupported compression, method {method}"
    )


def test_content_of_a_missing_member() -> None:
    with (
        zipfile.ZipFile(io.BytesIO(WHOLE)) as archive,
        pytest.raises(UserError, match=r"no member 'train/happy/z\.jpg'"),
    ):
        read_member(archive, "train/happy/z.jpg", max_bytes=9)
