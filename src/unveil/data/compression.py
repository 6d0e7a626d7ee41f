"""Detection of archive formats and compression methods.

Only zip archives with stored or deflated members are read; others are named, with a remedy.
"""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from posixpath import splitext

from unveil.common.errors import UserError

# Python decompresses bzip2 and LZMA without a limit: 4 KB can become gigabytes at once.
SUPPORTED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

METHOD_NAMES = {
    9: "deflate64",
    12: "bzip2",
    14: "lzma",
    93: "zstandard",
    95: "xz",
    98: "ppmd",
    99: "AES",
}
"""Names of other zip compression methods, by their number in the specification."""

ARCHIVE_SUFFIXES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".xz", ".bz2")
ARCHIVES = {
    "it is a 7z archive": (0, b"7z\xbc\xaf\x27\x1c"),
    "it is a rar archive": (0, b"Rar!\x1a\x07"),
    "it is compressed by gzip": (0, b"\x1f\x8b"),
    "it is compressed by xz": (0, b"\xfd7zXZ\x00"),
    "it is compressed by bzip2": (0, b"BZh"),
    "it is a tar archive": (257, b"ustar"),
}
"""Offset and magic bytes of other archive formats."""


def describe_format(path: Path) -> str:
    """Describe a file that is not a zip, with a remedy; empty if the format is unknown."""
    with path.open("rb") as file:
        head = file.read(512)
    kinds = [kind for kind, (at, mark) in ARCHIVES.items() if head[at : at + len(mark)] == mark]
    return f"{kinds[0]}; unpack it and give the folder" if kinds else ""


def require_supported(archive: zipfile.ZipFile, names: Iterable[str]) -> None:
    """Raise ``UserError`` if a member has an unsupported compression method."""
    methods = {name: archive.getinfo(name).compress_type for name in names}
    if other := [name for name, method in methods.items() if method not in SUPPORTED]:
        method = methods[other[0]]
        named = f"{METHOD_NAMES.get(method, 'unknown')}, method {method}"
        raise UserError(
            f"{archive.filename}: {len(other)} of {len(methods)} files have an unsupported "
            f"compression, first {other[0]!r}: {named}; unveil reads Deflate and uncompressed: "
            "unpack it and give the folder"
        )


def nested_archives(names: Sequence[str]) -> str:
    """Describe archives inside an archive, whose images are not read; empty if there are none."""
    inner = [name for name in names if splitext(name)[1].lower() in ARCHIVE_SUFFIXES]
    return f", {len(inner)} archives to be unpacked first, such as {inner[0]!r}" if inner else ""
