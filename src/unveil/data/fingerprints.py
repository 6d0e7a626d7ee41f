"""Fingerprints and quality measures of one face: digest, perceptual hashes, brightness, sharpness.

Computes the columns of the manifest that depend on the decoded pixels.
"""

import hashlib
from typing import Any

import numpy as np
from PIL import Image
from scipy.fft import dctn

from unveil.data.decoding import DecodedImage, Pixels

SIDE, WAVES = 24, 16
"""A face is resized to 24 x 24 pixels; its 16 lowest cosine frequencies per axis are used."""
_DOWN, _ACROSS = np.divmod(np.arange(1, WAVES**2), WAVES)
LONGEST_FIRST = np.lexsort((_DOWN, _DOWN + _ACROSS)) + 1
MIRRORED = np.packbits(np.append(LONGEST_FIRST % WAVES % 2 == 1, False)).tobytes().hex()
"""The bits of a perceptual hash that mirroring flips: odd horizontal frequencies."""


def measure(content: bytes, decoded: DecodedImage) -> dict[str, Any]:
    """Return the manifest columns from ``sha256`` on, from the file content and the pixels."""
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
    """Return the sha256 of size and pixels, equal for exact duplicates whatever their format."""
    height, width = pixels.shape
    return hashlib.sha256(f"{width}x{height}".encode() + pixels.tobytes()).hexdigest()


def dhash(pixels: Pixels) -> str:
    """Return the difference hash: 64 bits, whether a pixel of 9x8 is brighter than the next.

    N. Krawetz (2013, "Kind of Like That"), as 16 hexadecimal digits.
    """
    small = _small(pixels, 9, 8)
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes().hex()


def phash(pixels: Pixels) -> str:
    """Return the perceptual hash: 255 bits, the signs of the lowest DCT coefficients, then a 0.

    The DCT hash of C. Zauner (2010, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 3.2.1) with more coefficients, and with the sign instead of the median, so that a
    mirrored face differs in known bits. 64 hexadecimal digits, lowest frequencies first.
    """
    waves = dctn(_small(pixels, SIDE, SIDE).astype(np.float64), norm="ortho")[:WAVES, :WAVES]
    # The threshold is above rounding errors, which would decide for flat or symmetric images.
    bits = waves.ravel()[LONGEST_FIRST] > 1e-3
    return np.packbits(np.append(bits, False)).tobytes().hex()


def quality(pixels: Pixels) -> dict[str, float]:
    """Return brightness (mean), contrast (standard deviation), both 0..255, and sharpness.

    Sharpness is the variance of the Laplacian.
    """
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
