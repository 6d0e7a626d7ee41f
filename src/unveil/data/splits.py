"""Assign faces to the splits that an archive does not define: stratified and grouped."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common.errors import UserError


def assign_splits(
    faces: pd.DataFrame,
    *,
    shares: dict[Any, float],
    seed: int,
    minima: Mapping[str, int] = MappingProxyType({}),
) -> pd.Series:
    """Return the split of each face; missing splits are taken from train, stratified by label.

    Faces with the same ``kin`` stay together. The order is a hash of ``(seed, kin)``: neither the
    order of the rows nor another image changes the split of a face. Where a fraction of ``shares``
    gives a split fewer ``usable`` faces of a class than its minimum, the split gets the minimum if
    enough are left for all others.

    Raises:
        UserError: the archive has splits but no train folder.
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
        order = sorted(
            group.index, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest()
        )
        images = sizes[order].to_numpy()
        rest = minima.get("train", 0) + sum(needed.values())
        enough, start = images.sum() >= rest, 0
        for name in missing:
            count = round(shares[name] * len(order))
            if enough and name in needed:
                rest -= needed[name]
                count = _closest_count(images[start:], count, needed=needed[name], rest=rest)
            result[pool & faces["kin"].isin(order[start : start + count])] = name
            start += count
    return result


def _closest_count(images: NDArray[Any], count: int, *, needed: int, rest: int) -> int:
    """Return the count closest to ``count`` that takes ``needed`` images and leaves ``rest``."""
    taken = np.r_[0, np.cumsum(images)]
    least = int(np.searchsorted(taken, needed))
    most = int(np.searchsorted(taken, taken[-1] - rest, side="right")) - 1
    return max(least, min(count, most))
