"""manifest -> the splits an archive does not bring.

Takes the rows of the manifest and the shares of the splits, makes its column ``split``.
"""

import hashlib
from typing import Any

import pandas as pd

from unveil.errors import UserError


def split(faces: pd.DataFrame, *, shares: dict[Any, float], seed: int) -> pd.Series:
    """Fill in the splits an archive does not bring: stratified by label, kin kept together.

    Faces with the same ``kin`` share a lot, drawn from ``(seed, kin)``: neither the order of the
    rows nor another image changes where a face goes.
    """
    result = faces["split"].copy()
    present = set(result.dropna())
    if present and "train" not in present:
        raise UserError(f"the archive has {', '.join(sorted(present))} but no train folder")
    pool = result.isna() | (result == "train")
    result[pool] = "train"
    missing = [name for name in shares if name not in present]
    labels = faces.loc[pool].sort_values(["kin", "label"]).groupby("kin")["label"].first()
    for _, group in labels.groupby(labels):
        lots = sorted(group.index, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
        start = 0
        for name in missing:
            stop = start + round(shares[name] * len(lots))
            result[pool & faces["kin"].isin(lots[start:stop])] = name
            start = stop
    return result
