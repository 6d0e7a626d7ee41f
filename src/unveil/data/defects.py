"""manifest -> the faults of each face: what is wrong with it, alone or beside others.

Takes the rows of the manifest, makes its columns ``fault`` and ``quarantine``.
"""

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

from unveil.rules.expectations import RULES
from unveil.rules.settings import Find, Setting

FindEqual = Callable[..., pd.Series]
KEPT_FIRST = ("test", "validation", "train")
"""Of twins across splits the copy in the first of these stays: the test set is left as it was."""


def marked(faces: pd.DataFrame, rules: Mapping[str, Setting]) -> pd.DataFrame:
    """Mark the faces that break a rule: ``fault`` says how, ``quarantine`` why one is left out.

    Rules are asked in their order, and none looks at a face that one before it left out. A fault is
    ``word: detail``; a face in use may have several, with ``; `` between them.
    """
    result = faces.assign(fault="", quarantine="")
    for rule in RULES:
        if not rule.fault:
            continue
        rows = faces[result["quarantine"] == ""]
        find = rule.find or FOUND_HERE[rule.name]
        found = f"{rule.fault}: " + find(rows, rules[rule.name]).astype(str)
        before = result.loc[found.index, "fault"]
        result.loc[found.index, "fault"] = before.where(before == "", before + "; ") + found
        if rules[rule.name].policy == "quarantine":
            result.loc[found.index, "quarantine"] = found
    return result


def across_splits(faces: pd.DataFrame, setting: Setting, *, column: str) -> pd.Series:
    """Find the copies that leave: of equal values those in the first of ``KEPT_FIRST`` stay."""
    rank = faces["split"].map({name: place for place, name in enumerate(KEPT_FIRST)})
    groups = faces[column].mask(faces[column] == "")
    best = rank.groupby(groups).transform("min")
    first = faces[rank == best].sort_values("member").groupby(groups).first()
    return groups[rank > best].map(first["split"] + " has " + first["member"])


def with_two_labels(faces: pd.DataFrame, setting: Setting, *, column: str) -> pd.Series:
    """Find equal values with different labels, all of them."""
    groups = faces[column].mask(faces[column] == "")
    labels = faces.sort_values("label").groupby(groups)["label"].unique()
    return groups.map(labels[labels.str.len() > 1].str.join(" and ")).dropna()


def near(faces: pd.DataFrame, setting: Setting, *, find: FindEqual) -> pd.Series:
    """Find what a group of near twins has, without what exact twins in use have already."""
    found = find(faces, setting, column="twins")
    return found.drop(find(faces, setting, column="sha256").index, errors="ignore")


def subject_across_splits(faces: pd.DataFrame, setting: Setting) -> pd.Series:
    """Find the faces of a subject, or a source, that another split keeps, by the first column."""
    found = [
        across_splits(faces, setting, column=column).astype(str) + f", by {column}"
        for column in setting["columns"]
        if column in faces
    ]
    every = pd.concat([pd.Series(dtype=str), *found])
    return every[~every.index.duplicated()]


FOUND_HERE: Mapping[str, Find] = {
    "no_twin_across_splits": partial(across_splits, column="sha256"),
    "no_twin_with_two_labels": partial(with_two_labels, column="sha256"),
    "no_near_twin_across_splits": partial(near, find=across_splits),
    "no_near_twin_with_two_labels": partial(near, find=with_two_labels),
    "one_split_per_subject": subject_across_splits,
}
"""Of the rules whose faulty faces only a look at all faces finds: what finds them."""
