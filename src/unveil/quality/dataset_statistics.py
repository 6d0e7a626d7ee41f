"""Compute the tables that the data rules check, from the manifest.

Each table has ``member``, the name of what a row is about. A value based on too few faces is
missing; Great Expectations skips it, and the result counts it as insufficient.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.common.errors import unknown_choice
from unveil.common.statistics import (
    Association,
    Counts,
    contingency_table,
    cramers_v,
    deciles,
    jensen_shannon,
)
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import QUALITIES
from unveil.dataset.attribute_columns import count_groups
from unveil.rules.settings import Setting

REQUIRED_COLUMNS = ("member", "split", "label", "sha256", "width", "height", "fault", "quarantine")
"""Columns that must have a value in every row; faces in use also need a brightness."""


def rule_tables(faces: pd.DataFrame, params: Params) -> dict[str, pd.DataFrame]:
    """Return the tables by name; all but the first two are small, even for a large archive.

    ``archive`` has all rows, ``faces`` those in use. ``cells`` are splits x classes, ``splits`` the
    label distributions, ``attributes`` the user's columns, ``groups`` their values in each split,
    ``group_cells`` those by class. ``group_dependence`` and ``quality_dependence`` are the
    associations of labels with groups and with image quality.
    """
    used = faces[faces["quarantine"] == ""]
    known = used[used["split"].isin(SPLITS) & used["label"].isin(params.classes)]
    rules, columns = params.rules, attribute_columns(faces, params.rules["attributes_are_groups"])
    few = columns["groups"] <= rules["attributes_are_groups"]["max_groups"]
    groups = {name: group_counts(known, name, params) for name in columns.loc[few, "member"]}
    return {
        "archive": faces.assign(absent=missing_values(faces)),
        "faces": used,
        "cells": class_counts(known, params),
        "splits": label_divergence(known, params),
        "attributes": columns,
        "groups": _table(_groups(groups, rules["group_share"]), share=float),
        "group_cells": _table(_group_cells(groups), images=int),
        "group_dependence": _association_table(
            _by_groups(groups, rules["label_independent_of_group"]["min_images"])
        ),
        "quality_dependence": _association_table(_by_quality(known, params)),
    }


def missing_values(faces: pd.DataFrame) -> pd.Series:
    """Return the names of missing values of each row; Great Expectations itself skips nulls."""
    nulls = faces[[*REQUIRED_COLUMNS, "brightness"]].isna()
    nulls["brightness"] &= faces["quarantine"].isna() | (faces["quarantine"] == "")
    result = pd.Series("", index=faces.index, dtype=object)
    lacking = nulls[nulls.any(axis=1)]
    result[lacking.index] = [" ".join(nulls.columns[row]) for row in lacking.to_numpy()]
    return result


def class_counts(faces: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return a row for each split and class: ``images``, ``share`` and distances to the bounds.

    ``times_smaller`` is the ratio of the split's largest class to this one, ``spare_images`` the
    number of images above the minimum.
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


def label_divergence(faces: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Return the divergence of each split's labels from train and from the reference, 0 to 1."""
    counts = class_counts(faces, params).groupby("split")["images"].agg(np.array)
    train, reference = (params.rules[f"same_labels_as_{name}"] for name in ("train", "reference"))
    stored = _reference(params)
    rows = [
        {
            "member": name,
            "from_train": _divergence(counts[name], counts["train"], train),
            "from_reference": _divergence(counts[name], stored, reference),
        }
        for name in SPLITS
    ]
    return _table(rows, from_train=float, from_reference=float)


def _divergence(counts: Counts, other: NDArray[Any], setting: Setting) -> float | None:
    return jensen_shannon(counts, other) if counts.sum() >= setting["min_images"] else None


def _reference(params: Params) -> NDArray[np.float64]:
    stored = params.rules["same_labels_as_reference"]["reference"]
    if other := set(stored) - set(params.classes):
        raise unknown_choice("class in same_labels_as_reference", min(other), params.classes)
    return np.array([stored.get(name, 0.0) for name in params.classes])


def attribute_columns(faces: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return the user's columns with their number of groups, without those in ``leave_out``."""
    counts = count_groups(faces, leave_out=setting["leave_out"])
    return _table([{"member": name, "groups": n} for name, n in counts.items()], groups=int)


def group_counts(faces: pd.DataFrame, column: str, params: Params) -> pd.DataFrame:
    """Count the images of each split and group (rows) in each class (columns)."""
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
) -> Iterator[tuple[str, Association | None]]:
    for column, table in groups.items():
        few = table.sum(axis=1) < min_images
        for split in SPLITS:
            large = table[~few].reindex([split], level=0).to_numpy()
            yield f"{split}/{column}", cramers_v(large)
        for split, group in table.index[few]:
            yield f"{split}/{column}={group}", None


def _by_quality(faces: pd.DataFrame, params: Params) -> Iterator[tuple[str, Association | None]]:
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
                strength = cramers_v(
                    contingency_table(tenths, labels[there].astype(np.int64), shape)
                )
            yield f"{split}/{quality}", strength


def _association_table(named: Iterator[tuple[str, Association | None]]) -> pd.DataFrame:
    unknown = dict.fromkeys(Association._fields)
    rows = [{"member": name, **(one._asdict() if one else unknown)} for name, one in named]
    return _table(rows, **dict.fromkeys(Association._fields, float))


def _table(rows: Iterable[dict[str, Any]], **kinds: type) -> pd.DataFrame:
    # Without rows, a table would have no columns for the rules to check.
    listed = list(rows)
    table = pd.DataFrame(listed, columns=None if listed else ["member", *kinds])
    return table.astype(kinds)
