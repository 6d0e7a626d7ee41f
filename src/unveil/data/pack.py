"""manifest + archive -> arrays, one file for each split.

Takes the manifest, its verdict and the archive; makes ``data/03_packed/SPLIT.npz`` with
``images (n, size, size, 1) uint8`` and ``labels (n,) int64``, and ``SPLIT.parquet`` with what the
manifest says of each. Command: ``unveil pack``.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import read_json, read_parquet, replacing, sha256
from unveil.common.paths import PACKED
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.data import archive as archives
from unveil.data import dataset
from unveil.data.decoding import Limits, Pixels, decode, resize
from unveil.data.manifest import limits, used


def make(source: Path, manifest: Path, params: Params, *, validation: Path) -> dict[str, int]:
    """Pack every split and count its faces; refuses a manifest that did not pass validation."""
    rows = read_parquet(manifest, made_by="unveil manifest")
    _require_passed(manifest, validation)
    counts = {}
    with archives.opened(source) as archive:
        for name in SPLITS:
            told = with_twins(rows, name)
            images = _images(archive, told["member"], params)
            labels = _labels(told["label"], params.classes)
            with replacing(PACKED / f"{name}.npz") as path:
                dataset.save(path, images, labels, size=params.data.image_size)
            with replacing(PACKED / f"{name}.parquet") as path:
                told.to_parquet(path, index=False)
            counts[name] = len(told)
    return counts


def with_twins(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Give the rows of a split that are packed, those outside train with their near twin there.

    ``twin_in_train`` is ``learned`` where that twin is packed too, ``left out`` where quarantine
    took it, ``none`` where there is none.
    """
    faces = used(rows, name)
    if name == "train":
        return faces
    train, groups = rows["split"] == "train", faces["twins"].mask(faces["twins"] == "")
    known = {
        "left out": set(rows.loc[train, "twins"]),
        "learned": set(used(rows, "train")["twins"]),
    }
    twin = pd.Series("none", index=faces.index)
    for word, train_groups in known.items():
        twin[groups.isin(train_groups)] = word
    return faces.assign(**{TWIN: twin})


def _require_passed(manifest: Path, validation: Path) -> None:
    verdict = read_json(validation, made_by="unveil validate")
    if verdict["manifest"] != sha256(manifest):
        raise UserError(
            f"{validation} is about another manifest; `unveil validate` judges this one"
        )
    if not verdict["passed"]:
        raise UserError(f"{validation} says that the data did not pass; nothing was packed")


def _images(
    archive: zipfile.ZipFile, members: pd.Series, params: Params
) -> Iterator[NDArray[np.uint8]]:
    accepted = limits(params.data)
    for member in tqdm(members, desc="pack", unit=" faces", mininterval=1):
        pixels = _pixels(archive, member, accepted)
        yield resize(pixels, params.data.image_size)[:, :, None]


def _labels(names: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    places = {label: index for index, label in enumerate(classes)}
    labels: NDArray[np.int64] = names.map(places).to_numpy(np.int64)
    return labels


def _pixels(archive: zipfile.ZipFile, member: str, accepted: Limits) -> Pixels:
    content = archives.content(archive, member, max_bytes=accepted.max_bytes)
    return decode(content, accepted).pixels
