"""Face detection: a picture -> its faces, upright and framed as in the training data.

The network is MediaPipe's BlazeFace (Bazarevsky et al., 2019); `blazeface/README.md` has its source
and licence. It finds faces of about 16 to 130 pixels, so it looks at several sizes of a picture.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from unveil.data.decoding import Pixels
from unveil.inference import tint
from unveil.inference.candidates import OVERLAP, Candidates, merge
from unveil.inference.face_crop import FRAME, Detection, Square, box_of, fit_square, part_of
from unveil.inference.face_network import CELL, DIGEST, look, session, shrink

FACE_SIDE = 64
"""Pictures up to this many pixels per side are treated as cropped faces."""
MIN_FACE = 24
"""Smallest face in pixels: a smaller one shows too little of an expression."""
BORDERED = 96
"""Pictures up to this longer side get a black border: a face that fills them is then found."""
BORDER = 32
SMALLEST_BORDERED = 32
"""Smallest face in pixels of an input with a border that is not the largest: smaller ones are
imprecise, and found in the larger input."""
STEP = 2.0
"""Factor between the sizes at which the network sees a picture."""
INSIDE = 0.4
"""Share of a face's side up to which a much smaller face is a part of it."""
FILLED, FILLED_SCORE = 0.75, 0.4
"""A face with this share of the shorter side needs a lower score only: it is the picture's."""


@dataclass(frozen=True)
class DetectorSettings:
    """Sizes at which the network sees a picture, and which faces count.

    The largest size is that at which a face of ``min_face`` pixels has ``smallest`` pixels, but
    its longer side has at most ``most`` pixels; each further one is smaller by `STEP`, down to
    ``least``. ``score`` is the lowest score of a face, 0 to 1. With ``turned``, faces that lie on
    either side are searched for, too, which takes three times as long.
    """

    score: float
    smallest: int
    most: int
    least: int
    min_face: int = MIN_FACE
    turned: bool = False

    def reduced(self, factor: int) -> "DetectorSettings":
        """Return the settings for a picture that was reduced by ``factor``."""
        return replace(self, min_face=max(1, self.min_face // factor))


STILL = DetectorSettings(score=0.5, smallest=16, most=1000, least=64)
MOVING = DetectorSettings(score=0.45, smallest=10, most=192, least=192)

MOST_ASKED = 2400
"""The longer side of the largest size if somebody asks for small faces, in pixels."""


@dataclass(frozen=True)
class Closeup:
    """How the network sees the surroundings of a square.

    They are ``room`` times as large, shown with ``size`` pixels and a black ``border`` of at least
    so many pixels. ``share`` of the settings' score is enough for a face.
    """

    room: float
    size: int
    border: int
    share: float


SECOND_LOOK = Closeup(room=1.2, size=64, border=16, share=1.0)
"""At a face with a low score, which counts if its score is high here."""
MOST_DOUBTFUL = 8
"""The most faces of a picture that get a second look, those with the highest scores."""

Detect = Callable[[Pixels], list[Detection]]
"""Detects the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``, largest first."""


@dataclass(frozen=True)
class FaceDetector:
    """Called with a picture, it detects its faces, largest first; thread-safe."""

    settings: DetectorSettings = STILL

    def __call__(self, picture: Pixels) -> list[Detection]:
        """Detect the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``."""
        least, found = self.settings.min_face, self._squares(picture)
        if self.settings.turned:
            found = self._turned(picture, found)
        found.sort(key=lambda one: one.side, reverse=True)
        return [Detection(box_of(one, picture.shape), one) for one in found if one.side >= least]

    def _turned(self, picture: Pixels, upright: list[Square]) -> list[Square]:
        """Find each face with the side of the picture up at which it is most nearly upright."""
        seen = [(abs(one.angle), one) for one in upright]
        for quarters in (1, 3):
            for one in self._squares(np.rot90(picture, quarters)):
                seen.append((abs(one.angle), one.turned(quarters, picture.shape)))
        found = list[Square]()
        for _, one in sorted(seen, key=lambda pair: pair[0]):
            if not any(is_same_face(one, other) for other in found):
                found.append(one)
        return found

    def _squares(self, picture: Pixels) -> list[Square]:
        found, doubtful = list[Square](), list[Square]()
        for score, box, points in merge(list(_looks(picture, self.settings))):
            is_sure = score >= _lowest(box[2] - box[0], picture, self.settings)
            square = fit_square(points[:4])
            if not any(_is_part(square, one) for one in found):
                (found if is_sure else doubtful).append(square)
        for square in doubtful[:MOST_DOUBTFUL]:
            seen = self.near(picture, square, SECOND_LOOK)
            if seen and not any(is_same_face(seen, one) for one in found):
                found.append(seen)
        return found

    def near(self, picture: Pixels, square: Square, closeup: Closeup) -> Square | None:
        """Detect the face that is in or near a square; ``None`` if there is none."""
        height, width = picture.shape[:2]
        reach = square.side * closeup.room / 2
        left, right = part_of(square.x, reach, width)
        top, bottom = part_of(square.y, reach, height)
        scale = closeup.size / (2 * reach)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
        factors = np.array([right - left, bottom - top]) / size
        for score, _, points in merge([look(shrink(image, size), closeup.border, factors)]):
            found = fit_square(points[:4] + np.array([left, top]))
            if score >= self.settings.score * closeup.share and is_same_face(found, square):
                return found
        return None

    def smallest_face(self, height: int, width: int) -> int:
        """Return the size in pixels from which faces are found in a picture of this size."""
        own, longest = self.settings, max(height, width)
        return max(own.min_face, round(longest * own.smallest / own.most))


def detector(settings: DetectorSettings = STILL) -> FaceDetector:
    """Return a detector. Raises ``UserError`` if the network's file was altered."""
    session()
    return FaceDetector(settings)


def still(min_face: int | None) -> DetectorSettings:
    """Return the settings for pictures; ``min_face`` in pixels also for large pictures."""
    return STILL if min_face is None else replace(STILL, min_face=min_face, most=MOST_ASKED)


def description() -> dict[str, Any]:
    """Return what another implementation of the detector needs, for JSON."""
    return {
        "digest": DIGEST,
        "cell": CELL,
        "bordered": BORDERED,
        "border": BORDER,
        "smallest_bordered": SMALLEST_BORDERED,
        "filled": FILLED,
        "inside": INSIDE,
        "filled_score": FILLED_SCORE,
        "most_doubtful": MOST_DOUBTFUL,
        "second_look": asdict(SECOND_LOOK),
        "gray": tint.GRAY,
        "tint_scale": tint.SCALE,
        "tint_factors": tint.FACTORS,
        "overlap": OVERLAP,
        "step": STEP,
        "frame": FRAME,
    }


def is_face(picture: Pixels) -> bool:
    """Whether a picture has at most 64 pixels per side and is thus treated as a cropped face."""
    return bool(max(picture.shape[:2]) <= FACE_SIDE)


def is_same_face(one: Square, other: Square) -> bool:
    """Whether two squares are those of one face: neither far apart nor of other sizes."""
    near = max(abs(one.x - other.x), abs(one.y - other.y)) < max(one.side, other.side) / 2
    return near and 0.5 < one.side / other.side < 2


def _is_part(square: Square, other: Square) -> bool:
    """Whether a square is inside a face with a higher score.

    An eye in a large picture can look like a small face.
    """
    distance = math.hypot(square.x - other.x, square.y - other.y)
    return square.side * 2 <= other.side and distance < INSIDE * other.side


def _lowest(side: float, picture: Pixels, settings: DetectorSettings) -> float:
    is_filled = side >= FILLED * min(picture.shape[:2])
    return FILLED_SCORE if is_filled else settings.score


def _looks(picture: Pixels, settings: DetectorSettings) -> Iterator[Candidates]:
    """Run the network at each level."""
    height, width = picture.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(picture))
    longest = max(height, width)
    # From the largest on, so that each is made from the one before, and quickly.
    for place, level in enumerate(_levels(longest, settings)):
        scale = level / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = shrink(image, size)
        # Width and height are rounded on their own: each has its factor.
        factors = np.array([width, height]) / size
        is_coarse = place > 0 and level <= BORDERED
        least = SMALLEST_BORDERED if is_coarse else settings.smallest
        yield look(image, BORDER if level <= BORDERED else 0, factors).at_least(least * factors[0])


def _levels(longest: int, settings: DetectorSettings) -> Iterator[int]:
    """Yield the longer sides of the picture as the network sees it, largest first."""
    level = min(settings.most, longest * settings.smallest / settings.min_face)
    while level > settings.least:
        yield round(level)
        level /= STEP
    yield settings.least
