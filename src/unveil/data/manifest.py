"""archive -> manifest: one row for each face, with what is measured and what is wrong with it.

Takes ``data/01_raw/faces.zip`` (read in place), makes ``data/02_manifest/manifest.parquet`` and
``summary.json``. Command: ``unveil manifest``.
"""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from unveil.common.files import replacing, write_json
from unveil.common.paths import MANIFEST, SUMMARY
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import COLUMNS, QUALITIES, TWIN, Data
from unveil.data import archive as archives
from unveil.data import attributes, corrections, fingerprints, near_duplicates
from unveil.data.archive import Layout, Listing, Member
from unveil.data.decoding import Limits, UnreadableImage, decode
from unveil.data.defects import marked
from unveil.data.splits import split
from unveil.data.synthetic import is_drawn


def layout(params: Params) -> Layout:
    """Say which folders of an archive are classes, other names of classes, or left out."""
    data = params.data
    return Layout(
        classes=params.classes,
        aliases=data.aliases,
        drop=data.drop,
        max_members=data.max_members,
        split_folders=data.split_folders,
    )


def limits(data: Data) -> Limits:
    """Say which images are accepted."""
    return Limits(max_bytes=data.max_bytes, max_pixels=data.max_pixels, min_side=data.min_side)


def make(source: Path, params: Params) -> pd.DataFrame:
    """Read every face of the archive once and write the manifest and its summary."""
    with archives.opened(source) as archive:
        listing = archives.listing(archive, layout(params))
        faces = pd.DataFrame(
            list(_rows(archive, listing, limits(params.data))), columns=list(COLUMNS)
        )
        groups = attributes.table(archive, listing, taken=(*COLUMNS, "quarantine", TWIN))
        faces = attributes.joined(faces, groups)
    faces["twins"] = near_duplicates.groups(faces, distance=params.near_twins)
    together = params.rules["one_split_per_subject"]["columns"]
    kin = near_duplicates.kin(faces, ["twins", *(name for name in together if name in faces)])
    faces["split"] = split(
        faces.assign(kin=kin, usable=_usable(faces, params)),
        shares=params.data.splits,
        seed=params.data.seed,
        minima=params.rules["every_class_in_every_split"].values,
    )
    # After the split, so that a decision about one face moves no other.
    faces = corrections.apply(faces, params.classes, mark=partial(marked, rules=params.rules))
    with replacing(MANIFEST) as path:
        faces.to_parquet(path, index=False)
    write_json(SUMMARY, summary(faces, listing))
    return faces


def _usable(faces: pd.DataFrame, params: Params) -> pd.Series:
    """Say which faces would stay, before those without a split have one."""
    return (
        marked(faces.assign(split=faces["split"].fillna("train")), params.rules)["quarantine"] == ""
    )


def summary(faces: pd.DataFrame, listing: Listing) -> dict[str, Any]:
    """Count what a person asks first: faces, what was left out and why, and twins."""
    used = faces[faces["quarantine"] == ""]
    counts = used.groupby(["split", "label"]).size()
    return {
        "images": len(faces),
        "used": {
            name: {label: int(n) for label, n in counts[name].items()}
            for name in SPLITS
            if name in counts.index
        },
        "synthetic": is_drawn(faces["member"]),
        "dropped_classes": dict(listing.dropped),
        "ignored_files": listing.ignored,
        "quarantined": faces["quarantine"]
        .str.split(":")
        .str[0]
        .replace("", np.nan)
        .value_counts()
        .to_dict(),
        "exact_twins": _counted(faces, "sha256", of="member"),
        "near_twins": _counted(faces, "twins", of="sha256"),
    }


def _counted(faces: pd.DataFrame, column: str, *, of: str) -> dict[str, int]:
    """Count the groups with the same value in a column and several in another, ``of``."""
    groups = faces[faces[column] != ""].groupby(column)
    groups = groups[["split", "label", of]].nunique()
    several = groups[groups[of] > 1]
    across = int((several["split"] > 1).sum())
    return {
        "groups": len(several),
        "within_a_split": len(several) - across,
        "across_splits": across,
        "with_two_labels": int((several["label"] > 1).sum()),
    }


def used(faces: pd.DataFrame, name: str) -> pd.DataFrame:
    """Select the rows of a split that are not in quarantine, in the order of the packed arrays."""
    return faces[(faces["split"] == name) & (faces["quarantine"] == "")].sort_values("member")


def _rows(archive: zipfile.ZipFile, listing: Listing, limits: Limits) -> Iterator[dict[str, Any]]:
    for member in tqdm(listing.members, desc="manifest", unit=" faces", mininterval=1):
        yield {
            "member": member.name,
            "split": member.split,
            "label": member.label,
            **_facts(archive, member, limits),
        }


def _facts(archive: zipfile.ZipFile, member: Member, limits: Limits) -> dict[str, Any]:
    try:
        content = archives.content(archive, member.name, max_bytes=limits.max_bytes)
        return {**fingerprints.facts(content, decode(content, limits)), "fault": ""}
    except UnreadableImage as error:
        unknown = dict.fromkeys(QUALITIES, np.nan)
        empty = {"sha256": "", "dhash": "", "phash": "", "width": 0, "height": 0, "mode": ""}
        return {**unknown, **empty, "fault": str(error)}
