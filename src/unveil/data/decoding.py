"""The image decoder for training, evaluation and serving.

Decodes an image file to a ``uint8`` array, gray or RGB. Limits are checked before decoding, which
protects against decompression bombs and files that are expensive to decode.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from unveil.data import unread_formats
from unveil.data.image_limits import MAX_FRAMES, MAX_METADATA, PartCounts, count_parts

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".gif",
        ".pgm",
        ".ppm",
    }
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
"""Transposition to upright, by EXIF orientation."""
_TURNED = (5, 6, 7, 8)
"""Orientations that swap width and height."""

_DAMAGE = (
    *(OSError, ValueError, SyntaxError, EOFError, MemoryError, ArithmeticError),
    *(LookupError, TypeError, AttributeError, struct.error, zlib.error),
)
"""Exceptions that Pillow's decoders raise for damaged files."""


class UnreadableImage(ValueError):
    """The bytes are not an accepted image; the message is a short reason."""


@dataclass(frozen=True)
class Limits:
    """Limits of an image: file size in bytes, total pixels, pixels per side, scans and parts.

    ``max_scans`` is for JPEG: a usual progressive one has 10. ``max_parts`` counts segments,
    chunks, blocks and tags, each of which costs decoding time. ``max_metadata`` has the limit of
    each kind of metadata that costs more, by name.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 25_000_000
    min_side: int = 16
    max_side: int = 20_000
    max_scans: int = 100
    max_parts: int = 100_000
    max_metadata: tuple[tuple[str, int], ...] = MAX_METADATA

    def with_pixels(self, count: int) -> "Limits":
        """Return the limits with other total pixels; a file may have a byte for each of them."""
        return replace(self, max_pixels=count, max_bytes=max(self.max_bytes, count))


@dataclass(frozen=True)
class ImageInfo:
    """An image before decoding: width and height in pixels, scans, and file size in bytes."""

    width: int
    height: int
    scans: int
    content: int


@dataclass(frozen=True)
class DecodedImage:
    """A decoded picture in 0..255, and the stored mode.

    ``pixels`` has the shape ``(height, width)``, or ``(height, width, 3)`` if RGB was asked for and
    the file has colours. ``shape`` is height and width of the file, upright; ``pixels`` may be
    reduced by ``factor``, rounded up.
    """

    pixels: Pixels
    mode: str
    shape: tuple[int, int]
    factor: int = 1


def decode(
    content: bytes,
    limits: Limits = Limits(),
    *,
    in_colour: bool = False,
    enough: int | None = None,
) -> DecodedImage:
    """Decode one still image to upright pixels, gray or RGB.

    Transparency is composited on black, 16-bit values are scaled to 0..255, the EXIF orientation
    is applied and other metadata is ignored. A JPEG file is reduced by 2, 4 or 8 while it is
    decoded if ``enough`` pixels remain of its longer side. Raises ``UnreadableImage`` with the
    reason.
    """
    _check_structure(content, limits)
    with _unreadable_errors(limits), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        mode, (width, height) = image.mode, image.size
        _check_header(image, limits)
        if enough is not None and image.format == "JPEG":
            longer = max(width, height)
            image.draft(None, (width * enough // longer or 1, height * enough // longer or 1))
        factor = round(max(width, height) / max(image.size))
        pixels = _converted(_upright(image), in_colour=in_colour)
        shape = (width, height) if _orientation(image) in _TURNED else (height, width)
        return DecodedImage(pixels, mode, shape, factor)


def inspect(content: bytes, limits: Limits = Limits()) -> ImageInfo:
    """Return the size of an image without decoding it; raises ``UnreadableImage`` as ``decode``."""
    counts = _check_structure(content, limits)
    with _unreadable_errors(limits), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_header(image, limits)
        return ImageInfo(*image.size, scans=counts.scans, content=len(content))


def from_image(image: Image.Image, limits: Limits = Limits(), *, in_colour: bool = False) -> Pixels:
    """Return the upright pixels of an open image; raises ``UnreadableImage`` as ``decode``."""
    with _unreadable_errors(limits):
        _check_header(image, limits)
        return _converted(_upright(image), in_colour=in_colour)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize to ``(size, size)``; an image that is not square is center-cropped."""
    if pixels.shape == (size, size):
        return pixels
    image = ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def refuse_size(width: int, height: int, limits: Limits) -> None:
    """Raise ``UnreadableImage`` if a picture is larger or smaller than the limits, in pixels."""
    if width * height > limits.max_pixels:
        counts = f"{width}x{height} pixels, more than {limits.max_pixels}"
        raise UnreadableImage(f"{counts} in all (max_pixels)")
    if min(width, height) < limits.min_side:
        raise UnreadableImage(f"{width}x{height} pixels, a side under {limits.min_side}")
    if max(width, height) > limits.max_side:
        raise UnreadableImage(f"{width}x{height} pixels, a side over {limits.max_side}")


@contextmanager
def _unreadable_errors(limits: Limits) -> Iterator[None]:
    """Turn whatever Pillow raises into ``UnreadableImage``."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns about decompression bombs; the limits refuse them.
            warnings.simplefilter("ignore")
            yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        most = min(limits.max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or limits.max_pixels))
        raise UnreadableImage(f"more than {most} pixels") from None
    except _DAMAGE as error:
        raise UnreadableImage(f"damaged: {str(error)[:80]}") from None


def _check_structure(content: bytes, limits: Limits) -> PartCounts:
    """Check file size, frames, scans and parts against the limits, before Pillow opens the file."""
    if not content:
        raise UnreadableImage("empty file")
    if name := unread_formats.name_of(content):
        raise UnreadableImage(f"{name}, which unveil does not read; convert it to JPEG or PNG")
    if len(content) > limits.max_bytes:
        raise UnreadableImage(f"{len(content)} bytes, more than {limits.max_bytes}")
    counts = count_parts(content, limits.max_parts)
    if counts.frames > 1:
        more = " or more" if counts.frames == MAX_FRAMES else ""
        raise UnreadableImage(f"{counts.frames} frames{more}, not a still image")
    if counts.scans > limits.max_scans:
        raise UnreadableImage(f"{counts.scans} scans, more than {limits.max_scans}")
    if counts.parts > limits.max_parts:
        raise UnreadableImage(f"more than {limits.max_parts} segments, chunks or tags")
    for name, limit in limits.max_metadata:
        if counts.metadata[name] > limit:
            raise UnreadableImage(f"{counts.metadata[name]} {name}, more than {limit}")
    return counts


def _check_header(image: Image.Image, limits: Limits) -> None:
    refuse_size(*image.size, limits)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise UnreadableImage(f"{frames} frames, not a still image")


def _upright(image: Image.Image) -> Image.Image:
    # Not ImageOps.exif_transpose: it rewrites the other tags, and fails on unusual ones.
    image.load()
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    turn = image.getexif().get(0x0112)
    return turn if turn in _TURNS else 1


def _converted(image: Image.Image, *, in_colour: bool) -> Pixels:
    if image.mode.startswith("I"):
        return np.clip(np.asarray(image, dtype=np.int64) // 257, 0, 255).astype(np.uint8)
    if image.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    is_coloured = in_colour and image.mode in ("RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
    return np.asarray(image.convert("RGB" if is_coloured else "L"))
