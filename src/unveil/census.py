"""manifest -> the tables that rules about data look at."""

import pandas as pd

from unveil.params import Params
from unveil.schema import SPLITS

NEEDED = ("member", "split", "label", "sha256", "width", "height", "fault", "quarantine")
"""What every row of a manifest has; a face in use has a brightness too."""


def census(faces: pd.DataFrame, params: Params) -> dict[str, pd.DataFrame]:
    """Give ``archive`` (all rows), ``faces`` (rows in use) and ``cells`` (split x class)."""
    return {
        "archive": faces.assign(absent=absent(faces)),
        "faces": faces[faces["quarantine"] == ""],
        "cells": cells(faces, params),
    }


def absent(faces: pd.DataFrame) -> pd.Series:
    """Name the values each row lacks; a rule of Great Expectations passes over what is null."""
    nulls = faces[[*NEEDED, "brightness"]].isna()
    nulls["brightness"] &= faces["quarantine"].isna() | (faces["quarantine"] == "")
    named = [" ".join(nulls.columns[row]) for row in nulls.to_numpy()]
    return pd.Series(named, index=faces.index, dtype=object)


def cells(faces: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Give one row for each split and class: images, share, and how far from the bounds.

    ``times_smaller`` is the split's largest class over this one, ``share_shift`` the difference
    of this class's share to its share of train, ``spare_images`` the images above the minimum.
    """
    used = faces[faces["quarantine"] == ""]
    every = pd.MultiIndex.from_product([SPLITS, params.classes], names=["split", "label"])
    table = used.groupby(["split", "label"]).size().reindex(every, fill_value=0)
    rows = table.rename("images").reset_index()
    by_split = rows.groupby("split")["images"]
    rows["share"] = (rows["images"] / by_split.transform("sum").clip(lower=1)).astype(float)
    rows["times_smaller"] = by_split.transform("max") / rows["images"].clip(lower=0.5)
    in_train = rows[rows["split"] == "train"].set_index("label")["share"]
    rows["share_shift"] = (rows["share"] - rows["label"].map(in_train)).abs()
    minimum = params.rules["every_class_in_every_split"].values
    rows["spare_images"] = rows["images"] - rows["split"].map(minimum)
    rows.insert(0, "member", rows["split"] + "/" + rows["label"])
    return rows
