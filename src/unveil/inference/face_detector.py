"""Face detection: a picture -> its faces, upright and framed as in the training data.

The network is MediaPipe's BlazeFace (Bazarevsky et al., 2019); `blazeface/README.md` has its source
and licence. It finds faces of about 16 to 130 pixels, so it looks at several sizes of a picture.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unveil.common.errors import UserError
from unveil.data.decoding import Pixels
from unveil.inference.candidates import OVERLAP, Candidates, merge
from unveil.inference.face_crop import FRAME, Detection, box_of, fit_square
from unveil.inference.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime

NETWORK = Path(__file__).parent / "blazeface/face_detection.onnx"
DIGEST = "3e80387a6004c5a76f0c2fc3f524b724a6f33cd6e5c5e626b5048a2728251630"
"""The sha256 of the network's file."""
FACE_SIDE = 64
"""Pictures up to this many pixels per side are treated as cropped faces."""
MIN_FACE = 24
"""Smallest face in pixels: a smaller one shows too little of an expression."""
CELL = 32
"""The sides of the network's input are multiples of this many pixels."""
BORDERED = 96
"""Pictures up to this longer side get a black border: a face that fills them is then found."""
BORDER = 32
SMALLEST_BORDERED = 32
"""Smallest face in pixels of an input with a border that is not the largest: smaller ones are
imprecise, and found in the larger input."""
STEP = 2.0
"""Factor between the sizes at which the network sees a picture."""
FILLED, FILLED_SCORE = 0.75, 0.4
"""A face with this share of the shorter side needs a lower score only: it is the picture's."""


@dataclass(frozen=True)
class DetectorSettings:
    """Sizes at which the network sees a picture, and which faces count.

    The largest size is that at which a face of ``min_face`` pixels has ``smallest`` pixels, but
    its longer side has at most ``most`` pixels; each further one is smaller by `STEP`, down to
    ``least``. ``score`` is the lowest score of a face, 0 to 1.
    """

    score: float
    smallest: int
    most: int
    least: int
    min_face: int = MIN_FACE


STILL = DetectorSettings(score=0.5, smallest=16, most=1000, least=64)
MOVING = DetectorSettings(score=0.45, smallest=10, most=192, least=192)

MOST_ASKED = 2400
"""The longer side of the largest size if somebody asks for small faces, in pixels."""

Detect = Callable[[Pixels], list[Detection]]
"""Detects the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``, largest first."""


@dataclass(frozen=True)
class FaceDetector:
    """Called with a picture, it detects its faces, largest first; thread-safe."""

    settings: DetectorSettings = STILL

    def __call__(self, picture: Pixels) -> list[Detection]:
        """Detect the faces of a picture, gray ``(height, width)`` or RGB ``(h, w, 3)``."""
        least = self.settings.min_face
        squares = [
            fit_square(points[:4])
            for score, box, points in merge(list(_looks(_session(), picture, self.settings)))
            if score >= _lowest(box[2] - box[0], picture, self.settings)
        ]
        squares.sort(key=lambda one: one.side, reverse=True)
        return [Detection(box_of(one, picture), one) for one in squares if one.side >= least]

    def smallest_face(self, height: int, width: int) -> int:
        """Return the size in pixels from which faces are found in a picture of this size."""
        own, longest = self.settings, max(height, width)
        return max(own.min_face, round(longest * own.smallest / own.most))


def detector(settings: DetectorSettings = STILL) -> FaceDetector:
    """Return a detector. Raises ``UserError`` if the network's file was altered."""
    _session()
    return FaceDetector(settings)


def still(min_face: int | None) -> DetectorSettings:
    """Return the settings for pictures; ``min_face`` in pixels also for large pictures."""
    return STILL if min_face is None else replace(STILL, min_face=min_face, most=MOST_ASKED)


def network() -> bytes:
    """Return the network's file; raises ``UserError`` if its sha256 differs."""
    content = NETWORK.read_bytes() if NETWORK.is_file() else b""
    if sha256(content).hexdigest() != DIGEST:
        raise UserError(f"{NETWORK} is missing or was altered; `make install`")
    return content


def description() -> dict[str, Any]:
    """Return what another implementation of the detector needs, for JSON."""
    return {
        "digest": DIGEST,
        "cell": CELL,
        "bordered": BORDERED,
        "border": BORDER,
        "smallest_bordered": SMALLEST_BORDERED,
        "filled": FILLED,
        "filled_score": FILLED_SCORE,
        "overlap": OVERLAP,
        "step": STEP,
        "frame": FRAME,
    }


def is_face(picture: Pixels) -> bool:
    """Whether a picture has at most 64 pixels per side and is thus treated as a cropped face."""
    return bool(max(picture.shape[:2]) <= FACE_SIDE)


@cache
def _session() -> "onnxruntime.InferenceSession":
    # We parallelize over pictures; more threads would compete for the same cores.
    return open_session(network(), NETWORK, threads=1, keeps_memory=False)


def _lowest(side: float, picture: Pixels, settings: DetectorSettings) -> float:
    is_filled = side >= FILLED * min(picture.shape[:2])
    return FILLED_SCORE if is_filled else settings.score


def _looks(
    session: "onnxruntime.InferenceSession", picture: Pixels, settings: DetectorSettings
) -> Iterator[Candidates]:
    """Run the network at each level."""
    height, width = picture.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(picture))
    longest = max(height, width)
    # From the largest on, so that each is made from the one before, and quickly.
    for place, level in enumerate(_levels(longest, settings)):
        scale = level / longest
        size = max(1, round(width * scale)), max(1, round(height * scale))
        # By a whole factor first, which takes a third of the time in a browser.
        image = image.reduce(max(1, max(image.size) // max(size)))
        image = image.resize(size, Image.Resampling.BILINEAR)
        canvas, corner = _canvas(image, BORDER if level <= BORDERED else 0)
        scores, boxes, points = session.run(None, {"picture": canvas})
        is_coarse = place > 0 and level <= BORDERED
        least = SMALLEST_BORDERED if is_coarse else settings.smallest
        kept = boxes[:, 2] - boxes[:, 0] >= least
        scores, boxes, points = scores[kept], boxes[kept], points[kept]
        # Width and height are rounded on their own: each has its factor.
        factors = np.array([width, height]) / size
        corners = (boxes.reshape(-1, 2, 2) - corner) * factors
        yield Candidates(scores, corners.reshape(-1, 4), (points - corner) * factors)


def _levels(longest: int, settings: DetectorSettings) -> Iterator[int]:
    """Yield the longer sides of the picture as the network sees it, largest first."""
    level = min(settings.most, longest * settings.smallest / settings.min_face)
    while level > settings.least:
        yield round(level)
        level /= STEP
    yield settings.least


def _canvas(image: Image.Image, border: int) -> tuple[Pixels, NDArray[np.intp]]:
    """Return the network's input with the picture in its middle, and the picture's corner."""
    wide, high = (-(-(side + 2 * border) // CELL) * CELL for side in image.size)
    left, top = (wide - image.width) // 2, (high - image.height) // 2
    canvas = np.zeros((1, high, wide, 3), np.uint8)
    place = canvas[0, top : top + image.height, left : left + image.width]
    place[:] = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return canvas, np.array([left, top])
