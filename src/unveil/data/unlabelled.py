"""Faces without labels: a zip -> gray arrays, for the teachers of a distillation to answer.

The archive is laid out as one with labels, ``[any folders/][split/]class/image``; its classes may
be any, such as those that ``data.drop`` leaves out. Validation and test folders are not read.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.config.params import Params
from unveil.data import archive as archives
from unveil.data import near_duplicates
from unveil.data.archive import Layout
from unveil.data.decoding import UnreadableImage, decode, resize
from unveil.data.fingerprints import digest, phash
from unveil.data.manifest import decoding_limits
from unveil.data.split_folders import image_folders
from unveil.dataset import arrays


def load(path: Path, pinned: str, params: Params) -> NDArray[np.uint8]:
    """Return the training faces of an archive ``(n, size, size, 1)``, each once.

    Images that cannot be read are left out, and so are near duplicates of a packed face of
    validation or test. Raises ``UserError`` for an archive that is missing, damaged or not the
    pinned one.
    """
    with archives.open_archive(path) as archive:
        if (found := sha256(path)) != pinned:
            raise UserError(
                f"{path} is not the pinned archive: its sha256 is {found}, pinned is {pinned}; "
                "restore the file, or pin it if you trust it"
            )
        faces = {digest(face[:, :, 0]): face for face in _faces(archive, params)}
    held_out = [arrays.load(name).images for name in ("validation", "test")]
    kept = _apart(list(faces.values()), np.concatenate(held_out), distance=params.near_twins)
    if not kept:
        raise UserError(f"{path} has no face that is not in validation or test")
    return np.stack(kept)


def _apart(
    faces: list[NDArray[np.uint8]], held_out: NDArray[np.uint8], *, distance: int
) -> list[NDArray[np.uint8]]:
    """Return the faces that are in no group of near duplicates with one that is held out."""
    both = tqdm([*faces, *held_out], desc="compared", unit=" faces", mininterval=1)
    hashes = [phash(face[:, :, 0]) for face in both]
    table = pd.DataFrame({"sha256": [f"{at:09d}" for at in range(len(hashes))], "phash": hashes})
    groups = near_duplicates.groups(table, distance=distance)
    is_apart = ~groups[: len(faces)].isin(groups[len(faces) :])
    return [face for face, kept in zip(faces, is_apart, strict=True) if kept]


def _faces(archive: zipfile.ZipFile, params: Params) -> Iterator[NDArray[np.uint8]]:
    accepted = decoding_limits(params.data)
    for name in tqdm(_members(archive, params), desc="unlabelled", unit=" faces", mininterval=1):
        try:
            content = archives.read_member(archive, name, max_bytes=accepted.max_bytes)
            pixels = decode(content, accepted).pixels
        except UnreadableImage:
            continue
        yield resize(pixels, params.data.image_size)[:, :, np.newaxis]


def _members(archive: zipfile.ZipFile, params: Params) -> list[str]:
    names = [name for name in archive.namelist() if archives.is_shown_image(name)]
    layout = Layout(
        classes=tuple({image_folders(name)[-1].lower() for name in names}),
        aliases={},
        drop=(),
        max_members=params.data.max_members,
        split_folders=params.data.split_folders,
    )
    members = archives.read_listing(archive, layout).members
    return [one.name for one in members if one.split in (None, "train")]
