"""archive -> manifest: one row for each face, with what is measured and what is wrong with it.

Takes ``data/01_raw/faces.zip`` (read in place), makes ``data/02_manifest/manifest.parquet`` and
``summary.json``. Command: ``unveil manifest``.
"""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from unveil import archive as archives
from unveil import attributes
from unveil.archive import Layout, Listing, Member
from unveil.errors import UserError
from unveil.expectations import RULES
from unveil.files import replacing, write_json
from unveil.images import Limits, Pixels, UnreadableImage, decode
from unveil.params import Params
from unveil.paths import MANIFEST, SUMMARY
from unveil.rules import Find, Setting
from unveil.schema import SPLITS, Data

COLUMNS = (
    "member",
    "split",
    "label",
    "sha256",
    "dhash",
    "width",
    "height",
    "mode",
    "brightness",
    "contrast",
    "sharpness",
    "fault",
)
KEPT_FIRST = ("test", "validation", "train")
"""Of twins across splits the copy in the first of these stays: the test set is left as it was."""


def layout(params: Params) -> Layout:
    """Say which folders of an archive are classes, other names of classes, or left out."""
    data = params.data
    return Layout(
        classes=params.classes, aliases=data.aliases, drop=data.drop, max_members=data.max_members
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
        groups = attributes.table(archive, listing, taken=(*COLUMNS, "quarantine"))
        faces = attributes.joined(faces, groups)
    faces["split"] = split(faces, shares=params.data.splits, seed=params.data.seed)
    faces = marked(faces, params.rules)
    with replacing(MANIFEST) as path:
        faces.to_parquet(path, index=False)
    write_json(SUMMARY, summary(faces, listing))
    return faces


def split(faces: pd.DataFrame, *, shares: dict[Any, float], seed: int) -> pd.Series:
    """Fill in the splits an archive does not bring: stratified by label, twins kept together.

    Twins, and images with the same perceptual hash, share a lot, drawn from ``(seed, hash)``:
    neither the order of the rows nor another image changes where a face goes.
    """
    result = faces["split"].copy()
    present = set(result.dropna())
    if present and "train" not in present:
        raise UserError(f"the archive has {', '.join(sorted(present))} but no train folder")
    pool = result.isna() | (result == "train")
    result[pool] = "train"
    missing = [name for name in shares if name not in present]
    labels = faces.loc[pool].sort_values(["dhash", "label"]).groupby("dhash")["label"].first()
    for _, group in labels.groupby(labels):
        lots = sorted(group.index, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
        start = 0
        for name in missing:
            stop = start + round(shares[name] * len(lots))
            result[pool & faces["dhash"].isin(lots[start:stop])] = name
            start = stop
    return result


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
        found = f"{rule.fault}: " + (rule.find or FOUND_HERE[rule.name])(rows, rules[rule.name])
        before = result.loc[found.index, "fault"]
        result.loc[found.index, "fault"] = before.where(before == "", before + "; ") + found
        if rules[rule.name].policy == "quarantine":
            result.loc[found.index, "quarantine"] = found
    return result


def twins_across_splits(faces: pd.DataFrame, setting: Setting) -> pd.Series:
    """Find the copies that leave: of equal faces those in the first of ``KEPT_FIRST`` stay."""
    readable = faces[faces["sha256"] != ""]
    rank = readable["split"].map({name: place for place, name in enumerate(KEPT_FIRST)})
    best = rank.groupby(readable["sha256"]).transform("min")
    first = readable[rank == best].sort_values("member").groupby("sha256").first()
    across = readable[rank > best]
    return across["sha256"].map(first["split"] + " has " + first["member"])


def twins_with_two_labels(faces: pd.DataFrame, setting: Setting) -> pd.Series:
    """Find equal faces with different labels, all of them."""
    readable = faces[faces["sha256"] != ""]
    labels = readable.sort_values("label").groupby("sha256")["label"].unique()
    torn = readable[readable["sha256"].isin(labels[labels.str.len() > 1].index)]
    return torn["sha256"].map(labels.str.join(" and "))


FOUND_HERE: dict[str, Find] = {
    "no_twin_across_splits": twins_across_splits,
    "no_twin_with_two_labels": twins_with_two_labels,
}
"""Of the rules whose faulty faces only a look at all faces finds: what finds them."""


def summary(faces: pd.DataFrame, listing: Listing) -> dict[str, Any]:
    """Count what a person asks first: faces, what was left out and why, and twins."""
    readable = faces[faces["sha256"] != ""]
    twins = readable.groupby("sha256").agg(
        images=("member", "size"), splits=("split", "nunique"), labels=("label", "nunique")
    )
    used = faces[faces["quarantine"] == ""]
    counts = used.groupby(["split", "label"]).size()
    return {
        "images": len(faces),
        "used": {
            name: {label: int(n) for label, n in counts[name].items()}
            for name in SPLITS
            if name in counts.index
        },
        "dropped_classes": dict(listing.dropped),
        "ignored_files": listing.ignored,
        "quarantined": faces["quarantine"]
        .str.split(":")
        .str[0]
        .replace("", np.nan)
        .value_counts()
        .to_dict(),
        "exact_twins": {
            "groups": int((twins["images"] > 1).sum()),
            "across_splits": int((twins["splits"] > 1).sum()),
            "with_two_labels": int((twins["labels"] > 1).sum()),
        },
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
        decoded = decode(content, limits)
    except UnreadableImage as error:
        unknown = dict.fromkeys(("brightness", "contrast", "sharpness"), np.nan)
        empty = {"sha256": "", "dhash": f"unreadable {member.name}", "width": 0, "height": 0}
        return {**unknown, **empty, "mode": "", "fault": str(error)}
    height, width = decoded.pixels.shape
    return {
        "sha256": hashlib.sha256(
            f"{width}x{height}".encode() + decoded.pixels.tobytes()
        ).hexdigest(),
        "dhash": dhash(decoded.pixels),
        "width": width,
        "height": height,
        "mode": decoded.mode,
        **_quality(decoded.pixels),
        "fault": "",
    }


def dhash(pixels: Pixels) -> str:
    """Hash what a face looks like: 64 bits, each says whether a pixel of 9x8 outshines the next.

    The difference hash of N. Krawetz (2013, "Kind of Like That"), as 16 hexadecimal digits.
    """
    small = _small(pixels)
    bits = np.packbits(small[:, 1:] > small[:, :-1])
    return bits.tobytes().hex()


def _small(pixels: Pixels) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((9, 8), Image.Resampling.BOX))


def _quality(pixels: Pixels) -> dict[str, float]:
    """Measure mean, standard deviation (0..255) and variance of the Laplacian, a blur measure."""
    values = pixels.astype(np.float32)
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return {
        "brightness": float(values.mean()),
        "contrast": float(values.std()),
        "sharpness": float((around - 4 * inner).var()),
    }
