"""SOURCE -> the raw data: one archive of labelled faces, under DVC, never edited afterwards.

Takes a zip, a folder or a ``fer2013.csv``; makes ``data/01_raw/faces.zip`` and its ``.dvc`` file,
of images without metadata (`strip`) and the table of groups, and of nothing else. The same source
gives the same bytes each time. An image that cannot be read becomes an empty member, whose comment
is the reason.
Command: ``unveil ingest SOURCE``.
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

from unveil import archive as archives
from unveil import attributes as groups
from unveil import compression, fer2013
from unveil.archive import (
    ATTRIBUTES,
    HIDDEN,
    MAX_TABLE_BYTES,
    Layout,
    Listing,
    arrange,
    listing,
    opened,
)
from unveil.errors import UserError
from unveil.files import replacing
from unveil.images import SUFFIXES, Limits, UnreadableImage
from unveil.paths import ARCHIVE
from unveil.strip import LIMITS, reason, strip

KINDS = "a source is a zip, a folder with [split/]class/image, or a fer2013.csv"


def ingest(
    source: Path,
    *,
    target: Path = ARCHIVE,
    layout: Layout,
    attributes: Path | None = None,
    limits: Limits = LIMITS,
) -> Listing:
    """Make ``source`` the archive ``target`` and list it; a failure leaves the old one as it was.

    ``attributes`` is a CSV with a column ``file``; it goes along as ``attributes.csv``. Only images
    and such a table are taken. Raises ``UserError`` for what is refused.
    """
    try:
        take = _way_to_take(source)
        table = None if attributes is None else _table(attributes)
        with replacing(target) as path:
            taken = take(source, path, layout, limits)
            if table is None:
                return _checked(taken, path, source)
            if taken.attributes is not None:
                raise UserError(f"{source} already has {taken.attributes!r}; give no {attributes}")
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(entry(ATTRIBUTES), table)
            return _checked(replace(taken, attributes=ATTRIBUTES), path, source)
    except OSError as error:
        where, reason = error.filename or source, str(error.strerror or error).lower()
        raise UserError(f"{where}: {reason}; {KINDS}") from None


def _checked(taken: Listing, path: Path, source: Path) -> Listing:
    """Refuse what no manifest could be made of; name the images that cannot be read."""
    splits = {member.split for member in taken.members}
    if splits - {None} and "train" not in splits:
        there = ", ".join(sorted(map(str, splits)))
        raise UserError(f"{source}: the archive has {there} but no train folder")
    with zipfile.ZipFile(path) as archive:
        if taken.attributes is not None:
            groups.read(archive.read(taken.attributes), taken.attributes)
        found = (archive.getinfo(member.name) for member in taken.members)
        reasons = {one.filename: one.comment.decode() for one in found if not one.file_size}
    if len(reasons) == len(taken.members):
        name, why = next(iter(reasons.items()))
        raise UserError(
            f"{source}: none of {len(reasons)} images can be read, first {name!r}: {why}"
        )
    return replace(taken, unreadable=reasons)


def track(target: Path = ARCHIVE) -> None:
    """Put the archive under DVC; ``UserError`` with DVC's reason when that fails."""
    # Not --quiet, which swallows the reason of a failure.
    command = [sys.executable, "-m", "dvc", "add", str(target)]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it gave no reason"]
        reason = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        raise UserError(f"dvc add {target} failed: {reason.removeprefix('ERROR: ')}")


def _way_to_take(source: Path) -> Callable[[Path, Path, Layout, Limits], Listing]:
    if not source.exists():
        raise UserError(f"{source} is not there; {KINDS}")
    if source.is_dir():
        return _take_folder
    if source.is_file():
        source.open("rb").close()
        if source.suffix.lower() == ".csv":
            return _take_fer2013
        if source.suffix.lower() == ".zip" or zipfile.is_zipfile(source):
            return _take_zip
    raise UserError(f"{source} is of another kind; {KINDS}")


def _take_zip(source: Path, path: Path, layout: Layout, limits: Limits) -> Listing:
    before = _age(source)
    with opened(source) as archive:
        taken = listing(archive, layout)
        wanted = sorted(filter(_is_wanted, archive.namelist()))
        compression.refuse_other(archive, wanted)
        rewrite(archive, path, wanted, limits=limits)
    # Of one that is still being downloaded, half would else pass for damaged images.
    if _age(source) != before:
        raise UserError(f"{source} changed while it was read; try again")
    return taken


def _age(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def rewrite(
    source: zipfile.ZipFile,
    path: Path,
    names: Iterable[str],
    *,
    limits: Limits = LIMITS,
    tables: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write the members ``names`` of an archive to another, without metadata.

    ``tables`` are the contents that take the place of a member's own.
    """
    with zipfile.ZipFile(path, "w") as target:
        for name in tqdm(names, desc="faces", unit=" files", delay=2):
            most = limits.max_bytes if _is_image(name) else MAX_TABLE_BYTES
            try:
                given = tables.get(name)
                content = archives.content(source, name, max_bytes=most) if given is None else given
            except UnreadableImage as error:
                if not _is_image(name):
                    raise UserError(f"{name} cannot be read as a table: {error}") from None
                target.writestr(_unreadable(name, error), b"")
            else:
                _add(target, name, content, limits)


def _take_folder(source: Path, path: Path, layout: Layout, limits: Limits) -> Listing:
    files = {str(file.relative_to(source)): file for file in _files(source)}
    wanted = sorted(name for name in files if _is_wanted(name))
    if not any(map(_is_image, wanted)):
        raise UserError(f"{source} is a folder without images; {KINDS}")
    taken = arrange([entry(name) for name in wanted], layout, where=str(source))
    with zipfile.ZipFile(path, "w") as archive:
        for name in tqdm(wanted, desc="folder", unit=" files", delay=2):
            _add(archive, name, files[name].read_bytes(), limits)
    others = archives.passed_over(files)
    return replace(taken, ignored=len(files) - len(wanted), passed_over=others)


def _add(archive: zipfile.ZipFile, name: str, content: bytes, limits: Limits) -> None:
    try:
        bare = strip(content, limits) if _is_image(name) else _plain(content, name)
        archive.writestr(entry(name), bare)
    except UnreadableImage as error:
        archive.writestr(_unreadable(name, error), b"")


def _plain(table: bytes, name: str) -> bytes:
    try:
        return groups.plain(table, name)
    except UserError:
        return table  # `_checked` refuses it, once it is known that no other was given


def _unreadable(name: str, error: UnreadableImage) -> zipfile.ZipInfo:
    empty = entry(name)
    empty.comment = reason(error).encode()
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


def entry(name: str) -> zipfile.ZipInfo:
    """Head a member, the same at each time; ``UserError`` for a name that is no text."""
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise UserError(f"{name!r}: the name is not UTF-8")
    made = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    made.external_attr = 0o100644 << 16
    return made


def _table(attributes: Path) -> bytes:
    try:
        table = attributes.read_bytes()
    except OSError as error:
        said = str(error.strerror).lower()
        raise UserError(f"{attributes} cannot be read as a table: {said}") from None
    return groups.plain(table, attributes)


def _take_fer2013(source: Path, path: Path, layout: Layout, _limits: Limits) -> Listing:
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in tqdm(fer2013.faces(source), desc="table", unit=" faces", delay=2):
            archive.writestr(entry(name), image)
        return arrange(archive.infolist(), layout, where=str(source))
