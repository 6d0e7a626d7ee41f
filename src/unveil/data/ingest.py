"""Import a zip, a folder or a ``fer2013.csv`` as the raw data: one archive, tracked by DVC.

Writes ``data/01_raw/faces.zip`` with the images, without metadata, and the table of attributes;
other files are skipped. The same source always gives the same bytes. An unreadable image becomes
an empty member whose comment is the reason. Command: ``unveil ingest SOURCE``.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.common.paths import ARCHIVE
from unveil.data import archive as archives
from unveil.data import attributes as groups
from unveil.data import compression, fer2013
from unveil.data.archive import (
    ATTRIBUTES,
    HIDDEN,
    MAX_TABLE_BYTES,
    Layout,
    Listing,
    build_listing,
    open_archive,
    read_listing,
)
from unveil.data.decoding import SUFFIXES, Limits, UnreadableImage
from unveil.data.metadata_stripping import DEFAULT_LIMITS, error_reason, strip_metadata

KINDS = "a source is a zip, a folder with [split/]class/image, or a fer2013.csv"


def ingest(
    source: Path,
    *,
    target: Path = ARCHIVE,
    layout: Layout,
    attributes: Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Listing:
    """Import ``source`` into the archive ``target`` and list it; a failure keeps the old archive.

    ``attributes`` is a CSV with a column ``file``, stored as ``attributes.csv``. Only images and
    this table are imported. Raises ``UserError`` for a source that is refused.
    """
    try:
        take = _importer(source)
        table = None if attributes is None else _read_attributes(attributes)
        with atomic_write(target) as path:
            taken = take(source, path, layout, limits)
            if table is None:
                return _checked(taken, path, source)
            if taken.attributes is not None:
                raise UserError(
                    f"{source} already has {taken.attributes!r}; do not also give {attributes}"
                )
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(zip_entry(ATTRIBUTES), table)
            return _checked(replace(taken, attributes=ATTRIBUTES), path, source)
    except OSError as error:
        where, reason = error.filename or source, str(error.strerror or error).lower()
        raise UserError(f"{where}: {reason}; {KINDS}") from None


def _checked(taken: Listing, path: Path, source: Path) -> Listing:
    """Refuse an archive without a train split or readable images; add the unreadable images."""
    splits = {member.split for member in taken.members}
    if splits - {None} and "train" not in splits:
        present = ", ".join(sorted(map(str, splits)))
        raise UserError(f"{source}: the archive has {present} but no train folder")
    with zipfile.ZipFile(path) as archive:
        if taken.attributes is not None:
            groups.read(archive.read(taken.attributes), taken.attributes)
        entries = (archive.getinfo(member.name) for member in taken.members)
        reasons = {one.filename: one.comment.decode() for one in entries if not one.file_size}
    if len(reasons) == len(taken.members):
        name, why = next(iter(reasons.items()))
        raise UserError(
            f"{source}: none of {len(reasons)} images can be read, first {name!r}: {why}"
        )
    return replace(taken, unreadable=reasons)


def track_with_dvc(target: Path = ARCHIVE) -> None:
    """Track the archive with DVC; raises ``UserError`` with DVC's reason on failure."""
    # Not --quiet, which suppresses the reason of a failure.
    command = [sys.executable, "-m", "dvc", "add", str(target)]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        raise UserError(f"dvc add {target} failed: {reason.removeprefix('ERROR: ')}")


def _importer(source: Path) -> Callable[[Path, Path, Layout, Limits], Listing]:
    if not source.exists():
        raise UserError(f"{source} not found; {KINDS}")
    if source.is_dir():
        return _import_folder
    if source.is_file():
        source.open("rb").close()
        if source.suffix.lower() == ".csv":
            return _import_fer2013
        if source.suffix.lower() == ".zip" or zipfile.is_zipfile(source):
            return _import_zip
    raise UserError(f"{source} has an unsupported type; {KINDS}")


def _import_zip(source: Path, path: Path, layout: Layout, limits: Limits) -> Listing:
    before = _size_and_mtime(source)
    with open_archive(source) as archive:
        taken = read_listing(archive, layout)
        wanted = sorted(filter(_is_wanted, archive.namelist()))
        compression.require_supported(archive, wanted)
        copy_members(archive, path, wanted, limits=limits)
    # A file that is still being downloaded would otherwise appear to have damaged images.
    if _size_and_mtime(source) != before:
        raise UserError(f"{source} changed while it was read; try again")
    return taken


def _size_and_mtime(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def copy_members(
    source: zipfile.ZipFile,
    path: Path,
    names: Iterable[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    tables: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Copy the members ``names`` of an archive to a new archive, without metadata.

    ``tables`` replaces the contents of members.
    """
    with zipfile.ZipFile(path, "w") as target:
        for name in tqdm(names, desc="faces", unit=" files", delay=2):
            most = limits.max_bytes if _is_image(name) else MAX_TABLE_BYTES
            try:
                given = tables.get(name)
                content = (
                    archives.read_member(source, name, max_bytes=most) if given is None else given
                )
            except UnreadableImage as error:
                if not _is_image(name):
                    raise UserError(f"{name} cannot be read as a table: {error}") from None
                target.writestr(_unreadable_entry(name, error), b"")
            else:
                _add(target, name, content, limits)


def _import_folder(source: Path, path: Path, layout: Layout, limits: Limits) -> Listing:
    files = {str(file.relative_to(source)): file for file in _files(source)}
    wanted = sorted(name for name in files if _is_wanted(name))
    if not any(map(_is_image, wanted)):
        raise UserError(f"{source} is a folder without images; {KINDS}")
    taken = build_listing([zip_entry(name) for name in wanted], layout, where=str(source))
    with zipfile.ZipFile(path, "w") as archive:
        for name in tqdm(wanted, desc="folder", unit=" files", delay=2):
            _add(archive, name, files[name].read_bytes(), limits)
    suffixes = archives.ignored_suffixes(files)
    return replace(taken, ignored=len(files) - len(wanted), ignored_suffixes=suffixes)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, limits: Limits) -> None:
    try:
        bare = (
            strip_metadata(content, limits) if _is_image(name) else _normalize_table(content, name)
        )
        archive.writestr(zip_entry(name), bare)
    except UnreadableImage as error:
        archive.writestr(_unreadable_entry(name, error), b"")


def _normalize_table(table: bytes, name: str) -> bytes:
    try:
        return groups.normalize(table, name)
    except UserError:
        return table  # `_checked` refuses it later, unless another table was given


def _unreadable_entry(name: str, error: UnreadableImage) -> zipfile.ZipInfo:
    empty = zip_entry(name)
    empty.comment = error_reason(error).encode()
    return empty


def _files(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    yield path
                else:
                    kind = "symbolic link" if entry.is_symlink() else "special file"
                    raise UserError(f"{entry.path!r} is a {kind}, which is not followed")


def _is_wanted(name: str) -> bool:
    is_known = _is_image(name) or Path(name).name.lower() == ATTRIBUTES
    return is_known and not name.endswith("/") and not HIDDEN.search(name)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def zip_entry(name: str) -> zipfile.ZipInfo:
    """Return a reproducible member header; raises ``UserError`` for a name that is not UTF-8."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise UserError(f"{name!r}: the name is not UTF-8")
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100644 << 16
    return entry


def _read_attributes(attributes: Path) -> bytes:
    try:
        table = attributes.read_bytes()
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UserError(f"{attributes} cannot be read as a table: {reason}") from None
    return groups.normalize(table, attributes)


def _import_fer2013(source: Path, path: Path, layout: Layout, _limits: Limits) -> Listing:
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in tqdm(fer2013.faces(source), desc="table", unit=" faces", delay=2):
            archive.writestr(zip_entry(name), image)
        return build_listing(archive.infolist(), layout, where=str(source))
