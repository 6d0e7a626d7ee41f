"""Accuracy and speed of face detectors on pictures with marked faces.

Takes a folder of pictures and a JSON file with the boxes of the faces of each, as
``{"file.jpg": [[left, top, width, height], ...]}``; a picture that the file does not name has no
face. A marked face is found if a detected box has an intersection over union of at least `MIN_IOU`
with it, each box for one face; detected boxes that remain are false. Command: ``unveil bench
detect``.
"""

import importlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from scipy.stats import binomtest
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.config.provenance import hardware
from unveil.data.decoding import Limits, Pixels
from unveil.inference import face_detector, picture_sizes
from unveil.inference.inputs import read
from unveil.inference.sources import image_files
from unveil.inference.tracking import iou

Number = Annotated[float, Field(allow_inf_nan=False)]
Side = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Box = tuple[Number, Number, Side, Side]
"""Left, top, width and height, in pixels."""
Finder = Callable[[Pixels], Sequence[Box]]
"""Takes an RGB picture ``(height, width, 3)`` and gives the boxes of its faces."""

MIN_IOU = 0.3
_BOXES = TypeAdapter(dict[str, list[Box]])


@dataclass(frozen=True)
class DetectionResult:
    """What a detector found: counts, the overlap of each found face, seconds of each picture."""

    name: str
    faces: int
    false: int
    overlaps: tuple[float, ...]
    seconds: tuple[float, ...]


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """Read the boxes of the faces; raises ``UserError`` if they have another form."""
    try:
        return _BOXES.validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {str(error.strerror).lower()}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: {place or 'the file'}: {first['msg']}; the form is "
            '{"file.jpg": [[left, top, width, height], ...]}'
        ) from None


def own_detectors() -> dict[str, Finder]:
    """Return the detector with its settings for pictures and for frames of a video."""
    settings = {"pictures": picture_sizes.FILES, "video mode": picture_sizes.MOVING}

    def finder(name: str) -> Finder:
        detect = face_detector.detector(settings[name])
        return lambda picture: [one.box for one in detect(picture)]

    return {name: finder(name) for name in settings}


def other_detector(name: str) -> Finder:
    """Import a function by ``package.module:function``; raises ``UserError`` if it is not there."""
    module, _, function = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Finder = getattr(importlib.import_module(module), function)
        if not callable(found):
            raise TypeError("it cannot be called")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"{name} is no function PACKAGE.MODULE:FUNCTION: {error}") from None
    return found


def measure(
    folder: Path, boxes: dict[str, list[Box]], finders: dict[str, Finder]
) -> list[DetectionResult]:
    """Measure detectors on the pictures of a folder, each picture by all of them in turn."""
    paths = list(image_files([folder]))
    names = {str(path.relative_to(folder)) for path in paths}
    if missing := sorted(set(boxes) - names):
        raise UserError(f"{folder} has no {missing[0]!r}, for which there are boxes")
    seen: dict[str, list[tuple[list[float], int, float]]] = {name: [] for name in finders}
    for path in tqdm(paths, desc="bench detect", unit=" pictures", delay=2):
        picture = read(path, Limits())
        if picture.ndim == 2:
            picture = np.repeat(picture[..., np.newaxis], 3, 2)
        marked = boxes.get(str(path.relative_to(folder)), [])
        for name, find in finders.items():
            began = time.perf_counter()
            found = find(picture)
            seconds = time.perf_counter() - began
            overlaps = match(marked, found)
            seen[name].append((overlaps, len(found) - len(overlaps), seconds))
    count = sum(map(len, boxes.values()))
    return [_result(name, count, pictures) for name, pictures in seen.items()]


def match(marked: Sequence[Box], found: Sequence[Box]) -> list[float]:
    """Pair each marked face with one found box; return the overlaps of the pairs.

    The pairs are chosen by the highest overlap first, as in PASCAL VOC (Everingham et al., 2010).
    """
    pairs = sorted(
        ((iou(one, other), a, b) for a, one in enumerate(marked) for b, other in enumerate(found)),
        reverse=True,
    )
    overlaps, used = [], set[tuple[str, int]]()
    for overlap, a, b in pairs:
        if overlap >= MIN_IOU and not used & {("marked", a), ("found", b)}:
            used |= {("marked", a), ("found", b)}
            overlaps.append(overlap)
    return overlaps


def table(results: Sequence[DetectionResult]) -> str:
    """Format the results as Markdown, with the machine and the date."""
    machine = hardware()
    return "\n".join(
        [
            "| detector | found | recall | false | median overlap | ms a picture, p50 |",
            "|---|---|---|---|---|---|",
            *map(_row, results),
            "",
            f"{machine['cores']} cores of {machine['cpu']}, {date.today()}. "
            "Brackets: 95 % interval (Wilson).",
        ]
    )


def _row(one: DetectionResult) -> str:
    found = len(one.overlaps)
    recall = "no face is marked"
    if one.faces:
        low, high = binomtest(found, one.faces).proportion_ci(method="wilson")
        recall = f"{found / one.faces:.3f} [{low:.3f}, {high:.3f}]"
    overlap = f"{np.median(one.overlaps):.2f}" if found else ""
    milliseconds = f"{np.median(one.seconds) * 1000:.1f}"
    cells = (one.name, f"{found} of {one.faces}", recall, one.false, overlap, milliseconds)
    return f"| {' | '.join(map(str, cells))} |"


def _result(
    name: str, faces: int, pictures: list[tuple[list[float], int, float]]
) -> DetectionResult:
    overlaps = tuple(one for found, _, _ in pictures for one in found)
    false = sum(wrong for _, wrong, _ in pictures)
    return DetectionResult(name, faces, false, overlaps, tuple(one[2] for one in pictures))
