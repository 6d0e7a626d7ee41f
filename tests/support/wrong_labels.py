"""Wrong labels, made on purpose: an archive with some faces in the folder of another class."""

import zipfile
from pathlib import Path

import numpy as np

from unveil.data.synthetic import CLASSES


def flip_labels(source: Path, target: Path, *, share: float = 0.05, seed: int = 0) -> set[str]:
    """Copy an archive with a share of its faces under a wrong label; gives the members' names."""
    generator = np.random.default_rng(seed)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as flipped:
        names = archive.namelist()
        faces = [name for name in names if name.endswith((".png", ".jpg"))]
        chosen = generator.choice(len(faces), round(share * len(faces)), replace=False)
        steps = dict(zip(chosen, generator.integers(1, len(CLASSES), len(chosen)), strict=True))
        wrong = {faces[place]: _moved(faces[place], step) for place, step in steps.items()}
        for name in names:
            flipped.writestr(zipfile.ZipInfo(wrong.get(name, name)), archive.read(name))
    return set(wrong.values())


def _moved(name: str, step: int) -> str:
    *folders, label, file = name.split("/")
    other = CLASSES[(CLASSES.index(label) + int(step)) % len(CLASSES)]
    return "/".join((*folders, other, file))
