"""Gray pixels -> the colour of skin: the face detector was trained on photographs in colour.

It finds many more faces in gray pictures, and in gray parts of pictures, if they are tinted.
"""

import numpy as np
from numpy.typing import NDArray

from unveil.data.decoding import Pixels

GRAY = 16
"""Differences between the highest and the lowest colour of a pixel below which it is tinted; the
less, the more."""
SCALE = 2048
FACTORS = (19, -6, -23)
"""How much red, green and blue change, in parts of `SCALE` for each step below `GRAY`."""


def tinted(picture: Pixels) -> Pixels:
    """Tint the gray pixels of an RGB picture ``(height, width, 3)``; those with colour stay."""
    red, green, blue = (picture[..., channel] for channel in range(3))
    low, high = (
        choose(choose(red, green), blue).astype(np.int32) for choose in (np.minimum, np.maximum)
    )
    steps: NDArray[np.int32] = np.maximum(GRAY - (high - low), 0)
    result = np.empty_like(picture)
    for channel, factor in enumerate(FACTORS):
        changed = picture[..., channel] * (SCALE + factor * steps) // SCALE
        result[..., channel] = np.minimum(changed, 255)
    return result
