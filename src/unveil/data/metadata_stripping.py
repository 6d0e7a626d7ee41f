"""Remove metadata from image files: EXIF, location, thumbnail, comments, profiles, trailing data.

A file that has only what a decoder needs is returned unchanged; any other is re-encoded as a gray,
upright PNG of the decoded pixels. Only the file structure is checked (ISO/IEC 10918-1, Annex B;
ISO/IEC 15948), not data hidden in the pixels. `unveil ingest` stores only such images.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from unveil.data.decoding import Limits, UnreadableImage, decode

DEFAULT_LIMITS = Limits()
"""Default limits of the decoder, without params.yaml."""

_ENTROPY = re.compile(rb"(?:[^\xff]++|\xff[\x00\xd0-\xd7])*+")
"""Entropy-coded data between the start of a scan and the next marker."""
_FRAMES = {0xC0, 0xC1, 0xC2}
_QUANTIZATION, _HUFFMAN, _RESTART, _SCAN, _END = 0xDB, 0xC4, 0xDD, 0xDA, 0xD9
_JFIF, _ADOBE = 0xE0, 0xEE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Number of channels of each PNG colour type."""
_NEEDED = re.compile(rb"IHDR(PLTE)?(tRNS)?(IDAT)+IEND")


def strip_metadata(content: bytes, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the image without metadata; ``decode`` gives the same pixels as before.

    Raises ``UnreadableImage`` if it has metadata and cannot be decoded.
    """
    if has_no_metadata(content):
        return content
    # Small images are kept: the manifest reports them.
    pixels = decode(content, replace(limits, min_side=1)).pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    if buffer.tell() > limits.max_bytes:
        raise UnreadableImage(f"{buffer.tell()} bytes without its metadata, over the limit")
    return buffer.getvalue()


def error_reason(error: UnreadableImage) -> str:
    """Return why an image is unreadable, without the bytes of it that decoders quote."""
    return re.split(r"\s*(?:\([^'\"]*|\bb)?['\"]", str(error))[0]


def has_no_metadata(content: bytes) -> bool:
    """Return whether a JPEG or PNG has nothing but what a decoder needs, to its last byte."""
    try:
        if content.startswith(_SIGNATURE):
            return _is_bare_png(content)
        return content.startswith(b"\xff\xd8") and _is_bare_jpeg(content)
    except (LookupError, struct.error, zlib.error):
        return False


def _is_bare_jpeg(content: bytes) -> bool:
    offset, frames = 2, 0
    while content[offset] == 0xFF:
        marker = content[offset + 1]
        if marker == _END:
            return frames == 1 and offset + 2 == len(content)
        (length,) = struct.unpack_from(">H", content, offset + 2)
        body = content[offset + 4 : offset + 2 + length]
        if len(body) != length - 2 or not _is_needed(marker, body):
            return False
        frames += marker in _FRAMES
        offset += 2 + length
        if marker == _SCAN:
            coded = _ENTROPY.match(content, offset)
            offset = coded.end() if coded else offset
    return False


def _is_needed(marker: int, body: bytes) -> bool:
    if marker == _JFIF:
        # The last two bytes are the thumbnail's size.
        return body.startswith(b"JFIF\0") and len(body) == 14 and body[12:] == b"\0\0"
    if marker == _ADOBE:
        return body.startswith(b"Adobe") and len(body) == 12
    if marker in _FRAMES:
        return len(body) == 6 + 3 * body[5]
    if marker == _SCAN:
        return len(body) == 4 + 2 * body[0]
    if marker == _QUANTIZATION:
        return _is_filled(body, lambda offset: 1 + 64 * (1 + (body[offset] >> 4)))
    if marker == _HUFFMAN:
        return _is_filled(body, lambda offset: 17 + sum(body[offset + 1 : offset + 17]))
    return marker == _RESTART and len(body) == 2


def _is_filled(body: bytes, size: Callable[[int], int]) -> bool:
    """Return whether tables, each ``size(offset)`` bytes long, fill a segment exactly."""
    offset = 0
    while offset < len(body):
        offset += size(offset)
    return offset == len(body) > 0


def _is_bare_png(content: bytes) -> bool:
    chunks = list(_chunks(content))
    names = b"".join(name for name, _ in chunks)
    if not _NEEDED.fullmatch(names) or len(content) != 8 + sum(12 + len(b) for _, b in chunks):
        return False
    width, height, depth, color, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    stated = {name: len(body) for name, body in chunks}
    if interlaced or (color == 3) != (b"PLTE" in stated) or stated[b"IEND"]:
        return False
    if stated.get(b"PLTE", 0) > 3 << depth or stated.get(b"tRNS", 0) > 1 << depth:
        return False
    rows = height * (1 + -(-width * depth * _CHANNELS[color] // 8))
    pixels = zlib.decompressobj()
    # Decompress at most one byte more than allowed: protects against decompression bombs.
    unpacked = pixels.decompress(
        b"".join(body for name, body in chunks if name == b"IDAT"), rows + 1
    )
    return len(unpacked) == rows and pixels.eof and not pixels.unused_data


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = len(_SIGNATURE)
    while offset < len(content):
        length, name = struct.unpack_from(">I4s", content, offset)
        yield name, content[offset + 8 : offset + 8 + length]
        offset += 12 + length
