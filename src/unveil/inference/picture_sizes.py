"""The sizes at which the face detector's network sees a picture, and which faces count.

The network finds faces of about 16 to 130 pixels of its input, so it looks at several sizes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from unveil.data.decoding import Pixels
from unveil.inference.candidates import Candidates
from unveil.inference.face_network import look, shrink

MIN_FACE = 24
"""Smallest face in pixels: a smaller one shows too little of an expression."""
BORDERED = 96
"""Pictures up to this longer side get a black border: a face that fills them is then found."""
BORDER = 32
SMALLEST_BORDERED = 32
"""Smallest face in pixels of an input with a border that is not the largest: smaller ones are
imprecise, and found in the larger input."""
STEP, FINE_STEP = 2.0, 2**0.5
"""Factors between the sizes at which the network sees a picture, and sees it more closely."""
FINE_FACE = 48
"""Size in pixels that the smallest face has in the largest input of the closer search."""
ENLARGED = 2400
"""Up to this longer side a picture is enlarged for the closer search, in pixels."""
TILE, SHARED = 1280, 192
"""The longest side of an input in pixels, and what neighbours share: more than a whole face.

Larger inputs would need memory for nothing: 1.1 GiB for 12 megapixels.
"""


@dataclass(frozen=True)
class DetectorSettings:
    """Sizes at which the network sees a picture, and which faces count.

    The largest size is that at which a face of ``min_face`` pixels has ``smallest`` pixels, but
    its longer side has at most ``most`` pixels; each further one is smaller by `STEP`, down to
    ``least``. ``score`` is the lowest score of a face, 0 to 1. With ``turned``, faces that lie on
    either side are searched for, too, which takes three times as long. A picture in which nothing
    is found is searched more closely, with a longer side of up to ``closest`` pixels; 0 for never.
    ``thorough`` does so without a limit of the places that get a second look.
    """

    score: float
    smallest: int
    most: int
    least: int
    closest: int = 0
    thorough: bool = False
    min_face: int = MIN_FACE
    turned: bool = False

    def reduced(self, factor: int) -> "DetectorSettings":
        """Return the settings for a picture that was reduced by ``factor``."""
        return replace(self, min_face=max(1, self.min_face // factor))

    def levels(self, longest: int) -> Iterator[int]:
        """Yield the longer sides of the inputs for a picture's longer side, largest first."""
        level = min(self.most, longest * self.smallest / self.min_face)
        while level > self.least:
            yield round(level)
            level /= STEP
        yield self.least

    def fine_levels(self, longest: int) -> Iterator[int]:
        """Yield those of the closer search."""
        level = min(self.closest, longest * FINE_FACE / self.min_face, max(longest, ENLARGED))
        while level > self.least:
            yield round(level)
            level /= FINE_STEP

    def smallest_face(self, longest: int) -> int:
        """Return the size in pixels from which faces are found in a picture of this longer side."""
        most = max(self.most, self.closest)
        return max(self.min_face, round(longest * self.smallest / most))


STILL = DetectorSettings(score=0.5, smallest=16, most=1000, least=64, closest=1000)
"""For pictures that a server or a browser answers: the closer search costs twice the first."""
FILES = replace(STILL, closest=4096, thorough=True)
"""For files, where finding small faces in large photographs may take seconds."""
MOVING = DetectorSettings(score=0.45, smallest=10, most=192, least=192)
"""For the frames of a video."""

MOST_ASKED = 2400
"""The longer side of the largest size if somebody asks for small faces, in pixels."""


def files(min_face: int | None) -> DetectorSettings:
    """Return the settings for files; ``min_face`` in pixels also for large pictures."""
    return FILES if min_face is None else replace(FILES, min_face=min_face, most=MOST_ASKED)


def description() -> dict[str, Any]:
    """Return what another implementation needs, for JSON."""
    return {
        "bordered": BORDERED,
        "border": BORDER,
        "smallest_bordered": SMALLEST_BORDERED,
        "step": STEP,
        "fine_step": FINE_STEP,
        "fine_face": FINE_FACE,
        "enlarged": ENLARGED,
        "tile": TILE,
        "shared": SHARED,
    }


def look_around(picture: Pixels, settings: DetectorSettings) -> Iterator[Candidates]:
    """Run the network at each level of a picture, gray ``(h, w)`` or RGB ``(h, w, 3)``."""
    levels = list(settings.levels(max(picture.shape[:2])))
    for level, candidates, factor in _at(picture, levels):
        is_coarse = level < levels[0] and level <= BORDERED
        least = SMALLEST_BORDERED if is_coarse else settings.smallest
        yield candidates.at_least(least * factor)


def look_closely(picture: Pixels, settings: DetectorSettings) -> Iterator[Candidates]:
    """Run the network at each level of the closer search."""
    for _, candidates, factor in _at(picture, settings.fine_levels(max(picture.shape[:2]))):
        yield candidates.at_least(settings.smallest * factor)


def _at(picture: Pixels, levels: Iterable[int]) -> Iterator[tuple[int, Candidates, float]]:
    """Run the network at levels; yield each with its candidates and the width's factor."""
    height, width = picture.shape[:2]
    image, longest = Image.fromarray(np.ascontiguousarray(picture)), max(height, width)
    # From the largest on, so that each is made from the one before, and quickly.
    for level in levels:
        scale = level / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = shrink(image, size)
        # Width and height are rounded on their own: each has its factor.
        factors = np.array([width, height]) / size
        border = BORDER if level <= BORDERED else 0
        for corner in _tiles(size):
            part = image if corner == (0, 0, *size) else image.crop(corner)
            yield level, look(part, border, factors).moved(corner[:2] * factors), factors[0]


def _tiles(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, right and bottom of the parts of an image that the network sees."""
    across, down = (parts(length) for length in size)
    for top, bottom in down:
        for left, right in across:
            yield left, top, right, bottom


def parts(length: int) -> list[tuple[int, int]]:
    """Return start and end of parts of a side: at most `TILE` pixels, `SHARED` with the next."""
    count = max(1, -(-(length - SHARED) // (TILE - SHARED)))
    own = -(-(length + (count - 1) * SHARED) // count)
    starts = [min(at * (own - SHARED), length - own) for at in range(count)]
    return [(start, start + own) for start in starts]
