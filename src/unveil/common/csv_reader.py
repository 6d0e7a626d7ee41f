"""A CSV file that a person or a spreadsheet saved -> its header and rows, each with its line.

Reads commas, semicolons or tabs, whichever the header has most of. Passes over rows of empty cells
and over empty cells beyond the header, which spreadsheets add. Refuses a row of another length.
"""

import csv
import io
from collections.abc import Collection, Iterator
from itertools import chain
from typing import TextIO

import pandas as pd

from unveil.common.errors import UserError

DELIMITERS = (",", ";", "\t")
LONGEST_CELL = 1 << 24
"""Characters, enough for the pixels of 2,000 x 2,000; the csv module's own limit is 181 x 181."""


class Table:
    """A table that is read row by row; ``line`` is the last one read, counted from 1.

    Raises ``ValueError`` or ``csv.Error`` with the reason, without the name of the file.
    """

    def __init__(self, file: TextIO) -> None:
        """Read the header: names without spaces around them, the last of which is not empty."""
        csv.field_size_limit(LONGEST_CELL)
        self._above = 0
        first = file.readline()
        while first and not first.strip():
            self._above += 1
            first = file.readline()
        delimiter = max(DELIMITERS, key=first.count)
        self._reader = csv.reader(chain([first] if first else [], file), delimiter=delimiter)
        self.header = [name.strip() for name in _cut(next(self._reader, []), 0)]
        named = [name for name in self.header if name]
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"the column {twice[0]!r} stands there twice")

    @property
    def line(self) -> int:
        """Give the number of the last line read, as an editor shows it."""
        return self._above + self._reader.line_num

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Give line and cells of each row that is not empty, as many as the header has."""
        width = len(self.header)
        for cells in self._reader:
            if not any(map(str.strip, cells)):
                continue
            if len(_cut(cells, width)) != width:
                raise ValueError(f"{len(cells)} cells, the header has {width}")
            yield self.line, cells


def read(content: bytes, where: object) -> pd.DataFrame:
    """Read a table whole, as text, each row under the number of its line.

    Columns without a name are left out. ``UserError`` names ``where`` and the line.
    """
    table = None
    try:
        table = Table(io.StringIO(content.decode("utf-8-sig"), newline=""))
        if not table.header:
            raise ValueError("No columns in it")
        rows = dict(table)
    except UnicodeDecodeError:
        raise UserError(f"{where} cannot be read as a table: it is not UTF-8 text") from None
    except (csv.Error, ValueError) as error:
        line = f"line {table.line}: " if table and table.line else ""
        raise UserError(f"{where} cannot be read as a table: {line}{error}") from None
    frame = pd.DataFrame(list(rows.values()), index=list(rows), columns=table.header, dtype=str)
    return frame.loc[:, [bool(name) for name in table.header]]


def renamed(table: pd.DataFrame, columns: Collection[str]) -> pd.DataFrame:
    """Give ``columns`` their names where the header has them in another case."""
    lower = {name.lower(): name for name in table.columns}
    return table.rename(
        columns={lower[name]: name for name in columns if name not in table and name in lower}
    )


def _cut(cells: list[str], width: int) -> list[str]:
    """Take the empty cells beyond ``width`` from the end."""
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    return cells
