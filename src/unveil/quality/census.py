"""manifest -> the tables that rules about data look at.

Each table has ``member``, the name of what a row is about. A number that too few faces speak for
is absent, which a rule of Great Expectations passes over and the verdict counts as insufficient.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common.errors import unknown
from unveil.common.statistics import Counts, Strength, counted, cramers_v, deciles, divergence
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import COLUMNS, QUALITIES
from unveil.rules.settings import Setting

NEEDED = ("member", "split", "label", "sha256", "width", "height", "fault", "quarantine")
"""What every row of a manifest has; a face in use has a brightness too."""


def census(faces: pd.DataFrame, params: Params) -> dict[str, pd.DataFrame]:
    """Give the tables by name; of a large archive all but the first two stay small.

    ``archive`` has all rows, ``faces`` those in use; ``cells`` are splits x classes, ``splits`` the
    labels of each, ``attributes`` the columns a user added, ``groups`` their values in each split,
    ``group_cells`` those by class; the other two say how much labels depend on groups or quality.
    """
    used = faces[faces["quarantine"] == ""]
    known = used[used["split"].isin(SPLITS) & used["label"].isin(params.classes)]
    rules, columns = params.rules, attributes(faces, params.rules["attributes_are_groups"])
    few = columns["groups"] <= rules["attributes_are_groups"]["max_groups"]
    groups = {name: by_group(known, name, params) for name in columns.loc[few, "member"]}
    return {
        "archive": faces.assign(absent=absent(faces)),
        "faces": used,
        "cells": cells(known, params),
        "splits": splits(known, params),
        "attributes": columns,
        "groups": _table(_groups(groups, rules["group_share"]), share=float),
        "group_cells": _table(_group_cells(groups), images=int),
        "group_dependence": _strengths(
            _by_groups(groups, rules["label_independent_of_group"]["min_images"])
        ),
        "quality_dependence": _strengths(_by_quality(known, params)),
    }


def absent(faces: pd.DataFrame) -> pd.Series:
    """Name the values each row lacks; a rule of Great Expectations passes over what is null."""
    nulls = faces[[*NEEDED, "brightness"]].isna()
    nulls["brightness"] &= faces["quarantine"].isna() | (faces["quarantine"] == "")
    result = pd.Series("", index=faces.index, dtype=object)
    lacking = nulls[nulls.any(axis=1)]
    result[lacking.index] = [" ".join(nulls.columns[row]) for row in lacking.to_numpy()]
    return result


def cells(faces: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Give one row for each split and class: images, share, and how far from the bounds.

    ``times_smaller`` is the split's largest class over this one, ``spare_images`` the images above
    the minimum.
    """
    every = pd.MultiIndex.from_product([SPLITS, params.classes], names=["split", "label"])
    table = faces.groupby(["split", "label"], observed=True).size().reindex(every, fill_value=0)
    rows = table.rename("images").reset_index()
    by_split = rows.groupby("split")["images"]
    rows["share"] = (rows["images"] / by_split.transform("sum").clip(lower=1)).astype(float)
    rows["times_smaller"] = by_split.transform("max") / rows["images"].clip(lower=0.5)
    minimum = params.rules["every_class_in_every_split"].values
    rows["spare_images"] = rows["images"] - rows["split"].map(minimum)
    rows.insert(0, "member", rows["split"] + "/" + rows["label"])
    return rows


def splits(faces: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Say of each split how far its labels are from train's, and from a reference's, 0 to 1."""
    counts = cells(faces, params).groupby("split")["images"].agg(np.array)
    train, reference = (params.rules[f"same_labels_as_{name}"] for name in ("train", "reference"))
    stored = _reference(params)
    rows = [
        {
            "member": name,
            "from_train": _apart(counts[name], counts["train"], train),
            "from_reference": _apart(counts[name], stored, reference),
        }
        for name in SPLITS
    ]
    return _table(rows, from_train=float, from_reference=float)


def _apart(counts: Counts, other: NDArray[Any], setting: Setting) -> float | None:
    return divergence(counts, other) if counts.sum() >= setting["min_images"] else None


def _reference(params: Params) -> NDArray[np.float64]:
    stored = params.rules["same_labels_as_reference"]["reference"]
    if other := set(stored) - set(params.classes):
        raise unknown("class in same_labels_as_reference", min(other), params.classes)
    return np.array([stored.get(name, 0.0) for name in params.classes])


def attributes(faces: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Give the columns a user added, and how many groups each has; some are named as none."""
    own = {*COLUMNS, "quarantine", *setting["leave_out"]}
    names = sorted(name for name in faces.columns if name not in own)
    rows = [{"member": name, "groups": faces[name].nunique()} for name in names]
    return _table(rows, groups=int)


def by_group(faces: pd.DataFrame, column: str, params: Params) -> pd.DataFrame:
    """Count the images of each split and group ``(rows)`` in each class ``(columns)``."""
    groups = sorted(faces[column].dropna().unique(), key=str)
    every = pd.MultiIndex.from_product([SPLITS, groups])
    sizes = faces.groupby(["split", column, "label"], observed=True).size()
    table = sizes.unstack("label", fill_value=0) if len(sizes) else pd.DataFrame(index=every)
    return table.reindex(index=every, columns=list(params.classes), fill_value=0)


def _groups(groups: dict[str, pd.DataFrame], setting: Setting) -> Iterator[dict[str, Any]]:
    for column, table in groups.items():
        images = table.sum(axis=1)
        for (split, group), count in images.items():
            total = images[split].sum()
            share = count / total if total >= setting["min_images"] else None
            yield {"member": f"{split}/{column}={group}", "images": count, "share": share}


def _group_cells(groups: dict[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    for column, table in groups.items():
        for (split, group), row in table.iterrows():
            for label, count in row.items():
                yield {"member": f"{split}/{label}/{column}={group}", "images": count}


def _by_groups(
    groups: dict[str, pd.DataFrame], min_images: int
) -> Iterator[tuple[str, Strength | None]]:
    for column, table in groups.items():
        few = table.sum(axis=1) < min_images
        for split in SPLITS:
            large = table[~few].reindex([split], level=0).to_numpy()
            yield f"{split}/{column}", cramers_v(large)
        for split, group in table.index[few]:
            yield f"{split}/{column}={group}", None


def _by_quality(faces: pd.DataFrame, params: Params) -> Iterator[tuple[str, Strength | None]]:
    minimum = params.rules["label_independent_of_quality"]["min_images"]
    for split in SPLITS:
        rows = faces[faces["split"] == split]
        labels = pd.Categorical(rows["label"], categories=params.classes).codes
        for quality in QUALITIES:
            values = rows[quality].to_numpy(np.float64)
            there = ~np.isnan(values)
            strength = None
            if there.sum() >= minimum:
                tenths = deciles(values[there])
                shape = (int(tenths.max()) + 1, len(params.classes))
                strength = cramers_v(counted(tenths, labels[there].astype(np.int64), shape))
            yield f"{split}/{quality}", strength


def _strengths(named: Iterator[tuple[str, Strength | None]]) -> pd.DataFrame:
    unknown = dict.fromkeys(Strength._fields)
    rows = [{"member": name, **(one._asdict() if one else unknown)} for name, one in named]
    return _table(rows, **dict.fromkeys(Strength._fields, float))


def _table(rows: Iterable[dict[str, Any]], **kinds: type) -> pd.DataFrame:
    # Of no rows, a table would have no columns, and a rule nothing to look at.
    listed = list(rows)
    table = pd.DataFrame(listed, columns=None if listed else ["member", *kinds])
    return table.astype(kinds)
