"""The teachers of a distillation: bundles -> the mean of their answers, and more faces for them.

Each answers a face and its mirror image: their mean is better than the answer to the face alone
(docs/experiments.md), and the same for either side.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.config.params import Params
from unveil.data import unlabelled
from unveil.inference import bundle
from unveil.inference.bundle import Bundle
from unveil.training.distillation import Teaching


def teaching(key: str, params: Params) -> Teaching | None:
    """Return what an architecture's schedule distils; ``None`` without distillation.

    Raises ``UserError`` for a bundle or an archive that is missing or not the pinned one, or a
    teacher of other classes or another image size.
    """
    settings = params.schedules[key].distillation
    if settings is None:
        return None
    loaded = [_loaded(Path(folder), pinned, params) for folder, pinned in settings.teachers.items()]
    size = params.data.image_size
    more = [
        unlabelled.load(Path(path), digest, params) for path, digest in settings.unlabelled.items()
    ]
    none = np.empty((0, size, size, 1), np.uint8)

    def answer(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        answers = [one.probabilities(side) for one in loaded for side in (images, mirrored)]
        return np.asarray(np.mean(answers, axis=0), np.float32)

    return Teaching(answer, np.concatenate([none, *more]))


def _loaded(folder: Path, pinned: str, params: Params) -> Bundle:
    found = bundle.load(folder)
    if found.digest != pinned:
        raise UserError(
            f"teacher {folder} is not the pinned one: the sha256 of its bundle.json is "
            f"{found.digest}, pinned is {pinned}; restore the folder, or pin it if you trust it"
        )
    if found.classes != params.classes:
        own, others = (", ".join(one) for one in (params.classes, found.classes))
        raise UserError(f"teacher {folder} has the classes {others}; this project has {own}")
    if found.image_size != params.data.image_size:
        raise UserError(
            f"teacher {folder} takes faces of {found.image_size} pixels; data.image_size is "
            f"{params.data.image_size}"
        )
    return found
