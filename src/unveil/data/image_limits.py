"""Count the frames, scans and parts of an image file before decoding it.

Each of them costs decoding time whatever the size of the file: 26 bytes are a scan over all pixels,
15 bytes a frame, one byte of padding an iteration of Pillow's loop. Only the structure of the file
is read, and only until a limit is exceeded.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_FRAMES = 100
"""Frames are counted up to this number; more than one is refused anyway."""

_PROFILES, _TEXTS = "color profiles", "compressed texts and profiles"
_EXIF, _APPS, _COMMENTS = "Exif segments", "APP1 and APP2 segments", "comment blocks"
MAX_METADATA = ((_PROFILES, 1), (_TEXTS, 100), (_EXIF, 4), (_APPS, 1000), (_COMMENTS, 1000))
"""Maximum number of each kind of metadata: Pillow decompresses up to 1 MB for each chunk of a PNG,
and copies all earlier segments or blocks for each of the others. A color profile has up to 255
segments."""
_COMPRESSED = {b"iCCP", b"zTXt", b"iTXt"}

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The marker after the entropy-coded data of a JPEG scan."""
_PADDING = re.compile(rb"\xff*")
_SCAN, _END = 0xDA, 0xD9
_APP1, _APP2 = 0xE1, 0xE2
_BARE = {0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length."""

_COMMENT = 0xFE
"""Label of a GIF's comment extension."""

_IFD = {42: ("H", "I", 12), 43: ("Q", "Q", 20)}
"""For each TIFF version: formats of the entry count and of offsets, and bytes of an entry."""
_OFFSETS = {273, 324}
"""TIFF tags with a value for each strip or tile."""

_HEADER = re.compile(rb"P\w+(?:\s|#[^\r\n]*)*")
"""Header of a Netpbm file up to its width, which Pillow reads byte by byte."""


@dataclass
class PartCounts:
    """Number of ``frames``, ``scans`` and ``parts`` (segments, chunks, blocks or tags).

    ``metadata`` counts the parts that ``MAX_METADATA`` limits, by the names there.
    """

    frames: int = 1
    scans: int = 1
    parts: int = 0
    metadata: Counter[str] = field(default_factory=Counter)


def count_parts(content: bytes, max_parts: int) -> PartCounts:
    """Count frames, scans and parts, up to ``most`` parts; damaged files raise nothing."""
    counts = PartCounts()
    for start, count in _KINDS.items():
        if content.startswith(start):
            try:
                count(content, counts, max_parts)
            except (LookupError, struct.error):
                # Truncated: the decoder reports it.
                break
    return counts


def _jpeg(content: bytes, counts: PartCounts, max_parts: int) -> None:
    counts.scans, offset = 0, 2
    while counts.parts <= max_parts:
        padded = _PADDING.match(content, offset)
        padding = padded.end() - offset if padded else 0
        if not padding:
            return
        counts.parts += padding
        marker, offset = content[offset + padding], offset + padding + 1
        if marker == _END:
            return
        if marker in _BARE:
            continue
        counts.metadata[_APPS] += marker in (_APP1, _APP2)
        counts.metadata[_EXIF] += marker == _APP1 and content.startswith(b"Exif\0\0", offset + 2)
        offset += struct.unpack_from(">H", content, offset)[0]
        if marker == _SCAN:
            counts.scans += 1
            following = _MARKER.search(content, offset)
            offset = following.start() if following else len(content)


def _png(content: bytes, counts: PartCounts, max_parts: int) -> None:
    offset = 8
    while counts.parts <= max_parts:
        length, name = struct.unpack_from(">I4s", content, offset)
        if name == b"acTL":
            counts.frames = min(MAX_FRAMES, struct.unpack_from(">I", content, offset + 8)[0])
        counts.metadata[_PROFILES] += name == b"iCCP"
        counts.metadata[_TEXTS] += name in _COMPRESSED
        counts.parts += 1
        offset += 12 + length


def _gif(content: bytes, counts: PartCounts, max_parts: int) -> None:
    counts.frames, offset = 0, 13 + _colors(content[10])
    while counts.parts <= max_parts and counts.frames < MAX_FRAMES:
        kind, offset = content[offset], offset + 1
        counts.parts += 1
        if kind == 0x3B:
            return
        if kind == 0x2C:
            counts.frames += 1
            offset = _blocks(content, offset + 10 + _colors(content[offset + 8]), counts, max_parts)
        elif kind == 0x21:
            before = counts.parts
            is_comment = content[offset] == _COMMENT
            offset = _blocks(content, offset + 1, counts, max_parts)
            counts.metadata[_COMMENTS] += is_comment * (counts.parts - before)


def _colors(flags: int) -> int:
    """Return the size in bytes of a GIF colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(content: bytes, offset: int, counts: PartCounts, max_parts: int) -> int:
    while (size := content[offset]) and counts.parts <= max_parts:
        counts.parts += 1
        offset += 1 + size
    return offset + 1


def _webp(content: bytes, counts: PartCounts, max_parts: int) -> None:
    counts.frames, offset = 0, 12
    while counts.parts <= max_parts and counts.frames < MAX_FRAMES and offset + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, offset)
        counts.frames += name == b"ANMF"
        counts.parts += 1
        offset += 8 + length + length % 2


def _tiff(content: bytes, counts: PartCounts, max_parts: int) -> None:
    order = "<" if content.startswith(b"II") else ">"
    number, where, size = _IFD[struct.unpack_from(f"{order}H", content, 2)[0]]
    first, width = struct.calcsize(number), struct.calcsize(where)
    (offset,), counts.frames = struct.unpack_from(f"{order}{where}", content, width), 0
    while offset and counts.parts <= max_parts and counts.frames < MAX_FRAMES:
        counts.frames += 1
        (entries,) = struct.unpack_from(f"{order}{number}", content, offset)
        counts.parts += entries
        for _ in range(min(entries, max_parts)):
            tag, _, values = struct.unpack_from(f"{order}HH{where}", content, offset + first)
            counts.parts += values if tag in _OFFSETS else 0
            offset += size
        (offset,) = struct.unpack_from(f"{order}{where}", content, offset + first)


def _netpbm(content: bytes, counts: PartCounts, max_parts: int) -> None:
    header = _HEADER.match(content)
    counts.parts = header.end() if header else 0


_KINDS: dict[bytes, Callable[[bytes, PartCounts, int], None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
    b"II": _tiff,
    b"MM": _tiff,
    b"P": _netpbm,
}
