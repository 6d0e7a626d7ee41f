"""A small temporary project: synthetic faces, or a subset of the packed faces."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from unveil.common.errors import UserError
from unveil.common.paths import PACKED, PARAMS
from unveil.config import params
from unveil.config.params import Params
from unveil.data import synthetic
from unveil.data.decoding import resize
from unveil.dataset import arrays
from unveil.dataset.arrays import Faces

PICTURES = Path("pictures")
"""Folder of the same faces as JPEG, by split and class."""


def validation_count(images: int) -> int:
    """Return the number of validation faces for ``images`` training faces."""
    return max(32, images // 8)


def make(folder: Path, *, images: int, recipe: str, drawn: bool) -> None:
    """Create a project in a folder: parameters, packed faces, and the same faces as pictures.

    Raises ``UserError`` if too few faces are packed.
    """
    shutil.copy(PARAMS, folder)
    if recipe:
        params.choose_recipe(recipe, folder / PARAMS)
    loaded = params.load(folder / PARAMS)
    for name, count in (("train", images), ("validation", validation_count(images))):
        faces = _drawn(count, loaded, name) if drawn else _some(count, name)
        _save(folder, name, faces)
        _write(folder / PICTURES / name, faces, loaded.classes)


def repeat(folder: Path, times: int) -> Path:
    """Create a project below ``folder`` with each face ``times`` times; returns its folder."""
    larger = folder / f"times{times}"
    larger.mkdir()
    shutil.copy(folder / PARAMS, larger)
    for name, repeated in (("train", times), ("validation", 1)):
        _save(larger, name, arrays.load(name, folder / PACKED), repeated)
    return larger


def _save(folder: Path, name: str, faces: Faces, times: int = 1) -> None:
    path = folder / PACKED / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    images = (image for _ in range(times) for image in faces.images)
    arrays.save(path, images, np.tile(faces.labels, times), size=faces.images.shape[1])


def _drawn(count: int, params: Params, name: str) -> Faces:
    labels = np.arange(count) % len(params.classes)
    seed = (params.data.seed, len(name))
    pictures = [
        synthetic.draw_face(
            synthetic.CLASSES[label % len(synthetic.CLASSES)], np.random.default_rng((*seed, n))
        )
        for n, label in enumerate(labels)
    ]
    images = np.stack([resize(one, params.data.image_size) for one in pictures])
    return Faces(images=images[..., None], labels=labels)


def _some(count: int, name: str) -> Faces:
    faces = arrays.load(name)
    if count > len(faces):
        raise UserError(f"{count} faces of {name} are requested, {PACKED} has {len(faces)}")
    return arrays.subset(faces, count, seed=0)


def _write(folder: Path, faces: Faces, classes: tuple[str, ...]) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
    for number, (image, label) in enumerate(zip(faces.images, faces.labels, strict=True)):
        path = folder / classes[label] / f"{number:06d}.jpg"
        Image.fromarray(image[:, :, 0]).save(path, quality=95)
