"""Read the rows of SQLite databases and of their write-ahead logs.

A log (``-wal``) contains the pages that were written last; SQLite copies them to the database when
the database is closed.
"""

import sqlite3
import struct
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from unveil.privacy.array_search import Cell, RowBuffer

WAL_SIGNATURES = (b"7\x7f\x06\x82", b"7\x7f\x06\x83")
"""First bytes of a write-ahead log."""
OLD_FRAMES = "contains pages that are older than its last restart"
BATCH_ROWS = 1000
_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MIN_PAGE_BYTES = 512


def database(file: IO[bytes]) -> Iterator[Cell]:
    """Yield the texts, numbers and bytes of all rows of a SQLite database."""
    content = bytearray(file.read())
    content[18:20] = b"\1\1"  # turn off write-ahead logging: the log file is not there
    with sqlite3.connect(":memory:") as opened:
        opened.deserialize(bytes(content))
        opened.text_factory = lambda words: words.decode("utf-8", "replace")
        for (name,) in opened.execute("select name from sqlite_schema where type = 'table'"):
            quoted = name.replace('"', '""')
            yield from _rows(opened.execute(f'select * from "{quoted}"'))


def _rows(found: sqlite3.Cursor) -> Iterator[Cell]:
    buffer = RowBuffer()
    while rows := found.fetchmany(BATCH_ROWS):
        for row in rows:
            yield from _texts_and_bytes(row)
        numbers = [[float(one) for one in row if isinstance(one, int | float)] for row in rows]
        regular = len({len(row) for row in numbers}) == 1
        columns = len(numbers[0]) if regular else 1
        flat = np.array([one for row in numbers for one in row])
        yield from buffer.add(flat.reshape(-1, columns) if columns else flat.reshape(0, 1))
    yield from buffer.flush()


def _texts_and_bytes(row: tuple[Any, ...]) -> Iterator[str | bytes]:
    if words := [cell for cell in row if isinstance(cell, str)]:
        # The empty line separates the cells: encoded bytes may continue on the next line.
        yield "\n\n".join(words)
    yield from (cell for cell in row if isinstance(cell, bytes))


def apply_wal(log: bytes, base: bytes = b"") -> bytes:
    """Return a database with the pages of its write-ahead log.

    Raises ``ValueError`` if a page is in neither of them, or the log is invalid.
    """
    if len(log) < _HEADER_BYTES + _FRAME_HEADER_BYTES:
        return base
    size = _page_size(log)
    pages = {place: base[place * size :][:size] for place in range(len(base) // size)}
    count = len(pages)
    for start in _frame_starts(log):
        number, after = struct.unpack(">II", log[start : start + 8])
        if _is_old(log, start):
            break
        pages[number - 1] = log[start + _FRAME_HEADER_BYTES :][:size]
        count = after or count
    if missing := [place for place in range(count) if place not in pages]:
        raise ValueError(f"page {missing[0] + 1} of its database is missing")
    content = bytearray(b"".join(pages[place] for place in range(count)))
    content[28:32] = struct.pack(">I", count)
    return bytes(content)


def has_old_frames(log: bytes) -> bool:
    """Return whether a log still contains pages from before SQLite restarted it."""
    if len(log) < _HEADER_BYTES + _FRAME_HEADER_BYTES:
        return False
    return any(_is_old(log, start) for start in _frame_starts(log))


def _page_size(log: bytes) -> int:
    size: int = struct.unpack(">I", log[8:12])[0]
    if size < _MIN_PAGE_BYTES:
        raise ValueError(f"its pages have {size} bytes, less than {_MIN_PAGE_BYTES}")
    return size


def _frame_starts(log: bytes) -> range:
    size = _page_size(log)
    step = size + _FRAME_HEADER_BYTES
    return range(_HEADER_BYTES, len(log) - step + 1, step)


def _is_old(log: bytes, start: int) -> bool:
    # SQLite changes the salt in the header of the log each time it restarts the log.
    return log[start + 8 : start + 16] != log[16:24]
