"""The packed faces of a split, written by `unveil pack` and read for training.

The file format is that of ``numpy.savez`` with ``images`` and ``labels``. Files are written face by
face and memory-mapped for reading, so that they need not fit into memory.
"""

import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib import format as npy
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.common.files import read_parquet, require_path
from unveil.common.paths import PACKED


@dataclass(frozen=True)
class Faces:
    """The faces of a split: ``images (n, size, size, 1) uint8``, ``labels (n,)`` class indices."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load(name: str, folder: Path = PACKED) -> Faces:
    """Open a packed split; its images are memory-mapped.

    The bytes are read once to verify their checksum. Raises ``UserError`` for a damaged file.
    """
    path = require_path(folder / f"{name}.npz", made_by="unveil pack")
    try:
        with zipfile.ZipFile(path) as stored, stored.open("labels.npy") as labels:
            read = npy.read_array(labels, allow_pickle=False)
            return Faces(images=_map_images(stored, path), labels=read)
    except Exception as error:  # zipfile, zlib, struct and numpy raise their own exceptions
        if isinstance(error, MemoryError):
            raise
        raise UserError(f"{path} is damaged ({error}); run `unveil pack` again") from None


def save(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    labels: NDArray[np.int64] | NDArray[np.float32],
    *,
    size: int,
) -> None:
    """Write a packed split: as many images ``(size, size, 1)`` as labels, in their order.

    The labels are class indices ``(n,)``, or probabilities ``(n, classes)``.
    """
    with zipfile.ZipFile(path, "w") as stored:
        with stored.open("images.npy", "w", force_zip64=True) as file:
            shape = (len(labels), size, size, 1)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, header)
            for image in images:
                file.write(image.tobytes())
        with stored.open("labels.npy", "w", force_zip64=True) as file:
            npy.write_array(file, labels, allow_pickle=False)


def _map_images(stored: zipfile.ZipFile, path: Path) -> NDArray[np.uint8]:
    entry = stored.getinfo("images.npy")
    with stored.open(entry) as member:
        npy.read_magic(member)
        shape, by_column, kind = npy.read_array_header_1_0(member)
        header = member.tell()
        while member.read(1 << 20):  # the checksum is verified at the end
            pass
    if by_column or kind != np.uint8 or entry.compress_type:
        raise ValueError("its images are not in the packed format")
    offset = _data_offset(path, entry) + header
    return np.asarray(np.memmap(path, kind, mode="r", offset=offset, shape=shape))


def _data_offset(path: Path, entry: zipfile.ZipInfo) -> int:
    # A local header has 30 bytes, a name and an extra field (APPNOTE.TXT, 4.3.7), whose lengths may
    # differ from those in the directory at the end of the file.
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<26x2H", file.read(30))
    return entry.header_offset + 30 + int(name) + int(extra)


def load_metadata(name: str, folder: Path = PACKED) -> pd.DataFrame:
    """Load the manifest rows of a packed split, in the order of its arrays."""
    return read_parquet(folder / f"{name}.parquet", made_by="unveil pack")


def truncate_to_multiple(faces: Faces, shares: int) -> Faces:
    """Drop the last faces, so that the number of faces is a multiple of ``shares``."""
    count = len(faces) - len(faces) % shares
    return faces if count == len(faces) else Faces(faces.images[:count], faces.labels[:count])


def subset(faces: Faces, count: int | None, *, seed: int) -> Faces:
    """Return a stratified subset of about ``count`` faces; all of them for ``None``."""
    if count is None or count >= len(faces):
        return faces
    chosen = stratified_indices(faces.labels, count, seed=seed)
    return Faces(images=faces.images[chosen], labels=faces.labels[chosen])


def stratified_indices(
    labels: NDArray[np.int64], count: int | None, *, seed: int
) -> NDArray[np.int64]:
    """Return the sorted indices of the faces that ``subset`` selects by their ``labels (n,)``."""
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    # Sorting by the rank within the class, relative to its size, keeps the class fractions.
    labels = labels[order]
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = labels == label
        rank[members] = (np.arange(members.sum()) + 0.5) / members.sum()
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])
