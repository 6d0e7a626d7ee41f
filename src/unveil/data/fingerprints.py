"""pixels -> what is measured of one face: its digest, its hashes, how bright and sharp it is.

Takes decoded pixels, makes the columns of the manifest that come from them.
"""

import hashlib
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import dctn

from unveil.data.decoding import Decoded, Pixels

SIDE, WAVES = 24, 16
"""A face is made 24 pixels wide and high; of its waves the 16 longest each way are looked at."""
_DOWN, _ACROSS = np.divmod(np.arange(1, WAVES**2), WAVES)
LONGEST_FIRST = np.lexsort((_DOWN, _DOWN + _ACROSS)) + 1
MIRRORED = np.packbits(np.append(LONGEST_FIRST % WAVES % 2 == 1, False)).tobytes().hex()
"""The bits of a perceptual hash that a mirror turns: those of waves with an odd count across."""


def facts(content: bytes, decoded: Decoded) -> dict[str, Any]:
    """Measure one face, from its file and its pixels; the columns from ``sha256`` on."""
    height, width = decoded.pixels.shape
    return {
        "sha256": digest(decoded.pixels),
        "dhash": dhash(decoded.pixels),
        "phash": phash(decoded.pixels),
        "width": width,
        "height": height,
        "mode": decoded.mode,
        **quality(decoded.pixels),
        "bytes_per_pixel": len(content) / decoded.pixels.size,
    }


def digest(pixels: Pixels) -> str:
    """Give the sha256 of sides and pixels, equal for exact twins whatever their files are."""
    height, width = pixels.shape
    return hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()


def dhash(pixels: Pixels) -> str:
    """Hash what a face looks like: 64 bits, each says whether a pixel of 9x8 outshines the next.

    The difference hash of N. Krawetz (2013, "Kind of Like That"), as 16 hexadecimal digits.
    """
    small = _small(pixels, 9, 8)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def phash(pixels: Pixels) -> str:
    """Hash what a face looks like: 255 bits, the signs of its longest cosine waves, then a 0.

    The hash of C. Zauner (2010, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 3.2.1) with more waves and the sign instead of the median, so that a mirrored face
    differs in known bits. 64 hexadecimal digits, the longest waves first.
    """
    waves = dctn(_small(pixels, SIDE, SIDE).astype(np.float64), norm="ortho")[:WAVES, :WAVES]
    # Above rounding, which would decide for what is flat or symmetric.
    bits = waves.ravel()[LONGEST_FIRST] > 1e-3
    return np.packbits(np.append(bits, False)).tobytes().hex()


def quality(pixels: Pixels) -> dict[str, float]:
    """Measure mean, standard deviation (0..255) and variance of the Laplacian, a blur measure."""
    values = pixels.astype(np.float32)
    inner = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return {
        "brightness": float(values.mean()),
        "contrast": float(values.std()),
        "sharpness": float((around - 4 * inner).var()),
    }


def _small(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
