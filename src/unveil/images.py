"""The one decoder, for training, evaluation and serving alike.

Takes the bytes of an image file and gives a gray ``uint8`` array. The limits hold before a pixel
is decoded, so that a small file which claims to be huge, or asks for much work, costs nothing.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from unveil.containers import MOST_FRAMES, MOST_NOTES, Counts, counted

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm"}
)

Pixels = NDArray[np.uint8]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""

_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, MemoryError, ArithmeticError),
    *(LookupError, TypeError, AttributeError, struct.error, zlib.error),
)
"""What Pillow's decoders raise on damaged files, each in its own way."""


class UnreadableImage(ValueError):
    """The bytes are no image we accept; the message is the reason, in a few words."""


@dataclass(frozen=True)
class Limits:
    """What an image may be: bytes as stored, pixels in all and on its sides, and of what parts.

    ``max_scans`` are a JPEG's: the usual progressive one has 10. ``max_parts`` are segments,
    chunks, blocks and tags: each costs time, as a pixel does. ``max_notes`` are those that cost
    more, by their names.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    min_side: int = 16
    max_side: int = 20_000
    max_scans: int = 100
    max_parts: int = 100_000
    max_notes: tuple[tuple[str, int], ...] = MOST_NOTES


@dataclass(frozen=True)
class Measured:
    """An image before it is decoded: its size in pixels, its scans, its bytes."""

    width: int
    height: int
    scans: int
    content: int


@dataclass(frozen=True)
class Decoded:
    """A decoded face: ``pixels`` of shape ``(height, width)`` in 0..255, and the stored mode."""

    pixels: Pixels
    mode: str


def decode(content: bytes, limits: Limits = Limits()) -> Decoded:
    """Decode one still image, upright and gray.

    Transparent pixels lie on black, 16-bit values are scaled to 0..255, EXIF rotation is applied
    and all other metadata left behind. Raises ``UnreadableImage`` with the reason.
    """
    _counted(content, limits)
    with _refusing(limits), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _refuse_by_header(image, limits)
        mode = image.mode
        return Decoded(pixels=_gray(_upright(image)), mode=mode)


def measured(content: bytes, limits: Limits = Limits()) -> Measured:
    """Say how large an image is, without decoding it; raises ``UnreadableImage`` as ``decode``."""
    counts = _counted(content, limits)
    with _refusing(limits), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _refuse_by_header(image, limits)
        return Measured(*image.size, scans=counts.scans, content=len(content))


def resize(pixels: Pixels, size: int) -> Pixels:
    """Give the face as a ``(size, size)`` square: the centre is kept where it was not square."""
    if pixels.shape == (size, size):
        return pixels
    image = ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def refuse_size(width: int, height: int, limits: Limits) -> None:
    """Raise ``UnreadableImage`` where a picture is larger or smaller than it may be."""
    if width * height > limits.max_pixels:
        raise UnreadableImage(f"{width}x{height} pixels, more than {limits.max_pixels} in all")
    if min(width, height) < limits.min_side:
        raise UnreadableImage(f"{width}x{height} pixels, a side under {limits.min_side}")
    if max(width, height) > limits.max_side:
        raise UnreadableImage(f"{width}x{height} pixels, a side over {limits.max_side}")


@contextmanager
def _refusing(limits: Limits) -> Iterator[None]:
    """Turn whatever Pillow raises into ``UnreadableImage``."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a bomb; our own limit refuses it.
            warnings.simplefilter("ignore")
            yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {limits.max_pixels} pixels") from None
    except _DAMAGE as error:
        raise UnreadableImage(f"damaged: {str(error)[:80]}") from None


def _counted(content: bytes, limits: Limits) -> Counts:
    """Count what a file is made of; one that asks for too much work is refused unopened."""
    if not content:
        raise UnreadableImage("empty file")
    if len(content) > limits.max_bytes:
        raise UnreadableImage(f"{len(content)} bytes, more than {limits.max_bytes}")
    counts = counted(content, limits.max_parts)
    if counts.frames > 1:
        more = " or more" if counts.frames == MOST_FRAMES else ""
        raise UnreadableImage(f"{counts.frames} frames{more}, not a still image")
    if counts.scans > limits.max_scans:
        raise UnreadableImage(f"{counts.scans} scans, more than {limits.max_scans}")
    if counts.parts > limits.max_parts:
        raise UnreadableImage(f"more than {limits.max_parts} segments, chunks or tags")
    for name, most in limits.max_notes:
        if counts.notes[name] > most:
            raise UnreadableImage(f"{counts.notes[name]} {name}, more than {most}")
    return counts


def _refuse_by_header(image: Image.Image, limits: Limits) -> None:
    refuse_size(*image.size, limits)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnreadableImage(f"{frames} frames, not a still image")


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it writes the other tags anew, and fails on odd ones.
    image.load()
    turn = _TURNS.get(image.getexif().get(0x0112, 1))
    return image if turn is None else image.transpose(turn)


def _gray(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        return np.clip(np.asarray(image, dtype=np.int64) // 257, 0, 255).astype(np.uint8)
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    return np.asarray(image.convert("L"))
