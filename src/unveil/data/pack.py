"""Pack the validated faces of each split into arrays.

Writes ``data/03_packed/SPLIT.npz`` with ``images (n, size, size, 1) uint8`` and ``labels (n,)
int64``, and ``SPLIT.parquet`` with the manifest rows. Command: ``unveil pack``.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, read_json, read_parquet, sha256
from unveil.common.paths import PACKED
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import TWIN
from unveil.data import archive as archives
from unveil.data.decoding import Limits, Pixels, decode, resize
from unveil.data.manifest import decoding_limits, used_faces
from unveil.dataset import arrays


def make(source: Path, manifest: Path, params: Params, *, validation: Path) -> dict[str, int]:
    """Pack all splits and count their faces.

    Raises ``UserError`` for a manifest that did not pass validation.
    """
    rows = read_parquet(manifest, made_by="unveil manifest")
    _require_passed(manifest, validation)
    counts = {}
    with archives.open_archive(source) as archive:
        for name in SPLITS:
            packed = with_twins(rows, name)
            images = _images(archive, packed["member"], params)
            labels = _labels(packed["label"], params.classes)
            with atomic_write(PACKED / f"{name}.npz") as path:
                arrays.save(path, images, labels, size=params.data.image_size)
            with atomic_write(PACKED / f"{name}.parquet") as path:
                packed.to_parquet(path, index=False)
            counts[name] = len(packed)
    return counts


def with_twins(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows of a split to pack; outside train with the column ``twin_in_train``.

    It is ``learned`` if a near duplicate in train is packed, ``left out`` if it is in quarantine,
    else ``none``.
    """
    faces = used_faces(rows, name)
    if name == "train":
        return faces
    train, groups = rows["split"] == "train", faces["twins"].mask(faces["twins"] == "")
    states = {
        "left out": set(rows.loc[train, "twins"]),
        "learned": set(used_faces(rows, "train")["twins"]),
    }
    twin = pd.Series("none", index=faces.index)
    for state, train_groups in states.items():
        twin[groups.isin(train_groups)] = state
    return faces.assign(**{TWIN: twin})


def _require_passed(manifest: Path, validation: Path) -> None:
    verdict = read_json(validation, made_by="unveil validate")
    if verdict["manifest"] != sha256(manifest):
        raise UserError(
            f"{validation} is about another manifest; run `unveil validate` for this one"
        )
    if not verdict["passed"]:
        raise UserError(f"{validation}: validation did not pass; nothing was packed")


def _images(
    archive: zipfile.ZipFile, members: pd.Series, params: Params
) -> Iterator[NDArray[np.uint8]]:
    accepted = decoding_limits(params.data)
    for member in tqdm(members, desc="pack", unit=" faces", mininterval=1):
        pixels = _pixels(archive, member, accepted)
        yield resize(pixels, params.data.image_size)[:, :, None]


def _labels(names: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    indices = {label: index for index, label in enumerate(classes)}
    labels: NDArray[np.int64] = names.map(indices).to_numpy(np.int64)
    return labels


def _pixels(archive: zipfile.ZipFile, member: str, accepted: Limits) -> Pixels:
    content = archives.read_member(archive, member, max_bytes=accepted.max_bytes)
    return decode(content, accepted).pixels
