"""manifest -> the splits an archive does not bring.

Takes the rows of the manifest and the shares of the splits, makes its column ``split``.
"""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common.errors import UserError


def split(
    faces: pd.DataFrame,
    *,
    shares: dict[Any, float],
    seed: int,
    minima: Mapping[str, int] = MappingProxyType({}),
) -> pd.Series:
    """Fill in the splits an archive does not bring: stratified by label, kin kept together.

    Faces with the same ``kin`` share a lot, drawn from ``(seed, kin)``: neither the order of the
    rows nor another image changes where a face goes. Where a share gives a split fewer ``usable``
    faces of a class than its minimum, it gets that many if enough are left for all others.
    """
    result = faces["split"].copy()
    present = set(result.dropna())
    if present and "train" not in present:
        raise UserError(f"the archive has {', '.join(sorted(present))} but no train folder")
    pool = result.isna() | (result == "train")
    result[pool] = "train"
    missing = [name for name in shares if name not in present]
    needed = {name: minima.get(name, 0) for name in missing if shares[name]}
    usable = faces["usable"] if "usable" in faces else pd.Series(True, index=faces.index)
    sizes = usable[pool].groupby(faces.loc[pool, "kin"]).sum()
    labels = faces.loc[pool].sort_values(["kin", "label"]).groupby("kin")["label"].first()
    for _, group in labels.groupby(labels):
        lots = sorted(group.index, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
        images = sizes[lots].to_numpy()
        rest = minima.get("train", 0) + sum(needed.values())
        enough, start = images.sum() >= rest, 0
        for name in missing:
            count = round(shares[name] * len(lots))
            if enough and name in needed:
                rest -= needed[name]
                count = _within(images[start:], count, needed=needed[name], rest=rest)
            result[pool & faces["kin"].isin(lots[start : start + count])] = name
            start += count
    return result


def _within(images: NDArray[Any], count: int, *, needed: int, rest: int) -> int:
    """Move a count of lots as little as gives them ``needed`` images and leaves ``rest``."""
    taken = np.r_[0, np.cumsum(images)]
    least = int(np.searchsorted(taken, needed))
    most = int(np.searchsorted(taken, taken[-1] - rest, side="right")) - 1
    return max(least, min(count, most))
