"""Cells of tables that hold anybody's text: in CSV, which is written here alone, and in Markdown.

What a spreadsheet would run as a formula is text in CSV: a cell that begins with ``=``, ``+``,
``-``, ``@``, a tab or a line break, also behind spaces or quotes, gets an apostrophe in front
(OWASP, "CSV Injection"); a negative number stays a number. ``plain`` takes the apostrophe off.
"""

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMULA = re.compile(r"[\s'\"\ufeff]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet would run; the last four are the signs at full width."""
NEGATIVE = re.compile(r"-(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
SPLITS = re.compile(r"[;\t\r\n]")
"""What another program may take for the end of a cell; Python leaves ``\\r`` without quotes."""


def harmless(cell: str) -> str:
    """Give a cell that no spreadsheet runs."""
    return f"'{cell}" if _is_formula(cell) else cell


def plain(cell: str) -> str:
    """Give what ``harmless`` was given."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def lines(rows: Iterable[Sequence[object]]) -> str:
    """Write rows, each with the end of its line; ``None`` is an empty cell."""
    written = io.StringIO(newline="")
    simple = csv.writer(written, lineterminator="\n")
    quoting = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in rows:
        cells = [harmless(cell) if isinstance(cell, str) else cell for cell in row]
        (quoting if any(map(_is_split, cells)) else simple).writerow(cells)
    return written.getvalue()


def text(table: "pd.DataFrame", *, float_format: str | None = None) -> str:
    """Write a table with its header and without its index."""
    import pandas as pd

    safe = table.rename(columns=lambda name: harmless(str(name)))
    for place, column in enumerate(table.columns):
        if not pd.api.types.is_numeric_dtype(table[column]):
            cells = [harmless(cell) if isinstance(cell, str) else cell for cell in table[column]]
            safe.isetitem(place, pd.Series(cells, index=table.index, dtype=object))
    words = [*safe.columns, *(cell for _, cells in safe.items() for cell in cells)]
    quoting = csv.QUOTE_NONNUMERIC if any(map(_is_split, words)) else csv.QUOTE_MINIMAL
    written = safe.to_csv(
        index=False, lineterminator="\n", float_format=float_format, quoting=quoting
    )
    return str(written)


def read_back(table: "pd.DataFrame") -> "pd.DataFrame":
    """Give a table of text as it was before it was written."""
    named = table.rename(columns=plain)
    return named.map(lambda cell: plain(cell) if isinstance(cell, str) else cell)


def cell(value: object) -> str:
    """Write a value for Markdown, so that it neither ends a cell nor is markup."""
    text = html.escape(" ".join(str(value).split()), quote=False).replace("`", "&#96;")
    return re.sub(r"[\\|]|(?<=])(?=\()", r"\\\g<0>", text)


def _is_formula(cell: str) -> bool:
    return bool(FORMULA.match(cell)) and not NEGATIVE.fullmatch(cell)


def _is_split(cell: object) -> bool:
    return isinstance(cell, str) and bool(SPLITS.search(cell))
