"""Knowledge distillation: the answers of trained networks are the targets of a smaller one.

Hinton et al., 2015 (arXiv:1503.02531). Teacher and student see the same augmented view of a face,
which Beyer et al. found to be decisive (2022, arXiv:2106.05237, section 3.1). To save time, the
teachers answer a number of views once, before the training.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.config.schedule import Schedule
from unveil.config.schema import Training
from unveil.dataset import arrays
from unveil.training.augmentation import augmentation
from unveil.training.callbacks import seed_generators

Teacher = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Returns probabilities ``(n, classes)`` for gray images ``(n, size, size, 1)``."""

View = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Augmented images ``(n, size, size, 1)`` of all training faces, and targets ``(n, classes)``."""

BATCH = 256
"""Faces that are augmented and answered at once."""


@dataclass(frozen=True)
class Teaching:
    """A teacher, and faces ``(m, size, size, 1)`` that it answers besides those for training."""

    teacher: Teacher
    unlabelled: NDArray[np.uint8]

    def with_unlabelled(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return images ``(n, size, size, 1)`` and the unlabelled ones; they must fit in memory."""
        # Without unlabelled ones they stay in their file, which may be larger than memory.
        return np.concatenate([images, self.unlabelled]) if len(self.unlabelled) else images


@dataclass(frozen=True)
class Views:
    """Makes the views of training faces, and keeps them in a folder for an interrupted run.

    A share ``mix`` of the faces is mixed with another one, which has at most half of the weight.
    """

    faces: NDArray[np.uint8]
    teacher: Teacher
    training: Training
    mix: float
    folder: Path

    def view(self, number: int) -> View:
        """Return a view with the answers of the teacher, made or as it is kept."""
        path = self.folder / f"{number:03d}.npz"
        if path.exists():
            with suppress(UserError):  # a damaged file is made again
                return self._read(path)
        with atomic_write(path) as temporary:
            self._write(temporary, number)
        return self._read(path)

    def _read(self, path: Path) -> View:
        kept = arrays.load(path.stem, self.folder)
        return kept.images, np.asarray(kept.labels, np.float32)

    def _write(self, path: Path, number: int) -> None:
        count, *shape = self.faces.shape
        classes = self.teacher(np.zeros((1, *shape), np.uint8)).shape[1]
        answers = np.empty((count, classes), np.float32)
        # The answers are complete when the last image was taken.
        arrays.save(path, self._answered(number, answers), answers, size=shape[0])

    def _answered(self, number: int, answers: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
        layers = augmentation(self.training.augmentation)
        seed = (self.training.seed, number, 2)  # not that of an epoch's shuffle
        seed_generators(layers, seed)
        generator, count = np.random.default_rng(seed), len(self.faces)
        others = generator.permutation(count)
        weights = generator.uniform(0.5, 1, count).astype(np.float32)
        weights[generator.random(count) >= self.mix] = 1
        for start in range(0, count, BATCH):
            part = slice(start, start + BATCH)
            images = _augmented(layers, self.faces[part])
            if self.mix:
                weight = weights[part, np.newaxis, np.newaxis, np.newaxis]
                other = _augmented(layers, self.faces[others[part]])
                images = (weight * images + (1 - weight) * other).round()
            seen = images.astype(np.uint8)
            answers[part] = self.teacher(seen)
            yield from seen


def _augmented(layers: keras.Sequential, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    augmented = keras.ops.convert_to_numpy(layers(faces, training=True))
    return np.asarray(augmented.clip(0, 255), np.float32)


def views(made: Views, schedule: Schedule) -> list[View]:
    """Return the views of a schedule's distillation, empty without one.

    Raises ``UserError`` if a stage trains the head only: that learns from unchanged faces.
    """
    settings = schedule.distillation
    if settings is None:
        return []
    if any(stage.trainable_from == "head" for stage in schedule.stages):
        raise UserError("distillation trains on augmented faces; trainable_from cannot be head")
    numbers = tqdm(range(settings.views), desc="teachers answer", unit=" views")
    return [made.view(number) for number in numbers]
