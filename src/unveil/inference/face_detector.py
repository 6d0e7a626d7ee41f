"""Face detection: a picture -> its faces, upright and framed as in the training data.

The network is MediaPipe's BlazeFace (Bazarevsky et al., 2019); `blazeface/README.md` has its source
and licence. It finds faces of about 16 to 130 pixels, so it looks at several sizes of a picture.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
from PIL import Image

from unveil.data.decoding import Pixels
from unveil.inference import picture_sizes, tint
from unveil.inference.candidates import OVERLAP, Candidates, Values, merge
from unveil.inference.face_crop import FRAME, Detection, Square, box_of, fit_square, part_of
from unveil.inference.face_network import CELL, DIGEST, look, session, shrink
from unveil.inference.picture_sizes import STILL, DetectorSettings, look_around, look_closely

FACE_SIDE = 64
"""Pictures up to this many pixels per side are treated as cropped faces."""
INSIDE = 0.4
"""Share of a face's side up to which a much smaller face is a part of it."""
FILLED, FILLED_SCORE = 0.75, 0.4
"""A face with this share of the shorter side needs a lower score only: it is the picture's."""


@dataclass(frozen=True)
class Closeup:
    """How the network sees the surroundings of a square.

    They are ``room`` times as large, shown with ``size`` pixels and a black ``border`` of at least
    so many pixels. ``share`` of the settings' score is enough for a known face.
    """

    room: float
    size: int
    border: int
    share: float


SECOND_LOOKS = tuple(Closeup(room=1.2, size=size, border=16, share=0) for size in (64, 48))
"""At a face with a low score, which counts if the mean of its scores is `SURE` here. Its place is
that of the first look that shows it."""
SURE, SURER = 0.4, 0.6
"""`SURER` is for those of a closer search that rank below `MOST_CLOSELY`: there are hundreds."""
MOST_DOUBTFUL, MOST_CLOSELY = 8, 32
"""The most faces of a picture that get a second look, those with the highest scores; and of a
picture that is searched more closely. In files (``thorough``) all others get one, too."""

Detect = Callable[[Pixels], list[Detection]]
"""Detects the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``, largest first."""


@dataclass(frozen=True)
class FaceDetector:
    """Called with a picture, it detects its faces, largest first; thread-safe."""

    settings: DetectorSettings = STILL

    def __call__(self, picture: Pixels) -> list[Detection]:
        """Detect the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``."""
        least, found = self.settings.min_face, self._searched(picture, self._around)
        if not found and self.settings.closest:
            found = self._searched(picture, self._closely)
        found.sort(key=lambda one: one.side, reverse=True)
        return [Detection(box_of(one, picture.shape), one) for one in found if one.side >= least]

    def _searched(self, picture: Pixels, search: Callable[[Pixels], list[Square]]) -> list[Square]:
        upright = search(picture)
        return self._turned(picture, upright, search) if self.settings.turned else upright

    def _turned(
        self, picture: Pixels, upright: list[Square], search: Callable[[Pixels], list[Square]]
    ) -> list[Square]:
        """Find each face with the side of the picture up at which it is most nearly upright."""
        seen = [(abs(one.angle), one) for one in upright]
        for quarters in (1, 3):
            for one in search(np.rot90(picture, quarters)):
                seen.append((abs(one.angle), one.turned(quarters, picture.shape)))
        found = list[Square]()
        for _, one in sorted(seen, key=lambda pair: pair[0]):
            if not any(is_same_face(one, other) for other in found):
                found.append(one)
        return found

    def _around(self, picture: Pixels) -> list[Square]:
        found, doubtful = list[Square](), list[Square]()
        for score, box, square in _merged(look_around(picture, self.settings)):
            is_sure = score >= _lowest(box[2] - box[0], picture, self.settings)
            if not any(_is_part(square, one) for one in found):
                (found if is_sure else doubtful).append(square)
        self._add_confirmed(found, [(one, SURE) for one in doubtful[:MOST_DOUBTFUL]], picture)
        return found

    def _closely(self, picture: Pixels) -> list[Square]:
        found = list[Square]()
        closely = (one for _, _, one in _merged(look_closely(picture, self.settings)))
        sure = chain(repeat(SURE, MOST_CLOSELY), repeat(SURER) if self.settings.thorough else ())
        self._add_confirmed(found, zip(closely, sure, strict=False), picture)
        return found

    def _add_confirmed(
        self, found: list[Square], doubtful: Iterable[tuple[Square, float]], picture: Pixels
    ) -> None:
        """Add the faces of which the mean score of the second looks is at least the given one."""
        for square, sure in doubtful:
            if any(_is_part(square, one) for one in found):
                continue
            looks = [self._closest(picture, square, closeup) for closeup in SECOND_LOOKS]
            seen = next((one for _, one in looks if one), None)
            is_new = seen and not any(is_same_face(seen, one) for one in found)
            if seen and is_new and sum(score for score, _ in looks) >= sure * len(looks):
                found.append(seen)

    def near(self, picture: Pixels, square: Square, closeup: Closeup) -> Square | None:
        """Detect the face that is in or near a square; ``None`` if there is none."""
        score, found = self._closest(picture, square, closeup)
        return found if score >= self.settings.score * closeup.share else None

    def _closest(
        self, picture: Pixels, square: Square, closeup: Closeup
    ) -> tuple[float, Square | None]:
        """Return score and square of the best face in or near a square, or 0 and ``None``."""
        height, width = picture.shape[:2]
        reach = square.side * closeup.room / 2
        left, right = part_of(square.x, reach, width)
        top, bottom = part_of(square.y, reach, height)
        scale = closeup.size / (2 * reach)
        size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
        image = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right]))
        factors = np.array([right - left, bottom - top]) / size
        looked = look(shrink(image, size), closeup.border, factors).moved(np.array([left, top]))
        seen = ((score, one) for score, _, one in _merged([looked]) if is_same_face(one, square))
        return next(seen, (0.0, None))

    def smallest_face(self, height: int, width: int) -> int:
        """Return the size in pixels from which faces are found in a picture of this size."""
        return self.settings.smallest_face(max(height, width))


def detector(settings: DetectorSettings = STILL) -> FaceDetector:
    """Return a detector. Raises ``UserError`` if the network's file was altered."""
    session()
    return FaceDetector(settings)


def description() -> dict[str, Any]:
    """Return what another implementation of the detector needs, for JSON."""
    return {
        **picture_sizes.description(),
        "digest": DIGEST,
        "cell": CELL,
        "filled": FILLED,
        "inside": INSIDE,
        "filled_score": FILLED_SCORE,
        "most_doubtful": MOST_DOUBTFUL,
        "most_closely": MOST_CLOSELY,
        "second_looks": [asdict(one) for one in SECOND_LOOKS],
        "sure": SURE,
        "gray": tint.GRAY,
        "tint_scale": tint.SCALE,
        "tint_factors": tint.FACTORS,
        "overlap": OVERLAP,
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


def _merged(looks: Iterable[Candidates]) -> Iterator[tuple[float, Values, Square]]:
    """Yield score, box ``(4,)`` and square of each face, the highest score first."""
    if candidates := list(looks):
        for score, box, points in merge(candidates):
            yield score, box, fit_square(points[:4])
