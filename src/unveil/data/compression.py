"""How an archive and its members are packed, of which not every way is read.

A zip of stored and deflated members is read. Others are named, with what to do.
"""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from posixpath import splitext

from unveil.common.errors import UserError

# Python reads bzip2 and LZMA without a bound: 4 KB of them can become gigabytes at once.
READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

NAMES = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard", 95: "xz", 98: "ppmd", 99: "AES"}
"""Of the methods that other programs compress a zip by, as its specification numbers them."""

PACKED = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2")
ARCHIVES = {
    "it is a 7z archive": (0, b"7z\xbc\xaf\x27\x1c"),
    "it is a rar archive": (0, b"Rar!\x1a\x07"),
    "it is compressed by gzip": (0, b"\x1f\x8b"),
    "it is compressed by xz": (0, b"\xfd7zXZ\x00"),
    "it is compressed by bzip2": (0, b"BZh"),
    "it is a tar archive": (257, b"ustar"),
}
"""Of archives that are no zip: where they have which bytes."""


def kind(path: Path) -> str:
    """Say what a file is that is no zip, and what to do; nothing where it is unknown."""
    with path.open("rb") as file:
        head = file.read(512)
    kinds = [kind for kind, (at, mark) in ARCHIVES.items() if head[at : at + len(mark)] == mark]
    return f"{kinds[0]}; unpack it and give the folder" if kinds else ""


def refuse_other(archive: zipfile.ZipFile, names: Iterable[str]) -> None:
    """Refuse an archive with a member that is compressed in a way that is not read."""
    ways = {name: archive.getinfo(name).compress_type for name in names}
    if other := [name for name, way in ways.items() if way not in READ]:
        way = ways[other[0]]
        named = f"{NAMES.get(way, 'unknown')}, method {way}"
        raise UserError(
            f"{archive.filename}: {len(other)} of {len(ways)} files have an unsupported compression"
            f", first {other[0]!r}: {named}; unveil reads Deflate and uncompressed: unpack it and "
            "give the folder"
        )


def inner(names: Sequence[str]) -> str:
    """Count the archives in an archive, whose images are not seen."""
    found = [name for name in names if splitext(name)[1].lower() in PACKED]
    return f", {len(found)} archives to be unpacked first, such as {found[0]!r}" if found else ""
