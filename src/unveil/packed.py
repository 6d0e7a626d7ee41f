"""The packed faces of a split, as `unveil pack` makes them and learning reads them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
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


def even(faces: Faces, shares: int) -> Faces:
    """Leave out the last few faces, so that ``shares`` divide their number."""
    whole = len(faces) - len(faces) % shares
    return faces if whole == len(faces) else Faces(faces.images[:whole], faces.labels[:whole])


def subset(faces: Faces, count: int | None, *, seed: int) -> Faces:
    """Take a stratified part of about ``count`` faces; all of them for ``None``."""
    if count is None or count >= len(faces):
        return faces
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(faces))
    # Sorting by the place within the own class, relative to its size, keeps all shares alike.
    labels = faces.labels[order]
    place = np.empty(len(faces))
    for label in np.unique(labels):
        members = labels == label
        place[members] = (np.arange(members.sum()) + 0.5) / members.sum()
    chosen = np.sort(order[np.argsort(place, kind="stable")[:count]])
    return Faces(images=faces.images[chosen], labels=faces.labels[chosen])
