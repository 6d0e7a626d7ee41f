"""Find the defects of faces, by themselves or compared with others.

Fills the columns ``fault`` and ``quarantine`` of the manifest.
"""

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from unveil.rules.expectations import RULES
from unveil.rules.settings import FaultFinder, Setting

FindEqual = Callable[..., pd.Series]
SPLIT_PRIORITY = ("test", "validation", "train")
"""Of duplicates across splits the copy in the first of these is kept, so test does not change."""


def mark_defects(faces: pd.DataFrame, rules: Mapping[str, Setting]) -> pd.DataFrame:
    """Mark the faces that violate a rule in the columns ``fault`` and ``quarantine``.

    ``quarantine`` is the fault for which a face is left out, else empty. Rules are applied in their
    order and skip faces that an earlier rule left out. A fault is ``code: detail``; several faults
    of a face in use are joined by ``; ``.
    """
    result = faces.assign(fault="", quarantine="")
    for rule in RULES:
        if not rule.fault:
            continue
        rows = faces[result["quarantine"] == ""]
        find = rule.find or FINDERS[rule.name]
        faults = f"{rule.fault}: " + find(rows, rules[rule.name]).astype(str)
        before = result.loc[faults.index, "fault"]
        result.loc[faults.index, "fault"] = before.where(before == "", before + "; ") + faults
        if rules[rule.name].policy == "quarantine":
            result.loc[faults.index, "quarantine"] = faults
    return result


def across_splits(faces: pd.DataFrame, setting: Setting, *, column: str) -> pd.Series:
    """Find duplicate values across splits, except in the first split of ``SPLIT_PRIORITY``."""
    rank = faces["split"].map({name: index for index, name in enumerate(SPLIT_PRIORITY)})
    groups = faces[column].mask(faces[column] == "")
    best = rank.groupby(groups).transform("min")
    first = faces[rank == best].sort_values("member").groupby(groups).first()
    return groups[rank > best].map(first["split"] + " has " + first["member"])


def with_two_labels(faces: pd.DataFrame, setting: Setting, *, column: str) -> pd.Series:
    """Find all duplicate values with different labels."""
    groups = faces[column].mask(faces[column] == "")
    labels = faces.sort_values("label").groupby(groups)["label"].unique()
    return groups.map(labels[labels.str.len() > 1].str.join(" and ")).dropna()


def near(faces: pd.DataFrame, setting: Setting, *, find: FindEqual) -> pd.Series:
    """Find the defects of near duplicates, without those of exact duplicates."""
    defects = find(faces, setting, column="twins")
    return defects.drop(find(faces, setting, column="sha256").index, errors="ignore")


def subject_across_splits(faces: pd.DataFrame, setting: Setting) -> pd.Series:
    """Find the faces of a subject, or a source, that is kept in another split.

    A face found by several columns is reported for the first.
    """
    defects = [
        across_splits(faces, setting, column=column).astype(str) + f", by {column}"
        for column in setting["columns"]
        if column in faces
    ]
    every = pd.concat([pd.Series(dtype=str), *defects])
    return every[~every.index.duplicated()]


FINDERS: Mapping[str, FaultFinder] = {
    "no_twin_across_splits": partial(across_splits, column="sha256"),
    "no_twin_with_two_labels": partial(with_two_labels, column="sha256"),
    "no_near_twin_across_splits": partial(near, find=across_splits),
    "no_near_twin_with_two_labels": partial(near, find=with_two_labels),
    "one_split_per_subject": subject_across_splits,
}
"""Finders of the rules that compare faces with each other, by name of the rule."""
