"""Compare two versions of the data: the manifest of a git revision and that of the workspace.

The manifest of the revision is read from DVC's cache or remote; nothing is written. Command:
``unveil data diff REV``.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unveil.common.errors import UserError, reason
from unveil.common.files import read_parquet
from unveil.common.paths import MANIFEST
from unveil.common.statistics import jensen_shannon
from unveil.common.types import SPLITS
from unveil.config.schema import QUALITIES

MAX_NAMED = 5
"""Maximum number of changed images named in the table; ``--json`` has all."""

VersionDiff = dict[str, Any]


def diff(revision: str, manifest: Path = MANIFEST) -> VersionDiff:
    """Compare the manifest of a revision with the current one."""
    after = read_parquet(manifest, made_by="unveil manifest")
    return {"revision": revision, **compare(read_manifest_at(revision, manifest), after)}


def read_manifest_at(revision: str, manifest: Path = MANIFEST) -> pd.DataFrame:
    """Read the manifest of a commit, tag or branch from DVC's cache or remote.

    Raises ``UserError`` if the revision is unknown, or its manifest is missing or damaged.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import RevError, SCMError

    path = manifest.as_posix()
    try:
        files = DVCFileSystem(rev=revision, config=_settings())
        digest = files.info(path).get("md5")
    except FileNotFoundError:
        digest = None
    except RevError:
        raise UserError(
            f"unknown revision {revision!r}; choose a commit, tag or branch, such as HEAD"
        ) from None
    except (DvcException, SCMError) as error:  # no git, or a damaged DVC file in the commit
        raise UserError(f"DVC cannot read revision {revision!r}: {reason(error)}") from None
    if not digest:
        raise UserError(f"revision {revision!r} has no {path} under DVC")
    try:
        content = files.cat_file(path)
    except Exception as error:  # each kind of remote raises its own exceptions
        message = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} of {revision!r} is in neither DVC's cache nor a remote: {message}"
        ) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != digest:
        raise UserError(f"{path} of {revision!r} is damaged: its md5 differs")
    return pd.read_parquet(io.BytesIO(content))


def _settings() -> dict[str, Any]:
    """Return the current DVC remotes: an older revision has older ones, or none."""
    from dvc.repo import Repo

    with Repo() as repo:
        return {section: dict(repo.config[section]) for section in ("core", "remote")}


def compare(before: pd.DataFrame, after: pd.DataFrame) -> VersionDiff:
    """Compare two manifests; images are identified by the sha256 of their pixels, not by name.

    ``labels`` and ``quality`` compare the distributions of the faces in use, in each split. There
    are no significance tests: they assume independent samples, and most images are in both.
    """
    old, new = _with_keys(before), _with_keys(after)
    versions = [old, new]
    used = [faces[faces["reason"] == "in use"] for faces in versions]
    columns = [name for name in QUALITIES if name in before and name in after]
    return {
        "images": _pair(len(before), len(after)),
        "used": _counts(used, ["split", "label"]),
        "labels": [_labels(name, _in_split(name, used)) for name in SPLITS],
        "quality": [
            _quality(name, column, _in_split(name, used)) for name in SPLITS for column in columns
        ],
        "left_out": _counts([faces[faces["reason"] != "in use"] for faces in versions], ["reason"]),
        "changes": {
            "added": _only_in(new, old),
            "removed": _only_in(old, new),
            "relabelled": _changed(old, new, "label"),
            "moved": _changed(old, new, "split"),
            "quarantine": _changed(old, new, "reason"),
        },
    }


def format_table(drift: VersionDiff) -> str:
    """Format a comparison for the terminal: counts, distributions, and the first changed images."""
    images, changes = drift["images"], drift["changes"]
    parts = [
        f"{drift['revision']} -> workspace: {images['before']} -> {images['after']} images",
        _format_columns("faces in use", drift["used"]),
        _format_columns("label distribution (divergence: Jensen-Shannon, bits)", drift["labels"]),
        _format_columns(
            "quality (ks: largest gap of the distributions; shift: Wasserstein)", drift["quality"]
        ),
        _format_columns("left out", drift["left_out"]),
        "\n".join(_changes(name, images) for name, images in changes.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def _pair(before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after}


def _with_keys(faces: pd.DataFrame) -> pd.DataFrame:
    # An unreadable image has no digest; it is identified by its name.
    key = faces["sha256"].where(faces["sha256"] != "", "unreadable " + faces["member"])
    reason = faces["quarantine"].str.split(":").str[0].replace("", "in use")
    return faces.assign(key=key, reason=reason).sort_values("member")


def _in_split(split: str, versions: list[pd.DataFrame]) -> list[pd.DataFrame]:
    return [faces[faces["split"] == split] for faces in versions]


def _counts(versions: list[pd.DataFrame], by: list[str]) -> list[dict[str, Any]]:
    sizes = [faces.groupby(by).size() for faces in versions]
    both = pd.concat(sizes, axis=1, keys=["before", "after"]).fillna(0).astype(int)
    both["change"] = both["after"] - both["before"]
    return _records(both.sort_index().reset_index())


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _labels(split: str, versions: list[pd.DataFrame]) -> dict[str, Any]:
    before, after = versions
    counts = [faces["label"].value_counts() for faces in versions]
    divergence = jensen_shannon(*pd.concat(counts, axis=1).fillna(0).to_numpy().T)
    return {"split": split, **_pair(len(before), len(after)), "divergence": divergence}


def _quality(split: str, column: str, versions: list[pd.DataFrame]) -> dict[str, Any]:
    from scipy.stats import ks_2samp, wasserstein_distance

    one, other = (faces[column].dropna().to_numpy() for faces in versions)
    empty = not len(one) or not len(other)
    return {
        "split": split,
        "measure": column,
        **_pair(len(one), len(other)),
        "median_before": float(np.median(one)) if len(one) else None,
        "median_after": float(np.median(other)) if len(other) else None,
        "ks": None if empty else float(ks_2samp(one, other, method="asymp").statistic),
        "shift": None if empty else float(wasserstein_distance(one, other)),
    }


def _only_in(faces: pd.DataFrame, other: pd.DataFrame) -> list[dict[str, Any]]:
    rows = faces[~faces["key"].isin(other["key"])].drop_duplicates("key")
    return _records(rows[["member", "split", "label"]])


def _changed(before: pd.DataFrame, after: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """List the images in both versions whose values differ; duplicates may have several values."""
    pairs = [faces[["key", column]].drop_duplicates() for faces in (before, after)]
    joined = pairs[0].merge(pairs[1], how="outer", indicator=True)
    changed = set(joined.loc[joined["_merge"] != "both", "key"])
    changed &= set(before["key"]) & set(after["key"])
    values = [
        faces[faces["key"].isin(changed)].sort_values(column).groupby("key")[column].agg(_joined)
        for faces in pairs
    ]
    names = after[after["key"].isin(changed)].groupby("key")["member"].first()
    rows = pd.DataFrame({"member": names, "before": values[0], "after": values[1]})
    return _records(rows.sort_values("member"))


def _joined(values: pd.Series) -> str:
    return " and ".join(values)


def _format_columns(title: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    written = pd.DataFrame(rows).to_string(index=False, float_format="%.4g", na_rep="-")
    return f"{title}\n{written}"


def _changes(name: str, images: list[dict[str, Any]]) -> str:
    first = [
        f"{one['member']} ({one['before']} -> {one['after']})" if "before" in one else one["member"]
        for one in images[:MAX_NAMED]
    ]
    more = ", ..." if len(images) > MAX_NAMED else ""
    return f"{name:<11}{len(images):>7}  {', '.join(first)}{more}".rstrip()
