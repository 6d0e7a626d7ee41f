"""The network of the face detector, and how it sees a picture or a part of one.

It is MediaPipe's BlazeFace (Bazarevsky et al., 2019); `blazeface/README.md` has its source and
licence. It finds faces of about 16 to 130 pixels of its input.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unveil.common.errors import UserError
from unveil.data.decoding import Pixels
from unveil.inference.candidates import Candidates
from unveil.inference.onnx_session import open_session
from unveil.inference.tint import tinted

if TYPE_CHECKING:
    import onnxruntime

NETWORK = Path(__file__).parent / "blazeface/face_detection.onnx"
DIGEST = "6904e244ee15c517e7c97029c90f608196ec2765b6a912f7ee819c7e7070a43d"
"""The sha256 of the network's file."""
CELL = 32
"""The sides of the network's input are multiples of this many pixels."""


def network() -> bytes:
    """Return the network's file; raises ``UserError`` if its sha256 differs."""
    content = NETWORK.read_bytes() if NETWORK.is_file() else b""
    if sha256(content).hexdigest() != DIGEST:
        raise UserError(f"{NETWORK} is missing or was altered; `make install`")
    return content


@cache
def session() -> "onnxruntime.InferenceSession":
    """Load the network once. Raises ``UserError`` as `network`."""
    # We parallelize over pictures; more threads would compete for the same cores.
    return open_session(network(), NETWORK, threads=1, keeps_memory=False)


def shrink(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize an image to ``size``, width and height in pixels."""
    # By a whole factor first, which takes a third of the time in a browser.
    image = image.reduce(max(1, max(image.size) // max(size)))
    return image.resize(size, Image.Resampling.BILINEAR)


def look(image: Image.Image, border: int, factors: NDArray[np.float64]) -> Candidates:
    """Run the network on an image with a black border of at least ``border`` pixels.

    Coordinates are multiplied by ``factors``, one for x and one for y.
    """
    canvas, corner = _canvas(image, border)
    scores, boxes, points = session().run(None, {"picture": canvas})
    corners = (boxes.reshape(-1, 2, 2) - corner) * factors
    return Candidates(scores, corners.reshape(-1, 4), (points - corner) * factors)


def _canvas(image: Image.Image, border: int) -> tuple[Pixels, NDArray[np.intp]]:
    """Return the network's input with the picture in its middle, and the picture's corner."""
    wide, high = (-(-(side + 2 * border) // CELL) * CELL for side in image.size)
    left, top = (wide - image.width) // 2, (high - image.height) // 2
    canvas = np.zeros((1, high, wide, 3), np.uint8)
    place = canvas[0, top : top + image.height, left : left + image.width]
    place[:] = tinted(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
    return canvas, np.array([left, top])
