"""Image files -> the apparent expression of every face. Command: ``unveil predict PATHS...``.

A picture without a face gives ``no_face``; a picture of at most 64 pixels per side is treated as a
cropped face.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unveil.common.errors import UserError
from unveil.data.decoding import Limits, Pixels
from unveil.inference import face_detector, tracking
from unveil.inference.annotate import annotate
from unveil.inference.annotated_names import image_names, refuse_overwriting
from unveil.inference.bundle import Bundle
from unveil.inference.cores import available_cores
from unveil.inference.decision import NO_FACE, Answer, answer
from unveil.inference.face_crop import Box, Detection, cut, whole
from unveil.inference.face_detector import Detect, FaceDetector
from unveil.inference.inputs import read, to_pixels
from unveil.inference.progress import Progress
from unveil.inference.sources import STDIN, image_files, read_stdin

BATCH_SIZE = 8
"""Pictures per task of the thread pool."""


@dataclass(frozen=True)
class PredictionSettings:
    """Bundle, detector and options; ``annotated`` is the folder for annotated pictures.

    With ``faces`` every picture is treated as a cropped face. ``threshold`` replaces those of
    the bundle: the probability below which no class is named.
    """

    bundle: Bundle
    detect: FaceDetector
    faces: bool = False
    limits: Limits = field(default_factory=Limits)
    annotated: Path | None = None
    threshold: float | None = None

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds in use, one for each class."""
        if self.threshold is None:
            return self.bundle.thresholds
        return (self.threshold,) * len(self.bundle.classes)


@dataclass(frozen=True)
class FacePrediction:
    """The prediction for one face; ``face`` is its number in the picture, or its track in a video.

    ``time``, in seconds, is set for videos. Without ``box`` the whole picture is the face; without
    ``face`` and ``box`` there was none of ``smallest`` pixels or more.
    """

    source: str
    answer: Answer
    face: int | None = None
    box: Box | None = None
    time: float | None = None
    smallest: int | None = None


def no_face(
    source: str, picture: Pixels, settings: PredictionSettings, time: float | None = None
) -> FacePrediction:
    """Return the prediction for a picture without a face."""
    smallest = settings.detect.smallest_face(*picture.shape[:2])
    return FacePrediction(source, NO_FACE, time=time, smallest=smallest)


def predict(
    paths: Iterable[Path], settings: PredictionSettings
) -> Iterator[FacePrediction | UserError]:
    """Predict every face of the given files and folders, in order, on all cores.

    A picture that cannot be read yields a ``UserError``. The bundle should use one thread.
    """
    cores = available_cores()
    waiting: deque[Future[list[FacePrediction | UserError]]] = deque()
    named = list(image_names(image_files(paths)))
    if settings.annotated:
        refuse_overwriting(named, settings.annotated)
    batches = [named[at : at + BATCH_SIZE] for at in range(0, len(named), BATCH_SIZE)]
    with ThreadPoolExecutor(cores) as pool, Progress(len(named), "predict", "pictures") as bar:
        for number, batch in enumerate(batches):
            waiting.append(pool.submit(_predict_batch, batch, settings))
            # A limited queue: a folder may hold more than fits into memory.
            while len(waiting) > (2 * cores if number + 1 < len(batches) else 0):
                yield from waiting.popleft().result()
                bar.update(min(BATCH_SIZE, len(named) - bar.n))


def _predict_batch(
    named: Sequence[tuple[Path, str]], settings: PredictionSettings
) -> list[FacePrediction | UserError]:
    # One by one: several large pictures would need much memory at once.
    return [one for path, name in named for one in _predict_file(path, name, settings)]


def _predict_file(
    path: Path, name: str, settings: PredictionSettings
) -> list[FacePrediction | UserError]:
    picture = _read(path, settings.limits)
    if isinstance(picture, UserError):
        return [picture]
    seen = [
        FacePrediction(str(path), answer, place, box)
        for place, (answer, box) in enumerate(predict_picture(picture, settings))
    ] or [no_face(str(path), picture, settings)]
    if settings.annotated:
        annotate(picture, labels(picture, seen), settings.annotated / name)
    return list(seen)


def predict_picture(
    picture: Pixels, settings: PredictionSettings
) -> list[tuple[Answer, Box | None]]:
    """Predict every face of a picture, gray or RGB.

    Returns the answers with their boxes, largest face first; a box is ``None`` if the picture is
    the face.
    """
    found = detect_faces(picture, settings.detect, faces=settings.faces)
    if not found:
        return []
    probabilities = settings.bundle.probabilities(crop_faces(picture, found, settings))
    return [
        (decide(own, settings), _box(one, picture))
        for own, one in zip(probabilities, found, strict=True)
    ]


def _read(path: Path, limits: Limits) -> Pixels | UserError:
    try:
        if path == STDIN:
            return to_pixels(read_stdin(limits.max_bytes + 1), limits)
        return read(path, limits)
    except UserError as error:
        return error


def detect_faces(picture: Pixels, detect: Detect, *, faces: bool) -> list[Detection]:
    """Return the faces of a picture, gray or RGB, largest first; with ``faces`` it is one."""
    if faces or face_detector.is_face(picture):
        return [whole(picture)]
    return detect(picture)


def crop_faces(picture: Pixels, found: Sequence[Detection], settings: PredictionSettings) -> Pixels:
    """Return the faces ``(n, side, side, 1)`` as the network takes them."""
    size = settings.bundle.image_size
    faces = np.empty((len(found), size, size, 1), np.uint8)
    for place, one in enumerate(found):
        faces[place, :, :, 0] = cut(picture, one, size)
    return faces


def decide(probabilities: tracking.Probabilities, settings: PredictionSettings) -> Answer:
    """Return the answer for the probabilities ``(classes,)`` of one face."""
    return answer(probabilities, settings.bundle.classes, settings.thresholds)


def _box(found: Detection, picture: Pixels) -> Box | None:
    return None if found == whole(picture) else found.box


def labels(picture: Pixels, seen: Sequence[FacePrediction]) -> list[tuple[Box, str]]:
    """Return the box and the label of each face; the box of a whole picture is its frame."""
    height, width = picture.shape[:2]
    full = (0, 0, width, height)
    return [(one.box or full, one.answer.label) for one in seen if one.face is not None]
