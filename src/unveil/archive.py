"""A zip of labelled faces -> the list of its images; read in place, never unpacked.

Takes an archive laid out as ``[any folders/][split/]class/image`` and gives a ``Listing``, or
refuses it in one line. ``unveil ingest``, ``unveil manifest`` and ``unveil pack`` read through it.
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

from unveil import compression, split_folders
from unveil.errors import UserError, unknown
from unveil.images import SUFFIXES, UnreadableImage

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
    """Which folders are classes, which are other names of classes, and which are left out.

    ``split_folders`` says of folders above the classes which split they are.
    """

    classes: tuple[str, ...]
    aliases: Mapping[str, str]
    drop: tuple[str, ...]
    max_members: int
    split_folders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Member:
    """One image: ``split`` is train, validation, test, or ``None`` where there are no splits."""

    name: str
    split: str | None
    label: str


@dataclass(frozen=True)
class Listing:
    """What an archive holds: ``members`` sorted by name, and what is left out.

    ``dropped`` counts images by their class folder, in lower case; ``ignored`` counts files that
    are hidden or no image; ``attributes`` names the member that is the table of groups.
    ``renamed`` has the split of each folder with a name of its own, ``pooled`` the images of each
    folder where several without a split make one set, ``unreadable`` the reasons that `ingest` has.
    ``passed_over`` counts the ignored files that are not hidden, by suffix.
    """

    members: tuple[Member, ...]
    dropped: Mapping[str, int]
    ignored: int
    attributes: str | None
    renamed: Mapping[str, str] = field(default_factory=dict)
    pooled: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    passed_over: Mapping[str, int] = field(default_factory=dict)


def refuse_taken(target: Path) -> None:
    """Refuse a path that is no new zip; nothing is ever written over."""
    if target.suffix != ".zip" or target.exists():
        why = "is there already" if target.exists() else "does not end with .zip"
        raise UserError(f"{target} {why}; name a new zip")


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive for reading; ``UserError`` when it is absent, no zip, or damaged."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise UserError(
            f"{path} is no zip, or its directory is damaged: {compression.kind(path) or error}"
        ) from None
    with archive:
        yield archive


def listing(archive: zipfile.ZipFile, layout: Layout) -> Listing:
    """List the images of an archive without reading one; ``UserError`` names what it refuses."""
    return arrange(archive.infolist(), layout, where=str(archive.filename or "the archive"))


def arrange(entries: Sequence[zipfile.ZipInfo], layout: Layout, *, where: str) -> Listing:
    """Sort entries into images with class and split, the table of groups, and the rest.

    ``where`` is the archive or folder to name when it has no image. Raises ``UserError``.
    """
    if len(entries) > layout.max_members:
        raise UserError(f"{where}: {len(entries)} members, over max_members {layout.max_members}")
    for entry in entries:
        _refuse_unsafe(entry)
    files = sorted(entry.filename for entry in entries if not entry.filename.endswith("/"))
    if twice := [name for name, after in pairwise(files) if name == after]:
        raise UserError(f"member {twice[0]!r} stands twice in the archive")
    shown = [name for name in files if not HIDDEN.search(name)]
    tables = [name for name in shown if basename(name).lower() == ATTRIBUTES]
    if len(tables) > 1:
        raise UserError(f"more than one {ATTRIBUTES}: {tables[0]!r} and {tables[1]!r}")
    folders = {name: split_folders.folders(name) for name in shown if _is_image(name)}
    parents = Counter(path[:-1] for path in folders.values())
    splits = split_folders.recognised(parents, layout.split_folders)
    found = [Member(name, splits[path[:-1]], path[-1].lower()) for name, path in folders.items()]
    members, dropped = _labelled(found, layout)
    if not members:
        suffixes, inner = ", ".join(sorted(SUFFIXES)), compression.inner(shown)
        raise UserError(
            f"{where}: no image of a class among {len(files)} files, {len(found)} in dropped "
            f"folders{inner}; expected [split/]class/image with {suffixes}"
        )
    _refuse_mixed_splits(members)
    return Listing(
        members,
        dropped,
        ignored=len(files) - len(found) - len(tables),
        attributes=tables[0] if tables else None,
        renamed=split_folders.renamed(parents, splits),
        pooled=split_folders.pooled(parents) if members[0].split is None else {},
        passed_over=passed_over(shown),
    )


def passed_over(names: Iterable[str]) -> dict[str, int]:
    """Count the files that are neither hidden nor taken, by suffix."""
    others = (name for name in names if not (HIDDEN.search(name) or _is_image(name)))
    rest = (basename(name) for name in others if basename(name).lower() != ATTRIBUTES)
    return dict(Counter(splitext(name)[1].lower() or "without a suffix" for name in rest))


def content(archive: zipfile.ZipFile, name: str, *, max_bytes: int) -> bytes:
    """Read one member, never more than ``max_bytes``, whatever its header declares.

    Raises ``UnreadableImage`` when it is too large, damaged, or compressed in a way that is not
    supported, and ``UserError`` when there is no such member.
    """
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise UserError(f"{archive.filename} has no member {name!r}") from None
    if entry.comment and not entry.file_size:
        # `unveil ingest` leaves the reason here, and none of the bytes.
        raise UnreadableImage(entry.comment.decode("utf-8", "replace")[:200])
    if entry.compress_type not in compression.READ:
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
    # ``filename`` is what zipfile made of the stored name: cut at a NUL, or replaced by an extra.
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


def _refuse_mixed_splits(members: Sequence[Member]) -> None:
    example = {member.split is not None: member.name for member in members}
    if len(example) > 1:
        raise UserError(
            f"{example[True]!r} is in a split folder, {example[False]!r} is not; "
            f"put all images into {', '.join(split_folders.NAMES)}, or none, or say which "
            "folder is what: data.split_folders in params.yaml"
        )


def _is_image(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES


def _labelled(found: Sequence[Member], layout: Layout) -> tuple[tuple[Member, ...], dict[str, int]]:
    labels = _labels(layout)
    counts = Counter(member.label for member in found)
    if strangers := sorted(counts.keys() - labels.keys()):
        raise UserError(
            f"unknown class folder {strangers[0]!r} ({counts[strangers[0]]} images); choose from "
            f"classes {', '.join(layout.classes)}; aliases {', '.join(layout.aliases) or 'none'}; "
            f"drop {', '.join(layout.drop) or 'none'}"
        )
    named = ((member, labels[member.label]) for member in found)
    members = tuple(Member(one.name, one.split, label) for one, label in named if label is not None)
    return members, {name: counts[name] for name in sorted(counts) if labels[name] is None}


def _labels(layout: Layout) -> dict[str, str | None]:
    """Map folder names, in lower case, to a class, or to ``None`` when dropped; a class wins."""
    for alias, label in layout.aliases.items():
        if label not in layout.classes:
            raise unknown(f"class of alias {alias!r}", label, layout.classes)
    wanted = {**dict.fromkeys(layout.drop), **layout.aliases, **{n: n for n in layout.classes}}
    return {name.lower(): label for name, label in wanted.items()}
