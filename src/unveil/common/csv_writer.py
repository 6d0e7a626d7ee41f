"""Write CSV and Markdown tables with untrusted text in their cells.

Against formula injection (OWASP, "CSV Injection") a cell that begins with ``=``, ``+``, ``-``,
``@``, a tab or a line break, also after spaces or quotes, is prefixed with an apostrophe. Negative
numbers are left as they are. ``unescape_formula`` removes the apostrophe. All CSV files of the
project are written by this module.
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
"""Start of a cell that a spreadsheet runs as a formula; the last four are full-width signs."""
NEGATIVE = re.compile(r"-(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
SEPARATORS = re.compile(r"[;\t\r\n]")
"""Characters that other programs may read as a cell separator; Python does not quote ``\\r``."""


def escape_formula(cell: str) -> str:
    """Prefix a cell with an apostrophe if a spreadsheet would run it as a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def unescape_formula(cell: str) -> str:
    """Undo ``escape_formula``."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def to_lines(rows: Iterable[Sequence[object]]) -> str:
    """Format rows as CSV lines; ``None`` is an empty cell."""
    written = io.StringIO(newline="")
    simple = csv.writer(written, lineterminator="\n")
    quoting = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for row in rows:
        cells = [escape_formula(cell) if isinstance(cell, str) else cell for cell in row]
        (quoting if any(map(_is_split, cells)) else simple).writerow(cells)
    return written.getvalue()


def to_csv(table: "pd.DataFrame", *, float_format: str | None = None) -> str:
    """Format a table as CSV, with header and without index."""
    import pandas as pd

    safe = table.rename(columns=lambda name: escape_formula(str(name)))
    for place, column in enumerate(table.columns):
        if not pd.api.types.is_numeric_dtype(table[column]):
            cells = [
                escape_formula(cell) if isinstance(cell, str) else cell for cell in table[column]
            ]
            safe.isetitem(place, pd.Series(cells, index=table.index, dtype=object))
    words = [*safe.columns, *(cell for _, cells in safe.items() for cell in cells)]
    quoting = csv.QUOTE_NONNUMERIC if any(map(_is_split, words)) else csv.QUOTE_MINIMAL
    written = safe.to_csv(
        index=False, lineterminator="\n", float_format=float_format, quoting=quoting
    )
    return str(written)


def unescape_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """Undo ``escape_formula`` in the header and all cells of a table."""
    named = table.rename(columns=unescape_formula)
    return named.map(lambda cell: unescape_formula(cell) if isinstance(cell, str) else cell)


def markdown_cell(value: object) -> str:
    """Escape a value for a cell of a Markdown table."""
    text = html.escape(" ".join(str(value).split()), quote=False).replace("`", "&#96;")
    return re.sub(r"[\\|]|(?<=])(?=\()", r"\\\g<0>", text)


def _is_formula(cell: str) -> bool:
    return bool(FORMULA.match(cell)) and not NEGATIVE.fullmatch(cell)


def _is_split(cell: object) -> bool:
    return isinstance(cell, str) and bool(SEPARATORS.search(cell))
