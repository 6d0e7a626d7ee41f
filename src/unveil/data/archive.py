"""List and read the images of a zip archive of labelled faces, without unpacking it.

An archive is laid out as ``[any folders/][split/]class/image``. Used by ``unveil ingest``,
``unveil manifest`` and ``unveil pack``.
"""

import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from posixpath import basename, splitext

from unveil.common.errors import UserError, unknown_choice
from unveil.data import compression, split_folders
from unveil.data.decoding import SUFFIXES, UnreadableImage

ATTRIBUTES = "attributes.csv"
MAX_TABLE_BYTES = 1_000_000_000
HIDDEN = re.compile(r"(^|/)(\.[^/]|__MACOSX/)")
UNSAFE = {
    "has no name": re.compile(r"^$"),
    "has a control character in its name": re.compile(r"[\x00-\x1f\x7f-\x9f]"),
    "has a backslash in its name; folders are written with /": re.compile(r"\\"),
    "has an absolute name": re.compile(r"^/"),
    "has a drive letter in its name": re.compile(r"^[A-Za-z]:"),
    "climbs out of the archive with ..": re.compile(r"(^|/)\.\.(/|$)"),
}
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError)


@dataclass(frozen=True)
class Layout:
    """The expected layout: class folders, aliases of classes, and folders to drop.

    ``split_folders`` maps folders above the classes to splits.
    """

    classes: tuple[str, ...]
    aliases: Mapping[str, str]
    drop: tuple[str, ...]
    max_members: int
    split_folders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledImage:
    """One image; ``split`` is train, validation, test, or ``None`` without splits."""

    name: str
    split: str | None
    label: str


@dataclass(frozen=True)
class Listing:
    """The contents of an archive: ``members`` sorted by name, and what is left out.

    ``dropped`` counts images by class folder, in lower case; ``ignored`` counts hidden files and
    files that are no images; ``attributes`` is the name of the table of attributes. ``renamed`` has
    the split of each folder whose name differs from it, ``pooled`` the number of images of each
    folder if several without a split are pooled, ``unreadable`` the reason by member.
    ``ignored_suffixes`` counts the ignored files that are not hidden, by suffix.
    """

    members: tuple[LabelledImage, ...]
    dropped: Mapping[str, int]
    ignored: int
    attributes: str | None
    renamed: Mapping[str, str] = field(default_factory=dict)
    pooled: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    ignored_suffixes: Mapping[str, int] = field(default_factory=dict)


def require_new_zip(target: Path) -> None:
    """Raise ``UserError`` unless ``target`` is a new path that ends with .zip."""
    if target.suffix != ".zip" or target.exists():
        why = "exists already" if target.exists() else "does not end with .zip"
        raise UserError(f"{target} {why}; name a new zip")


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading; raises ``UserError`` if it is missing, damaged or no zip."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        reason = compression.describe_format(path) or error
        raise UserError(f"{path} is not a zip, or its directory is damaged: {reason}") from None
    with archive:
        yield archive


def read_listing(archive: zipfile.ZipFile, layout: Layout) -> Listing:
    """List the images of an archive without reading them; raises as `build_listing`."""
    return build_listing(archive.infolist(), layout, where=str(archive.filename or "the archive"))


def build_listing(entries: Sequence[zipfile.ZipInfo], layout: Layout, *, where: str) -> Listing:
    """Sort entries into images with class and split, the table of attributes, and other files.

    ``where`` is the archive or folder named in errors.

    Raises:
        UserError: too many, unsafe or duplicate members, unknown folders, or no image of a class.
    """
    if len(entries) > layout.max_members:
        raise UserError(
            f"{where}: {len(entries)} members, more than max_members {layout.max_members}"
        )
    for entry in entries:
        _refuse_unsafe(entry)
    files = sorted(entry.filename for entry in entries if not entry.filename.endswith("/"))
    if duplicates := [name for name, after in pairwise(files) if name == after]:
        raise UserError(f"member {duplicates[0]!r} appears twice in the archive")
    shown = [name for name in files if not HIDDEN.search(name)]
    tables = [name for name in shown if basename(name).lower() == ATTRIBUTES]
    if len(tables) > 1:
        raise UserError(f"more than one {ATTRIBUTES}: {tables[0]!r} and {tables[1]!r}")
    folders = {name: split_folders.image_folders(name) for name in shown if _is_image(name)}
    parents = Counter(path[:-1] for path in folders.values())
    splits = split_folders.recognise_splits(parents, layout.split_folders)
    images = [
        LabelledImage(name, splits[path[:-1]], path[-1].lower()) for name, path in folders.items()
    ]
    members, dropped = _map_labels(images, layout)
    if not members:
        suffixes, inner = ", ".join(sorted(SUFFIXES)), compression.nested_archives(shown)
        raise UserError(
            f"{where}: no image of a class among {len(files)} files, {len(images)} in dropped "
            f"folders{inner}; expected [split/]class/image with {suffixes}"
        )
    _refuse_mixed_splits(members)
    return Listing(
        members,
        dropped,
        ignored=len(files) - len(images) - len(tables),
        attributes=tables[0] if tables else None,
        renamed=split_folders.renamed_folders(parents, splits),
        pooled=split_folders.pooled_counts(parents) if members[0].split is None else {},
        ignored_suffixes=ignored_suffixes(shown),
    )


def ignored_suffixes(names: Iterable[str]) -> dict[str, int]:
    """Count the files that are neither hidden nor imported, by suffix."""
    others = (name for name in names if not (HIDDEN.search(name) or _is_image(name)))
    rest = (basename(name) for name in others if basename(name).lower() != ATTRIBUTES)
    return dict(Counter(splitext(name)[1].lower() or "without a suffix" for name in rest))


def read_member(archive: zipfile.ZipFile, name: str, *, max_bytes: int) -> bytes:
    """Read one member, at most ``max_bytes``, whatever its header declares.

    Raises:
        UnreadableImage: it is too large, damaged, or has an unsupported compression.
        UserError: there is no such member.
    """
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise UserError(f"{archive.filename} has no member {name!r}") from None
    if entry.comment and not entry.file_size:
        # `unveil ingest` stores the reason in the comment of an empty member.
        raise UnreadableImage(entry.comment.decode("utf-8", "replace")[:200])
    if entry.compress_type not in compression.SUPPORTED:
        raise UnreadableImage(f"unsupported compression, method {entry.compress_type}")
    try:
        with archive.open(name) as file:
            data = file.read(max_bytes + 1)
    except DAMAGED as error:
        raise UnreadableImage(f"damaged member: {str(error)[:80] or 'cut short'}") from None
    if max(len(data), entry.file_size) > max_bytes:
        raise UnreadableImage(f"too large: more than {max_bytes} bytes")
    if len(data) != entry.file_size:
        raise UnreadableImage(f"damaged member: {len(data)} bytes, {entry.file_size} declared")
    return data


def _refuse_unsafe(entry: zipfile.ZipInfo) -> None:
    # ``filename`` is the name as changed by zipfile: truncated at a NUL, or from an extra field.
    names, kind = {entry.orig_filename, entry.filename}, stat.S_IFMT(entry.external_attr >> 16)
    faults = [fault for fault, pattern in UNSAFE.items() if any(map(pattern.search, names))]
    if kind == stat.S_IFLNK:
        faults.append("is a symbolic link")
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        faults.append("is a special file")
    if entry.flag_bits & 0x1:
        faults.append("is protected by a password")
    if faults:
        raise UserError(f"member {entry.orig_filename!r} {faults[0]}")


def _refuse_mixed_splits(members: Sequence[LabelledImage]) -> None:
    example = {member.split is not None: member.name for member in members}
    if len(example) > 1:
        raise UserError(
            f"{example[True]!r} is in a split folder, {example[False]!r} is not; "
            f"put all images into {', '.join(split_folders.NAMES)}, or none, or set the "
            "splits of folders: data.split_folders in params.yaml"
        )


def is_shown_image(name: str) -> bool:
    """Whether a member is an image and not hidden."""
    return _is_image(name) and not HIDDEN.search(name)


def _is_image(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES


def _map_labels(
    images: Sequence[LabelledImage], layout: Layout
) -> tuple[tuple[LabelledImage, ...], dict[str, int]]:
    labels = _labels_by_folder(layout)
    counts = Counter(member.label for member in images)
    if unknown := sorted(counts.keys() - labels.keys()):
        raise UserError(
            f"unknown class folder {unknown[0]!r} ({counts[unknown[0]]} images); choose from "
            f"classes {', '.join(layout.classes)}; aliases {', '.join(layout.aliases) or 'none'}; "
            f"drop {', '.join(layout.drop) or 'none'}"
        )
    named = ((member, labels[member.label]) for member in images)
    members = tuple(
        LabelledImage(one.name, one.split, label) for one, label in named if label is not None
    )
    return members, {name: counts[name] for name in sorted(counts) if labels[name] is None}


def _labels_by_folder(layout: Layout) -> dict[str, str | None]:
    """Map folder names, in lower case, to classes, or to ``None`` if dropped; classes win."""
    for alias, label in layout.aliases.items():
        if label not in layout.classes:
            raise unknown_choice(f"class of alias {alias!r} (data.aliases)", label, layout.classes)
    wanted = {**dict.fromkeys(layout.drop), **layout.aliases, **{n: n for n in layout.classes}}
    return {name.lower(): label for name, label in wanted.items()}
