"""Create the manifest: one row for each face, with its measurements, split, label and defects.

Reads ``data/01_raw/faces.zip`` in place and writes ``data/02_manifest/manifest.parquet`` and
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

from unveil.common.files import atomic_write, write_json
from unveil.common.paths import MANIFEST, SUMMARY
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import COLUMNS, QUALITIES, TWIN, Data
from unveil.data import archive as archives
from unveil.data import attributes, corrections, fingerprints, near_duplicates
from unveil.data.archive import LabelledImage, Layout, Listing
from unveil.data.decoding import Limits, UnreadableImage, decode
from unveil.data.defects import mark_defects
from unveil.data.splits import assign_splits
from unveil.data.synthetic import is_synthetic


def archive_layout(params: Params) -> Layout:
    """Return the archive layout of the parameters: classes, aliases and dropped folders."""
    data = params.data
    return Layout(
        classes=params.classes,
        aliases=data.aliases,
        drop=data.drop,
        max_members=data.max_members,
        split_folders=data.split_folders,
    )


def decoding_limits(data: Data) -> Limits:
    """Return the decoding limits of the parameters."""
    return Limits(max_bytes=data.max_bytes, max_pixels=data.max_pixels, min_side=data.min_side)


def make(source: Path, params: Params) -> pd.DataFrame:
    """Read every face of the archive once; write and return the manifest, and write its summary."""
    with archives.open_archive(source) as archive:
        listing = archives.read_listing(archive, archive_layout(params))
        faces = pd.DataFrame(
            list(_rows(archive, listing, decoding_limits(params.data))), columns=list(COLUMNS)
        )
        groups = attributes.read_table(archive, listing, taken=(*COLUMNS, "quarantine", TWIN))
        faces = attributes.join(faces, groups)
    faces["twins"] = near_duplicates.groups(faces, distance=params.near_twins)
    together = params.rules["one_split_per_subject"]["columns"]
    kin = near_duplicates.linked_groups(
        faces, ["twins", *(name for name in together if name in faces)]
    )
    faces["split"] = assign_splits(
        faces.assign(kin=kin, usable=_usable(faces, params)),
        shares=params.data.splits,
        seed=params.data.seed,
        minima=params.rules["every_class_in_every_split"].values,
    )
    # After the split, so that a decision about one face changes the split of no other.
    faces = corrections.apply(faces, params.classes, mark=partial(mark_defects, rules=params.rules))
    with atomic_write(MANIFEST) as path:
        faces.to_parquet(path, index=False)
    write_json(SUMMARY, summary(faces, listing))
    return faces


def _usable(faces: pd.DataFrame, params: Params) -> pd.Series:
    """Return which faces would not be quarantined, with faces without a split counted as train."""
    return (
        mark_defects(faces.assign(split=faces["split"].fillna("train")), params.rules)["quarantine"]
        == ""
    )


def summary(faces: pd.DataFrame, listing: Listing) -> dict[str, Any]:
    """Return the counts of faces, of those left out by reason, and of duplicates."""
    used = faces[faces["quarantine"] == ""]
    counts = used.groupby(["split", "label"]).size()
    return {
        "images": len(faces),
        "used": {
            name: {label: int(n) for label, n in counts[name].items()}
            for name in SPLITS
            if name in counts.index
        },
        "synthetic": is_synthetic(faces["member"]),
        "dropped_classes": dict(listing.dropped),
        "ignored_files": listing.ignored,
        "quarantined": faces["quarantine"]
        .str.split(":")
        .str[0]
        .replace("", np.nan)
        .value_counts()
        .to_dict(),
        "exact_twins": _duplicates(faces, "sha256", of="member"),
        "near_twins": _duplicates(faces, "twins", of="sha256"),
    }


def _duplicates(faces: pd.DataFrame, column: str, *, of: str) -> dict[str, int]:
    """Count the groups with equal values in ``column`` and several values in ``of``."""
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


def used_faces(faces: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of a split that are not in quarantine, in the order of the packed arrays."""
    return faces[(faces["split"] == name) & (faces["quarantine"] == "")].sort_values("member")


def _rows(archive: zipfile.ZipFile, listing: Listing, limits: Limits) -> Iterator[dict[str, Any]]:
    for member in tqdm(listing.members, desc="manifest", unit=" faces", mininterval=1):
        yield {
            "member": member.name,
            "split": member.split,
            "label": member.label,
            **_measurements(archive, member, limits),
        }


def _measurements(
    archive: zipfile.ZipFile, member: LabelledImage, limits: Limits
) -> dict[str, Any]:
    try:
        content = archives.read_member(archive, member.name, max_bytes=limits.max_bytes)
        return {**fingerprints.measure(content, decode(content, limits)), "fault": ""}
    except UnreadableImage as error:
        unknown = dict.fromkeys(QUALITIES, np.nan)
        empty = {"sha256": "", "dhash": "", "phash": "", "width": 0, "height": 0, "mode": ""}
        return {**unknown, **empty, "fault": str(error)}
