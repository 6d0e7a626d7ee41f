"""The rows of a database of SQLite, and of its log, as `contents` looks through them.

A log holds the pages that were written last, whole; the database has them when it is closed.
"""

import sqlite3
import struct
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from unveil.numbers_inside import Cell, Lumps

LOG = (b"7\x7f\x06\x82", b"7\x7f\x06\x83")
"""How a log begins."""
ROWS = 1000
_HEADER, _FRAME = 32, 24  # bytes


def database(file: IO[bytes]) -> Iterator[Cell]:
    """Give the texts, numbers and bytes of all rows of SQLite."""
    content = bytearray(file.read())
    content[18:20] = b"\1\1"  # with a log beside it, which is no part of it, it would not open
    with sqlite3.connect(":memory:") as opened:
        opened.deserialize(bytes(content))
        opened.text_factory = lambda words: words.decode("utf-8", "replace")
        for (name,) in opened.execute("select name from sqlite_schema where type = 'table'"):
            quoted = name.replace('"', '""')
            yield from _rows(opened.execute(f'select * from "{quoted}"'))


def _rows(found: sqlite3.Cursor) -> Iterator[Cell]:
    lumps = Lumps()
    while rows := found.fetchmany(ROWS):
        for row in rows:
            yield from _words(row)
        counted = [[float(one) for one in row if isinstance(one, int | float)] for row in rows]
        whole = len({len(row) for row in counted}) == 1
        columns = len(counted[0]) if whole else 1
        flat = np.array([one for row in counted for one in row])
        yield from lumps.add(flat.reshape(-1, columns) if columns else flat.reshape(0, 1))
    yield from lumps.rest()


def _words(row: tuple[Any, ...]) -> Iterator[str | bytes]:
    if words := [cell for cell in row if isinstance(cell, str)]:
        # An empty line, over which nothing that is written in letters goes on.
        yield "\n\n".join(words)
    yield from (cell for cell in row if isinstance(cell, bytes))


def logged(log: bytes, base: bytes = b"") -> bytes:
    """Give a database with the pages of its log.

    Raises ``ValueError`` where the log does not have all pages that the database lacks, or is none.
    """
    if len(log) < _HEADER + _FRAME:
        return base
    size = _page_size(log)
    pages = {place: base[place * size :][:size] for place in range(len(base) // size)}
    count = len(pages)
    for start in range(_HEADER, len(log) - size - _FRAME + 1, size + _FRAME):
        number, after = struct.unpack(">II", log[start : start + 8])
        if log[start + 8 : start + 16] != log[16:24]:  # of before the log was begun anew
            break
        pages[number - 1] = log[start + _FRAME :][:size]
        count = after or count
    if missing := [place for place in range(count) if place not in pages]:
        raise ValueError(f"of its database, page {missing[0] + 1} is not there")
    content = bytearray(b"".join(pages[place] for place in range(count)))
    content[28:32] = struct.pack(">I", count)
    return bytes(content)


def stale(log: bytes) -> bool:
    """Say whether a log still holds pages of before it was begun anew; may raise as `logged`."""
    if len(log) < _HEADER + _FRAME:
        return False
    size = _page_size(log)
    frames = range(_HEADER, len(log) - size - _FRAME + 1, size + _FRAME)
    return any(log[start + 8 : start + 16] != log[16:24] for start in frames)


def _page_size(log: bytes) -> int:
    size: int = struct.unpack(">I", log[8:12])[0]
    if size < 512:
        raise ValueError(f"its pages have {size} bytes, and 512 at least in SQLite")
    return size
