"""The one decoder, for training, evaluation and serving alike.

Takes the bytes of an image file and gives a gray ``uint8`` array. The limits hold before a pixel
is decoded, so that a small file which claims to be huge costs nothing.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

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
    """What an image may be: bytes as stored, pixels in all, pixels on its shorter side."""

    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    min_side: int = 16


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
    if not content:
        raise UnreadableImage("empty file")
    if len(content) > limits.max_bytes:
        raise UnreadableImage(f"{len(content)} bytes, more than {limits.max_bytes}")
    try:
        with warnings.catch_warnings():
            # Pillow only warns of a bomb; our own limit on the next line refuses it.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _refuse_by_header(image, limits)
                mode = image.mode
                gray = _gray(_upright(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {limits.max_pixels} pixels") from None
    except _DAMAGE as error:
        raise UnreadableImage(f"damaged: {str(error)[:80]}") from None
    return Decoded(pixels=gray, mode=mode)


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
