"""Two versions of a manifest -> what became of the data between them.

Takes a git revision, whose manifest DVC has in its cache or remote, and the manifest of the
workspace; reads both and writes nothing. Command: ``unveil data diff REV``.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unveil.errors import UserError, reason
from unveil.files import read_parquet
from unveil.paths import MANIFEST
from unveil.schema import QUALITIES, SPLITS
from unveil.statistics import divergence

NAMED = 5
"""How many changed images the table names; ``--json`` has all."""

Drift = dict[str, Any]


def diff(revision: str, manifest: Path = MANIFEST) -> Drift:
    """Compare the manifest of a revision with the one that is here now."""
    after = read_parquet(manifest, made_by="unveil manifest")
    return {"revision": revision, **between(manifest_of(revision, manifest), after)}


def manifest_of(revision: str, manifest: Path = MANIFEST) -> pd.DataFrame:
    """Read the manifest of a commit, tag or branch from DVC's cache or, else, its remote."""
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
    except (DvcException, SCMError) as error:  # no git here, or a damaged file of DVC in a commit
        said = reason(error)
        raise UserError(f"DVC cannot read revision {revision!r}: {said}") from None
    if not digest:
        raise UserError(f"revision {revision!r} has no {path} under DVC")
    try:
        content = files.cat_file(path)
    except Exception as error:  # each kind of remote has its own
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} of {revision!r} is in neither DVC's cache nor a remote: {said}"
        ) from None
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != digest:
        raise UserError(f"{path} of {revision!r} is damaged: it is not what its digest says")
    return pd.read_parquet(io.BytesIO(content))


def _settings() -> dict[str, Any]:
    """Give DVC's remotes of now: an older revision names older ones, or none."""
    from dvc.repo import Repo

    with Repo() as repo:
        return {section: dict(repo.config[section]) for section in ("core", "remote")}


def between(before: pd.DataFrame, after: pd.DataFrame) -> Drift:
    """Compare two manifests; an image is known by its pixels' digest, whatever its name.

    ``labels`` and ``quality`` are of the faces in use, in each split. No test of significance is
    given: most images stand in both versions, which no such test allows for.
    """
    old, new = _keyed(before), _keyed(after)
    versions = [old, new]
    used = [faces[faces["reason"] == "in use"] for faces in versions]
    columns = [name for name in QUALITIES if name in before and name in after]
    return {
        "images": _pair(len(before), len(after)),
        "used": _counts(used, ["split", "label"]),
        "labels": [_labels(name, _of(name, used)) for name in SPLITS],
        "quality": [
            _quality(name, column, _of(name, used)) for name in SPLITS for column in columns
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


def table(drift: Drift) -> str:
    """Write a comparison for the terminal: counts, distributions, and the first changed images."""
    images, changes = drift["images"], drift["changes"]
    parts = [
        f"{drift['revision']} -> workspace: {images['before']} -> {images['after']} images",
        _columns("faces in use", drift["used"]),
        _columns("label distribution (divergence: Jensen-Shannon, bits)", drift["labels"]),
        _columns(
            "quality (ks: largest gap of the distributions; shift: Wasserstein)", drift["quality"]
        ),
        _columns("left out", drift["left_out"]),
        "\n".join(_said(name, found) for name, found in changes.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def _pair(before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after}


def _keyed(faces: pd.DataFrame) -> pd.DataFrame:
    # An unreadable image has no digest, only its name.
    key = faces["sha256"].where(faces["sha256"] != "", "unreadable " + faces["member"])
    reason = faces["quarantine"].str.split(":").str[0].replace("", "in use")
    return faces.assign(key=key, reason=reason).sort_values("member")


def _of(split: str, versions: list[pd.DataFrame]) -> list[pd.DataFrame]:
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
    found = divergence(*pd.concat(counts, axis=1).fillna(0).to_numpy().T)
    return {"split": split, **_pair(len(before), len(after)), "divergence": found}


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
    """List the images in both versions whose values differ; twins may have several values."""
    pairs = [faces[["key", column]].drop_duplicates() for faces in (before, after)]
    joined = pairs[0].merge(pairs[1], how="outer", indicator=True)
    odd = set(joined.loc[joined["_merge"] != "both", "key"])
    odd &= set(before["key"]) & set(after["key"])
    said = [
        faces[faces["key"].isin(odd)].sort_values(column).groupby("key")[column].agg(_joined)
        for faces in pairs
    ]
    names = after[after["key"].isin(odd)].groupby("key")["member"].first()
    rows = pd.DataFrame({"member": names, "before": said[0], "after": said[1]})
    return _records(rows.sort_values("member"))


def _joined(values: pd.Series) -> str:
    return " and ".join(values)


def _columns(title: str, rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    written = pd.DataFrame(rows).to_string(index=False, float_format="%.4g", na_rep="-")
    return f"{title}\n{written}"


def _said(name: str, found: list[dict[str, Any]]) -> str:
    first = [
        f"{one['member']} ({one['before']} -> {one['after']})" if "before" in one else one["member"]
        for one in found[:NAMED]
    ]
    more = ", ..." if len(found) > NAMED else ""
    return f"{name:<11}{len(found):>7}  {', '.join(first)}{more}".rstrip()
