"""A loaded bundle that is called like a function: the Python interface of predictions."""

from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from unveil.common.errors import UserError
from unveil.data.decoding import Limits
from unveil.inference import bundle, face_detector, model_choice, picture_sizes
from unveil.inference.inputs import Picture, describe, to_pixels
from unveil.inference.predict import PredictionSettings, predict_picture
from unveil.inference.results import Face, Result

Pictures = list[Any] | tuple[Picture, ...]


class Model:
    """A network with a face detector; thread-safe.

    ``model(picture)`` is ``model.predict(picture)``. Make one with `unveil.load`.
    """

    def __init__(self, settings: PredictionSettings) -> None:
        """Use a loaded bundle and a detector."""
        self._settings = settings

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self._settings.bundle.classes

    @property
    def info(self) -> dict[str, str | None]:
        """Architecture, version, kind of training faces, and digest."""
        return model_choice.describe(self._settings.bundle)

    @overload
    def predict(self, pictures: Picture, *, faces: bool = False) -> Result: ...

    @overload
    def predict(self, pictures: Pictures, *, faces: bool = False) -> list[Result]: ...

    def predict(
        self, pictures: Picture | Pictures, *, faces: bool = False
    ) -> Result | list[Result]:
        """Predict the apparent expression of every face.

        Args:
            pictures: One picture, or a list of them. See `unveil.inference.inputs.Picture` for the
                kinds, shapes and ranges.
            faces: Whether each picture is a face that was cut out, so that none is searched for.

        Returns:
            A `Result` for one picture, a list of them for a list.

        Raises:
            UserError: A picture cannot be read, an array has another shape, type or range, or the
                list is empty.
        """
        if isinstance(pictures, list | tuple):
            if not pictures:
                raise UserError("the list of pictures is empty; give at least one picture")
            return [self._predict(one, faces) for one in pictures]
        return self._predict(pictures, faces)

    __call__ = predict

    def _predict(self, picture: Picture, faces: bool) -> Result:
        pixels = to_pixels(picture, self._settings.limits)
        settings = replace(self._settings, faces=faces)
        found = tuple(Face(answer, box) for answer, box in predict_picture(pixels, settings))
        return Result(source=describe(picture), faces=found, model=self.info, pixels=pixels)

    def __repr__(self) -> str:
        """Name the network and its classes."""
        return f"Model({self._settings.bundle}; {', '.join(self.classes)})"


def load(
    name: str | Path | None = None,
    *,
    threads: int = 0,
    threshold: float | None = None,
    turned: bool = False,
    max_pixels: int = Limits.max_pixels,
) -> Model:
    """Load a bundle.

    Args:
        name: ``"starter"``, ``"champion"`` (``data/07_bundle``) or a folder with a bundle. By
            default as `unveil predict` chooses: the champion if it was trained on real faces,
            otherwise the starter.
        threads: Threads of the network that classifies; 0 is one for each core.
        threshold: The probability, 0 to 1, below which no class is named; by default each
            class has its own, that of the model.
        turned: Whether faces that lie on their side are searched for, too, for photographs that are
            not upright; this takes three times as long.
        max_pixels: Maximum size of a picture, in pixels; by default 25 million.

    Raises:
        UserError: There is no such bundle, one of its files was altered, ``threshold`` is not
            from 0 to 1, or ``max_pixels`` is not positive.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise UserError(f"threshold={threshold} is not from 0 to 1")
    if max_pixels < 1:
        raise UserError(f"max_pixels={max_pixels} is not positive")
    limits = Limits().with_pixels(max_pixels)
    folder = model_choice.find_bundle(name)
    loaded = bundle.load(folder, threads=threads)
    detect = face_detector.detector(replace(picture_sizes.FILES, turned=turned))
    return Model(PredictionSettings(loaded, detect, limits=limits, threshold=threshold))
