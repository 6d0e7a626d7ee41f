"""faces -> histograms of oriented gradients, kept in blocks, so that a killed run goes on.

Takes rows of the manifest and the archive; makes ``BLOCK.npy`` files in a folder, each known by the
faces in it, and gives them as one array. For `unveil data audit`.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.feature import hog
from tqdm import tqdm

from unveil.common.files import reading, replacing
from unveil.config.schema import Data
from unveil.data import archive as archives
from unveil.data.decoding import Pixels, decode, resize
from unveil.data.manifest import limits

BLOCK = 1000  # faces between two savings, a few seconds of work
DESCRIPTIONS = ((6, 8), (8, 9))
"""Of each: the side of a cell in pixels, of 48, and the orientations that are told apart."""

Features = NDArray[np.float32]


def features(source: Path, rows: pd.DataFrame, data: Data, folder: Path, *, place: int) -> Features:
    """Describe each face and its mirror image, ``(n, 2, features)`` in 0..1.

    ``place`` chooses from ``DESCRIPTIONS``; the descriptor is that of N. Dalal and B. Triggs (CVPR
    2005) over 2x2 cells. Blocks that lie in ``folder`` already are read, not made.
    """
    with (
        archives.opened(source) as archive,
        tqdm(total=len(rows), desc=f"describe {place + 1}") as progress,
    ):
        blocks = []
        for start in range(0, len(rows), BLOCK):
            block = rows.iloc[start : start + BLOCK]
            blocks.append(_block(archive, block, data, folder, place=place))
            progress.update(len(block))
    return np.concatenate(blocks)


def pixels(archive: zipfile.ZipFile, member: str, data: Data) -> Pixels:
    """Give a face as the networks see it, ``(size, size)`` in 0..255."""
    accepted = limits(data)
    content = archives.content(archive, member, max_bytes=accepted.max_bytes)
    return resize(decode(content, accepted).pixels, data.image_size)


def _block(
    archive: zipfile.ZipFile, rows: pd.DataFrame, data: Data, folder: Path, *, place: int
) -> Features:
    decided = f"{data.image_size} {DESCRIPTIONS[place]} {' '.join(rows['sha256'])}"
    path = folder / f"{hashlib.sha256(decided.encode()).hexdigest()}.npy"
    if not path.exists():
        faces = [pixels(archive, member, data) for member in rows["member"]]
        described = [
            [_describe(each, *DESCRIPTIONS[place]) for each in (face, face[:, ::-1])]
            for face in faces
        ]
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(described, np.float32))
    with reading(path, made_by=f"rm {path}; unveil data audit"):
        made: Features = np.load(path, allow_pickle=False)
    return made


def _describe(face: Pixels, cell: int, orientations: int) -> Features:
    cell = max(cell * len(face) // 48, 1)
    described: Features = hog(
        face, orientations=orientations, pixels_per_cell=(cell, cell), cells_per_block=(2, 2)
    )
    return described.astype(np.float32)
