"""An image without what is not its picture: no EXIF, place, thumbnail, comment, profile or rest.

Takes the bytes of an image file. Bytes that hold nothing but what a decoder needs are given back
as they are; any others become a gray, upright PNG of the very pixels the decoder sees. The check
is of the file's structure (ISO/IEC 10918-1, Annex B; ISO/IEC 15948): it does not look for what is
hidden in the picture itself. `unveil ingest` stores no other.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from unveil.data.decoding import Limits, UnreadableImage, decode

LIMITS = Limits()
"""Those of the decoder, where params.yaml is not asked."""

_ENTROPY = re.compile(rb"(?:[^\xff]++|\xff[\x00\xd0-\xd7])*+")
"""Coded pixels: what stands between the start of a scan and the next marker."""
_FRAMES = {0xC0, 0xC1, 0xC2}
_QUANTIZATION, _HUFFMAN, _RESTART, _SCAN, _END = 0xDB, 0xC4, 0xDD, 0xDA, 0xD9
_JFIF, _ADOBE = 0xE0, 0xEE

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of each PNG colour type: values of a pixel."""
_NEEDED = re.compile(rb"IHDR(PLTE)?(tRNS)?(IDAT)+IEND")


def strip(content: bytes, limits: Limits = LIMITS) -> bytes:
    """Give the image without anything but its picture; ``decode`` sees the same pixels as before.

    Raises ``UnreadableImage`` with the reason where it is not bare and cannot be decoded.
    """
    if is_bare(content):
        return content
    # Too small is for the manifest to say: such a picture is kept.
    pixels = decode(content, replace(limits, min_side=1)).pixels
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    if buffer.tell() > limits.max_bytes:
        raise UnreadableImage(f"{buffer.tell()} bytes without its metadata, over the limit")
    return buffer.getvalue()


def reason(error: UnreadableImage) -> str:
    """Say why an image is unreadable without a byte of it: decoders quote what they stumbled on."""
    return re.split(r"\s*(?:\([^'\"]*|\bb)?['\"]", str(error))[0]


def is_bare(content: bytes) -> bool:
    """Say whether a JPEG or PNG holds nothing but what a decoder needs, down to its last byte."""
    try:
        if content.startswith(_SIGNATURE):
            return _is_bare_png(content)
        return content.startswith(b"\xff\xd8") and _is_bare_jpeg(content)
    except (LookupError, struct.error, zlib.error):
        return False


def _is_bare_jpeg(content: bytes) -> bool:
    place, frames = 2, 0
    while content[place] == 0xFF:
        marker = content[place + 1]
        if marker == _END:
            return frames == 1 and place + 2 == len(content)
        (length,) = struct.unpack_from(">H", content, place + 2)
        body = content[place + 4 : place + 2 + length]
        if len(body) != length - 2 or not _is_needed(marker, body):
            return False
        frames += marker in _FRAMES
        place += 2 + length
        if marker == _SCAN:
            coded = _ENTROPY.match(content, place)
            place = coded.end() if coded else place
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
        return _is_filled(body, lambda place: 1 + 64 * (1 + (body[place] >> 4)))
    if marker == _HUFFMAN:
        return _is_filled(body, lambda place: 17 + sum(body[place + 1 : place + 17]))
    return marker == _RESTART and len(body) == 2


def _is_filled(body: bytes, size: Callable[[int], int]) -> bool:
    """Say whether tables, each ``size(place)`` bytes long, fill a segment to its end."""
    place = 0
    while place < len(body):
        place += size(place)
    return place == len(body) > 0


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
    # One byte more than there may be: a small file that unpacks to gigabytes costs nothing.
    found = pixels.decompress(b"".join(body for name, body in chunks if name == b"IDAT"), rows + 1)
    return len(found) == rows and pixels.eof and not pixels.unused_data


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        yield name, content[place + 8 : place + 8 + length]
        place += 12 + length
