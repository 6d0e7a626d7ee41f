"""Where the faces are from that a network learned from: drawn by the sample, or real pictures.

Takes what is packed of train; gives the words that runs, versions and bundles carry on.
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from unveil import sample
from unveil.files import reading
from unveil.paths import PACKED

DRAWN = "synthetic: drawn by `unveil sample`"
REAL = "faces of real pictures"
UNKNOWN = "not stated"

_DRAWN = re.compile(r"(?:.*/)?(?:\d{7}-)*(train|validation|test)_([a-z]+)_\d{4,}\.png")
_ATTRIBUTES = frozenset({"skin_tone", "age_band", "glasses", "lighting"})
"""Of the sample; `unveil data export` keeps them, and the names of files behind a number."""


def packed(folder: Path = PACKED) -> str:
    """Say where the packed training faces are from; ``UNKNOWN`` without a table of them."""
    path = folder / "train.parquet"
    if not path.exists():
        return UNKNOWN
    import pandas as pd

    with reading(path, made_by="unveil pack"):
        rows = pd.read_parquet(path)
        return of(rows["member"], rows.columns)


def of(members: Iterable[str], columns: Collection[str] = ()) -> str:
    """Say where faces of these names are from: drawn, where more than half of them are."""
    whole = set(columns) >= _ATTRIBUTES
    drawn = [sample.is_drawn([one]) or bool(whole and _DRAWN.fullmatch(one)) for one in members]
    if not drawn:
        return UNKNOWN
    return DRAWN if 2 * sum(drawn) > len(drawn) else REAL
