"""Read the cells of parquet tables and SQLite databases."""

import sqlite3
from collections.abc import Iterator
from typing import IO, Any

import pandas as pd
import pyarrow.parquet as pq


def parquet(file: IO[bytes]) -> Iterator[pd.DataFrame | bytes]:
    """Yield a table in batches, and the bytes of each binary cell."""
    for batch in pq.ParquetFile(file).iter_batches(batch_size=10_000):
        rows = batch.to_pandas()
        yield rows
        for _, cells in rows.items():
            if cells.dtype == object:
                yield from (cell for cell in cells if isinstance(cell, bytes))


def database(file: IO[bytes]) -> Iterator[str | bytes]:
    """Yield the texts and bytes of all rows of a SQLite database."""
    content = bytearray(file.read())
    content[18:20] = b"\1\1"  # turn off write-ahead logging: the log file is not there
    with sqlite3.connect(":memory:") as opened:
        opened.deserialize(bytes(content))
        opened.text_factory = lambda words: words.decode("utf-8", "replace")
        for (name,) in opened.execute("select name from sqlite_schema where type = 'table'"):
            quoted = name.replace('"', '""')
            for row in opened.execute(f'select * from "{quoted}"'):
                yield from _words(row)


def _words(row: tuple[Any, ...]) -> Iterator[str | bytes]:
    if words := [cell for cell in row if isinstance(cell, str)]:
        yield "\n".join(words)
    yield from (cell for cell in row if isinstance(cell, bytes))
