"""Read CSV files written by hand or by a spreadsheet, with the line number of each row.

The delimiter is a comma, semicolon or tab, whichever is most frequent in the header. Empty rows
and empty cells beyond the header, which spreadsheets add, are skipped. A row with another number
of cells than the header is refused.
"""

import csv
import io
from collections.abc import Collection, Iterator
from itertools import chain
from typing import TextIO

import pandas as pd

from unveil.common.errors import UserError

DELIMITERS = (",", ";", "\t")
MAX_CELL_LENGTH = 1 << 24
"""In characters: enough for 2,000 x 2,000 pixels; the csv module's default allows 181 x 181."""


class CsvTable:
    """A CSV table read row by row.

    Raises ``ValueError`` or ``csv.Error`` with the reason, without the file name.
    """

    def __init__(self, file: TextIO) -> None:
        """Read the header; names are stripped, and empty names at its end are removed."""
        csv.field_size_limit(MAX_CELL_LENGTH)
        self._above = 0
        first = file.readline()
        while first and not first.strip():
            self._above += 1
            first = file.readline()
        delimiter = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(chain([first] if first else [], file), delimiter=delimiter)
        self.header = [name.strip() for name in _trim(next(self._reader, []), 0)]
        named = [name for name in self.header if name]
        if duplicates := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"duplicate column {duplicates[0]!r}")

    @property
    def line(self) -> int:
        """Return the number of the last line read, counted from 1."""
        return self._above + self._reader.line_num

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each non-empty row, as many as header names."""
        width = len(self.header)
        for cells in self._reader:
            if not any(map(str.strip, cells)):
                continue
            if len(_trim(cells, width)) != width:
                raise ValueError(f"{len(cells)} cells, the header has {width}")
            yield self.line, cells


def read(content: bytes, where: object) -> pd.DataFrame:
    """Read a whole table as text, indexed by line number.

    Columns without a name are left out. Raises ``UserError`` naming ``where`` and the line.
    """
    table = None
    try:
        table = CsvTable(io.StringIO(content.decode("utf-8-sig"), newline=""))
        if not table.header:
            raise ValueError("no columns")
        rows = dict(table)
    except UnicodeDecodeError:
        raise UserError(f"{where} cannot be read as a table: it is not UTF-8 text") from None
    except (csv.Error, ValueError) as error:
        line = f"line {table.line}: " if table and table.line else ""
        raise UserError(f"{where} cannot be read as a table: {line}{error}") from None
    frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=table.header, dtype=str)
    return frame.loc[:, [bool(name) for name in table.header]]


def match_column_case(table: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    """Rename header names that differ from ``columns`` only in case."""
    lower = {name.lower(): name for name in table.columns}
    return table.rename(
        columns={lower[name]: name for name in columns if name not in table and name in lower}
    )


def _trim(cells: list[str], width: int) -> list[str]:
    """Remove empty cells beyond ``width`` from the end."""
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells
