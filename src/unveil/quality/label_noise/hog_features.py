"""HOG features (histograms of oriented gradients) of faces, cached in blocks for resuming.

Writes ``HASH.npy`` files, named by a hash of the faces in the block, and returns their features as
one array. For `unveil data audit`.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.feature import hog
from tqdm import tqdm

from unveil.common.files import atomic_write, reading_artifact
from unveil.config.schema import Data
from unveil.data import archive as archives
from unveil.data.decoding import Pixels, decode, resize
from unveil.data.manifest import decoding_limits

BLOCK = 1000  # faces per cached file, a few seconds of work
DESCRIPTIONS = ((6, 8), (8, 9))
"""For each descriptor: cell size in pixels, for faces of 48 pixels, and number of orientations."""

Features = NDArray[np.float32]


def features(source: Path, rows: pd.DataFrame, data: Data, folder: Path, *, index: int) -> Features:
    """Return the HOG features of each face and its mirror image, ``(n, 2, features)`` in 0..1.

    ``index`` selects from ``DESCRIPTIONS``; the descriptor is that of N. Dalal and B. Triggs
    (CVPR 2005) with blocks of 2x2 cells. Blocks cached in ``folder`` are not computed again.
    """
    with (
        archives.open_archive(source) as archive,
        tqdm(total=len(rows), desc=f"HOG features {index + 1}") as progress,
    ):
        blocks = []
        for start in range(0, len(rows), BLOCK):
            block = rows.iloc[start : start + BLOCK]
            blocks.append(_block(archive, block, data, folder, index=index))
            progress.update(len(block))
    return np.concatenate(blocks)


def load_pixels(archive: zipfile.ZipFile, member: str, data: Data) -> Pixels:
    """Return a face at the input size of the networks, ``(size, size)`` in 0..255."""
    accepted = decoding_limits(data)
    content = archives.read_member(archive, member, max_bytes=accepted.max_bytes)
    return resize(decode(content, accepted).pixels, data.image_size)


def _block(
    archive: zipfile.ZipFile, rows: pd.DataFrame, data: Data, folder: Path, *, index: int
) -> Features:
    decided = f"{data.image_size} {DESCRIPTIONS[index]} {' '.join(rows['sha256'])}"
    path = folder / f"{hashlib.sha256(decided.encode()).hexdigest()}.npy"
    if not path.exists():
        faces = [load_pixels(archive, member, data) for member in rows["member"]]
        described = [
            [_describe(each, *DESCRIPTIONS[index]) for each in (face, face[:, ::-1])]
            for face in faces
        ]
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.array(described, np.float32))
    with reading_artifact(path, made_by=f"rm {path}; unveil data audit"):
        made: Features = np.load(path, allow_pickle=False)
    return made


def _describe(face: Pixels, cell: int, orientations: int) -> Features:
    cell = max(cell * len(face) // 48, 1)
    described: Features = hog(
        face, orientations=orientations, pixels_per_cell=(cell, cell), cells_per_block=(2, 2)
    )
    return described.astype(np.float32)
