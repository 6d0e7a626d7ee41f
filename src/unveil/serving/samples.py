"""Drawn sample pictures, to try the page without a camera; the same at each start."""

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
from PIL import Image

from unveil.data.synthetic import draw_face

_WIDTH, _HEIGHT = 480, 360
_SIDE, _GAP = 144, 12
"""Pixels of a face among others, and between two."""
SAMPLES = {
    "happy": (("happy", 159),),
    "neutral": (("neutral", 596),),
    "sad": (("sad", 33),),
    "surprise": (("surprise", 25),),
    "unsure": (("sad", 17),),
    "several": (("surprise", 25), ("sad", 33), ("happy", 159)),
}
"""For each picture the class and the seed of its faces.

The face detector finds them all, and the starter network names the class of all but two: it names
no drawn face neutral, because its answers with this class are too often wrong.
"""


@cache
def png(name: str) -> bytes:
    """Draw a picture as a PNG file; ``name`` is a key of ``SAMPLES``."""
    faces = [_face(label, seed) for label, seed in SAMPLES[name]]
    if len(faces) == 1:
        picture = _scene(faces, side=_HEIGHT, tops=(0,))
    else:
        picture = _scene(faces, side=_SIDE, tops=(60, 100, 40))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _scene(faces: Sequence[Image.Image], *, side: int, tops: Sequence[int]) -> Image.Image:
    """Place the faces side by side, each with its top edge at one of ``tops``."""
    # Of the tone of a face's own background, so that its edges do not look like those of a face.
    tone = int(np.median([np.asarray(face)[:, (0, -1)] for face in faces]))
    picture = Image.new("L", (_WIDTH, _HEIGHT), tone)
    left = (_WIDTH - len(faces) * (side + _GAP) + _GAP) // 2
    for face, top in zip(faces, tops, strict=True):
        picture.paste(face.resize((side, side), Image.Resampling.BICUBIC), (left, top))
        left += side + _GAP
    return picture


def _face(label: str, seed: int) -> Image.Image:
    return Image.fromarray(draw_face(label, np.random.default_rng(seed)))
