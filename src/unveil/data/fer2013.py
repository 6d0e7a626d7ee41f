"""Reader for fer2013.csv of the FER2013 challenge (columns emotion, pixels, Usage).

Each row becomes a PNG named ``split/class/row.png``. Used by `unveil ingest`.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from PIL import Image

from unveil.common.csv_reader import CsvTable
from unveil.common.errors import UserError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
PIXELS = {str(value): value for value in range(256)}


def faces(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the member name and the PNG of each row; raises ``UserError`` with the line number."""
    with source.open(newline="", encoding="utf-8-sig") as file:
        yield from _rows(file, source)


def _rows(file: TextIO, source: Path) -> Iterator[tuple[str, bytes]]:
    table, first = None, 0
    try:
        table = CsvTable(file)
        # One of the two published versions has spaces in its header: `emotion, Usage, pixels`.
        header = [name.lower() for name in table.header]
        if twice := [name for name in header if name and header.count(name) > 1]:
            raise ValueError(f"the column {twice[0]!r} occurs twice")
        if missing := [name for name in ("emotion", "pixels", "usage") if name not in header]:
            raise ValueError(f"no column {missing[0]!r}; a fer2013.csv has emotion, pixels, Usage")
        for number, (_, cells) in enumerate(table):
            row = dict(zip(header, cells, strict=True))
            pixels = _pixels(row["pixels"])
            first = first or len(pixels)
            if len(pixels) != first:
                raise ValueError(f"{len(pixels)} pixels, the first row has {first}")
            yield f"{_folder(row)}/{number:08}.png", _png(pixels)
    except UnicodeDecodeError:
        raise UserError(f"{source} is not UTF-8 text; a fer2013.csv is") from None
    except (csv.Error, ValueError) as error:
        raise UserError(f"{source}, line {table.line if table else 1}: {error}") from None


def _folder(row: dict[str, str]) -> str:
    emotions = {str(number): name for number, name in enumerate(EMOTIONS)}
    usages = {name.lower(): split for name, split in USAGES.items()}
    # pandas writes integers as 3.0 if a cell of the column was empty.
    emotion = re.sub(r"\.0+$", "", row["emotion"].strip())[:20]
    usage = row["usage"].strip()[:20]
    if emotion not in emotions:
        raise ValueError(f"unknown emotion {emotion!r}; choose from {', '.join(emotions)}")
    if usage.lower() not in usages:
        raise ValueError(f"unknown Usage {usage!r}; choose from {', '.join(USAGES)}")
    return f"{usages[usage.lower()]}/{emotions[emotion]}"


def _pixels(cell: str) -> bytes:
    try:
        return bytes(map(PIXELS.__getitem__, cell.split()))
    except KeyError as error:
        raise ValueError(f"pixel {error.args[0][:20]!r} is not an integer in 0..255") from None


def _png(pixels: bytes) -> bytes:
    side = math.isqrt(len(pixels))
    if not pixels or side * side != len(pixels):
        raise ValueError(f"{len(pixels)} pixels, not a square number such as 2304")
    buffer = io.BytesIO()
    Image.frombytes("L", (side, side), pixels).save(buffer, "PNG")
    return buffer.getvalue()
