"""pictures of one face -> what the champion says of them. Command: ``unveil predict FILE...``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unveil import registry
from unveil.errors import UserError
from unveil.evaluate import probabilities
from unveil.images import Limits, UnreadableImage, decode, resize


@dataclass(frozen=True)
class Answer:
    """The apparent expression of a face and the probability of every class."""

    path: Path
    emotion: str
    probabilities: dict[str, float]

    def __str__(self) -> str:
        shares = "  ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        return f"{self.path}: {self.emotion}  ({shares})"


def predict(paths: Sequence[Path], limits: Limits) -> Iterator[Answer | UserError]:
    """Ask the champion about each file; one that cannot be read becomes its ``UserError``."""
    version = registry.champion()
    if version is None:
        raise UserError("there is no champion yet; `make train-all` trains and promotes one")
    network = registry.load(version)
    for path in paths:
        try:
            pixels = resize(decode(_content(path, limits), limits).pixels, version.image_size)
        except UnreadableImage as error:
            yield UserError(f"{path}: {error}")
            continue
        answer = probabilities(network, pixels[np.newaxis, :, :, np.newaxis])[0]
        shares = dict(zip(version.classes, map(float, answer), strict=True))
        yield Answer(path=path, emotion=max(shares, key=shares.__getitem__), probabilities=shares)


def _content(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise UnreadableImage(str(error.strerror).lower()) from None
