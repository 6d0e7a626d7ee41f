"""The packed faces of a split, as `unveil pack` makes them and learning reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil.files import existing
from unveil.paths import PACKED


@dataclass(frozen=True)
class Faces:
    """The faces of a split: ``images (n, size, size, 1) uint8``, ``labels (n,)`` class indices."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load(name: str, folder: Path = PACKED) -> Faces:
    """Load a packed split."""
    path = existing(folder / f"{name}.npz", made_by="unveil pack")
    with np.load(path, allow_pickle=False) as arrays:
        return Faces(images=arrays["images"], labels=arrays["labels"])


def rows(name: str, folder: Path = PACKED) -> pd.DataFrame:
    """Load what the manifest says of a split's faces, in the order of their arrays."""
    return pd.read_parquet(existing(folder / f"{name}.parquet", made_by="unveil pack"))


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
