"""SOURCE -> the raw data: one archive of labelled faces, under DVC, never edited afterwards.

Takes a zip, a folder or a ``fer2013.csv``; makes ``data/01_raw/faces.zip`` and its ``.dvc`` file.
A zip is copied byte for byte; a folder and a table give the same bytes each time.
Command: ``unveil ingest SOURCE``.
"""

import csv
import io
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from PIL import Image
from tqdm import tqdm

from unveil.archive import ATTRIBUTES, HIDDEN, Layout, Listing, arrange, listing, opened
from unveil.errors import UserError
from unveil.files import replacing
from unveil.images import SUFFIXES
from unveil.paths import ARCHIVE

KINDS = "a source is a zip, a folder with [split/]class/image, or a fer2013.csv"
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
PIXELS = {str(value): value for value in range(256)}
LONGEST_CELL = 1 << 24  # characters, enough for 2,000 x 2,000 pixels; csv's own ends at 181 x 181


def ingest(
    source: Path, *, target: Path = ARCHIVE, layout: Layout, attributes: Path | None = None
) -> Listing:
    """Make ``source`` the archive ``target`` and list it; a failure leaves the old one as it was.

    ``attributes`` is a CSV with a column ``file``; it goes along as ``attributes.csv``. Of a
    folder only images and such a table are taken. Raises ``UserError`` for what is refused.
    """
    try:
        take = _way_to_take(source)
        table = None if attributes is None else _table(attributes)
        with replacing(target) as path:
            taken = take(source, path, layout)
            if table is None:
                return taken
            if taken.attributes is not None:
                raise UserError(f"{source} already has {taken.attributes!r}; give no {attributes}")
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(_entry(ATTRIBUTES), table)
            return replace(taken, attributes=ATTRIBUTES)
    except OSError as error:
        where, reason = error.filename or source, str(error.strerror or error).lower()
        raise UserError(f"{where}: {reason}; {KINDS}") from None


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


def _way_to_take(source: Path) -> Callable[[Path, Path, Layout], Listing]:
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


def _take_zip(source: Path, path: Path, layout: Layout) -> Listing:
    with opened(source) as archive:
        listing(archive, layout)
    with (
        source.open("rb") as file,
        tqdm.wrapattr(file, "read", source.stat().st_size, desc="copy", delay=2) as counted,
        path.open("wb") as copy,
    ):
        shutil.copyfileobj(counted, copy, 1 << 20)
    # Listed again, because a source may still be growing while it is copied.
    with opened(path) as archive:
        return listing(archive, layout)


def _take_folder(source: Path, path: Path, layout: Layout) -> Listing:
    files = {str(file.relative_to(source)): file for file in _files(source)}
    wanted = sorted(name for name in files if _is_wanted(name))
    if not any(Path(name).suffix.lower() in SUFFIXES for name in wanted):
        raise UserError(f"{source} is a folder without images; {KINDS}")
    taken = arrange([_entry(name) for name in wanted], layout, where=str(source))
    with zipfile.ZipFile(path, "w") as archive:
        for name in tqdm(wanted, desc="folder", unit=" files", delay=2):
            archive.writestr(_entry(name), files[name].read_bytes())
    return replace(taken, ignored=len(files) - len(wanted))


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
    file = Path(name)
    is_known = file.suffix.lower() in SUFFIXES or file.name.lower() == ATTRIBUTES
    return is_known and not HIDDEN.search(name)


def _entry(name: str) -> zipfile.ZipInfo:
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise UserError(f"{name!r}: the name is not UTF-8")
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100644 << 16
    return entry


def _table(attributes: Path) -> bytes:
    try:
        table = attributes.read_bytes()
        columns = next(csv.reader(io.StringIO(table.decode("utf-8-sig"), newline="")), [])
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{attributes} cannot be read as a table: {error}") from None
    if "file" not in columns:
        raise UserError(f"{attributes} has no column 'file'; it has {', '.join(columns) or 'none'}")
    return table


def _take_fer2013(source: Path, path: Path, layout: Layout) -> Listing:
    csv.field_size_limit(LONGEST_CELL)
    with (
        source.open(newline="", encoding="utf-8-sig") as file,
        zipfile.ZipFile(path, "w") as archive,
    ):
        for name, image in tqdm(_faces(file, source), desc="table", unit=" faces", delay=2):
            archive.writestr(_entry(name), image)
        return arrange(archive.infolist(), layout, where=str(source))


def _faces(file: TextIO, source: Path) -> Iterator[tuple[str, bytes]]:
    """Give each row's member name and PNG; ``UserError`` names the line of a bad row."""
    reader = csv.reader(file)
    try:
        # One of the two published versions has spaces here: `emotion, Usage, pixels`.
        header = [column.strip().lower() for column in next(reader, [])]
        if missing := [name for name in ("emotion", "pixels", "usage") if name not in header]:
            raise ValueError(f"no column {missing[0]!r}; a fer2013.csv has emotion, pixels, Usage")
        first = 0
        for number, cells in enumerate(filter(None, reader)):
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, the header has {len(header)}")
            row = dict(zip(header, cells, strict=True))
            pixels = _pixels(row["pixels"])
            first = first or len(pixels)
            if len(pixels) != first:
                raise ValueError(f"{len(pixels)} pixels, the first row has {first}")
            yield f"{_folder(row)}/{number:08}.png", _png(pixels)
    except UnicodeDecodeError:
        raise UserError(f"{source} is not UTF-8 text; {KINDS}") from None
    except (csv.Error, ValueError) as error:
        raise UserError(f"{source}, line {reader.line_num}: {error}") from None


def _folder(row: dict[str, str]) -> str:
    emotions = {str(number): name for number, name in enumerate(EMOTIONS)}
    emotion, usage = row["emotion"].strip()[:20], row["usage"].strip()[:20]
    if emotion not in emotions:
        raise ValueError(f"unknown emotion {emotion!r}; choose from {', '.join(emotions)}")
    if usage not in USAGES:
        raise ValueError(f"unknown Usage {usage!r}; choose from {', '.join(USAGES)}")
    return f"{USAGES[usage]}/{emotions[emotion]}"


def _pixels(cell: str) -> bytes:
    try:
        return bytes(map(PIXELS.__getitem__, cell.split()))
    except KeyError as error:
        raise ValueError(f"pixel {error.args[0][:20]!r} is no whole number in 0..255") from None


def _png(pixels: bytes) -> bytes:
    side = math.isqrt(len(pixels))
    if not pixels or side * side != len(pixels):
        raise ValueError(f"{len(pixels)} pixels, not a square number such as 2304")
    buffer = io.BytesIO()
    Image.frombytes("L", (side, side), pixels).save(buffer, "PNG")
    return buffer.getvalue()
