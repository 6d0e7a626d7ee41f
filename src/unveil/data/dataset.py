"""The packed faces of a split, as `unveil pack` makes them and learning reads them.

A file is what ``numpy.savez`` makes of ``images`` and ``labels``. It is written face by face and
read through a map of its bytes, so that neither has to fit into memory.
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
from unveil.common.files import existing, read_parquet
from unveil.common.paths import PACKED


@dataclass(frozen=True)
class Faces:
    """The faces of a split: ``images (n, size, size, 1) uint8``, ``labels (n,)`` class indices."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load(name: str, folder: Path = PACKED) -> Faces:
    """Open a packed split; its images stay in the file until they are looked at.

    Their bytes are read once, against their checksum. A file that is damaged is a ``UserError``.
    """
    path = existing(folder / f"{name}.npz", made_by="unveil pack")
    try:
        with zipfile.ZipFile(path) as stored, stored.open("labels.npy") as labels:
            read = npy.read_array(labels, allow_pickle=False)
            return Faces(images=_mapped(stored, path), labels=read)
    except Exception as error:  # zipfile, zlib, struct and numpy each have their own
        if isinstance(error, MemoryError):
            raise
        raise UserError(f"{path} is damaged ({error}); `unveil pack` makes it anew") from None


def save(
    path: Path, images: Iterable[NDArray[np.uint8]], labels: NDArray[np.int64], *, size: int
) -> None:
    """Write a packed split: as many images ``(size, size, 1)`` as labels, in their order."""
    with zipfile.ZipFile(path, "w") as stored:
        with stored.open("images.npy", "w", force_zip64=True) as file:
            shape = (len(labels), size, size, 1)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            npy.write_array_header_1_0(file, header)
            for image in images:
                file.write(image.tobytes())
        with stored.open("labels.npy", "w", force_zip64=True) as file:
            npy.write_array(file, labels, allow_pickle=False)


def _mapped(stored: zipfile.ZipFile, path: Path) -> NDArray[np.uint8]:
    entry = stored.getinfo("images.npy")
    with stored.open(entry) as member:
        npy.read_magic(member)
        shape, by_column, kind = npy.read_array_header_1_0(member)
        header = member.tell()
        while member.read(1 << 20):  # whose end is where the checksum is judged
            pass
    if by_column or kind != np.uint8 or entry.compress_type:
        raise ValueError("its images are not as they were packed")
    offset = _start(path, entry) + header
    return np.asarray(np.memmap(path, kind, mode="r", offset=offset, shape=shape))


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    # Before a member stand 30 bytes, its name and an extra field (APPNOTE.TXT, 4.3.7), whose
    # lengths need not be those of the directory at the end of the file.
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<26x2H", file.read(30))
    return entry.header_offset + 30 + int(name) + int(extra)


def rows(name: str, folder: Path = PACKED) -> pd.DataFrame:
    """Load what the manifest says of a split's faces, in the order of their arrays."""
    return read_parquet(folder / f"{name}.parquet", made_by="unveil pack")


def even(faces: Faces, shares: int) -> Faces:
    """Leave out the last few faces, so that ``shares`` divide their number."""
    whole = len(faces) - len(faces) % shares
    return faces if whole == len(faces) else Faces(faces.images[:whole], faces.labels[:whole])


def subset(faces: Faces, count: int | None, *, seed: int) -> Faces:
    """Take a stratified part of about ``count`` faces; all of them for ``None``."""
    if count is None or count >= len(faces):
        return faces
    chosen = places(faces.labels, count, seed=seed)
    return Faces(images=faces.images[chosen], labels=faces.labels[chosen])


def places(labels: NDArray[np.int64], count: int | None, *, seed: int) -> NDArray[np.int64]:
    """Name the faces, by their place, that ``subset`` takes of so labelled ones."""
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    # Sorting by the place within the own class, relative to its size, keeps all shares alike.
    labels = labels[order]
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = labels == label
        place[members] = (np.arange(members.sum()) + 0.5) / members.sum()
    return np.sort(order[np.argsort(place, kind="stable")[:count]])
