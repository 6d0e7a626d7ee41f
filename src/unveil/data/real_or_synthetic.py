"""Origin of the training data, synthetic or real pictures, as recorded in runs and bundles."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from unveil.common.files import reading_artifact
from unveil.common.paths import PACKED
from unveil.data import synthetic

DRAWN = "synthetic: drawn by `unveil sample`"
REAL = "faces of real pictures"
UNKNOWN = "not stated"

_DRAWN = re.compile(r"(?:.*/)?(?:\d{7}-)*(train|validation|test)_([a-z]+)_\d{4,}\.png")
_ATTRIBUTES = frozenset({"skin_tone", "age_band", "glasses", "lighting"})
"""Columns of the sample; `unveil data export` keeps them, and file names after a number."""


def origin_of_packed(folder: Path = PACKED) -> str:
    """Return the origin of the packed training faces; ``UNKNOWN`` if nothing is packed."""
    path = folder / "train.parquet"
    if not path.exists():
        return UNKNOWN
    import pandas as pd

    with reading_artifact(path, made_by="unveil pack"):
        rows = pd.read_parquet(path)
        return origin_of(rows["member"], rows.columns)


def origin_of(members: Iterable[str], columns: Collection[str] = ()) -> str:
    """Return the origin of faces by their names: synthetic if more than half of them are."""
    whole = set(columns) >= _ATTRIBUTES
    drawn = [
        synthetic.is_synthetic([one]) or bool(whole and _DRAWN.fullmatch(one)) for one in members
    ]
    if not drawn:
        return UNKNOWN
    return DRAWN if 2 * sum(drawn) > len(drawn) else REAL
