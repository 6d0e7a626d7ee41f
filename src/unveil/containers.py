"""What an image file is made of, counted before a decoder runs: frames, scans, parts.

Takes the bytes of an image file. Decoding costs time for each of them whatever the file's size: 26
bytes are a scan over all pixels, 15 bytes a frame, one byte of padding a
turn of Pillow's loop. Only the structure is read, and no further than the counts may go.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_FRAMES = 100
"""More are not counted: one is too many already."""

_PROFILES, _TEXTS = "color profiles", "compressed texts and profiles"
_EXIF, _APPS, _COMMENTS = "Exif segments", "APP1 and APP2 segments", "blocks of comments"
MOST_NOTES = ((_PROFILES, 1), (_TEXTS, 100), (_EXIF, 4), (_APPS, 1000), (_COMMENTS, 1000))
"""What is said besides the pixels, and how many there may be: a PNG's are unpacked to 1 MB each,
others are joined, and each copies all before it. A color profile has up to 255 segments."""
_PACKED = {b"iCCP", b"zTXt", b"iTXt"}

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the coded pixels of a JPEG's scan."""
_PADDING = re.compile(rb"\xff*")
_SCAN, _END = 0xDA, 0xD9
_APP1, _APP2 = 0xE1, 0xE2
_BARE = {0x01, *range(0xD0, 0xD9)}
"""Markers of a JPEG without a length."""

_COMMENT = 0xFE
"""Of a GIF's extensions."""

_IFD = {42: ("H", "I", 12), 43: ("Q", "Q", 20)}
"""Of each kind of TIFF: how entries are counted, how a place is written, bytes of an entry."""
_OFFSETS = {273, 324}
"""Tags of a TIFF that have a value for each strip or tile."""

_HEADER = re.compile(rb"P\w+(?:\s|#[^\r\n]*)*")
"""Of a Netpbm file, up to its width: Pillow reads it byte by byte."""


@dataclass
class Counts:
    """How many ``frames`` and ``scans`` there are; ``parts`` are segments, chunks, blocks, tags.

    ``notes`` are those parts of ``MOST_NOTES``, by their names there.
    """

    frames: int = 1
    scans: int = 1
    parts: int = 0
    notes: Counter[str] = field(default_factory=Counter)


def counted(content: bytes, most: int) -> Counts:
    """Count what a file is made of, up to ``most`` parts; nothing is raised for a damaged one."""
    counts = Counts()
    for start, count in _KINDS.items():
        if content.startswith(start):
            try:
                count(content, counts, most)
            except (LookupError, struct.error):
                # Cut off: the decoder says so.
                break
    return counts


def _jpeg(content: bytes, counts: Counts, most: int) -> None:
    counts.scans, place = 0, 2
    while counts.parts <= most:
        padded = _PADDING.match(content, place)
        padding = padded.end() - place if padded else 0
        if not padding:
            return
        counts.parts += padding
        marker, place = content[place + padding], place + padding + 1
        if marker == _END:
            return
        if marker in _BARE:
            continue
        counts.notes[_APPS] += marker in (_APP1, _APP2)
        counts.notes[_EXIF] += marker == _APP1 and content.startswith(b"Exif\0\0", place + 2)
        place += struct.unpack_from(">H", content, place)[0]
        if marker == _SCAN:
            counts.scans += 1
            following = _MARKER.search(content, place)
            place = following.start() if following else len(content)


def _png(content: bytes, counts: Counts, most: int) -> None:
    place = 8
    while counts.parts <= most:
        length, name = struct.unpack_from(">I4s", content, place)
        if name == b"acTL":
            counts.frames = min(MOST_FRAMES, struct.unpack_from(">I", content, place + 8)[0])
        counts.notes[_PROFILES] += name == b"iCCP"
        counts.notes[_TEXTS] += name in _PACKED
        counts.parts += 1
        place += 12 + length


def _gif(content: bytes, counts: Counts, most: int) -> None:
    counts.frames, place = 0, 13 + _colors(content[10])
    while counts.parts <= most and counts.frames < MOST_FRAMES:
        kind, place = content[place], place + 1
        counts.parts += 1
        if kind == 0x3B:
            return
        if kind == 0x2C:
            counts.frames += 1
            place = _blocks(content, place + 10 + _colors(content[place + 8]), counts, most)
        elif kind == 0x21:
            before = counts.parts
            noted = content[place] == _COMMENT
            place = _blocks(content, place + 1, counts, most)
            counts.notes[_COMMENTS] += noted * (counts.parts - before)


def _colors(flags: int) -> int:
    """Give the bytes of a GIF's table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(content: bytes, place: int, counts: Counts, most: int) -> int:
    while (size := content[place]) and counts.parts <= most:
        counts.parts += 1
        place += 1 + size
    return place + 1


def _webp(content: bytes, counts: Counts, most: int) -> None:
    counts.frames, place = 0, 12
    while counts.parts <= most and counts.frames < MOST_FRAMES and place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        counts.frames += name == b"ANMF"
        counts.parts += 1
        place += 8 + length + length % 2


def _tiff(content: bytes, counts: Counts, most: int) -> None:
    order = "<" if content.startswith(b"II") else ">"
    number, where, size = _IFD[struct.unpack_from(f"{order}H", content, 2)[0]]
    first, width = struct.calcsize(number), struct.calcsize(where)
    (place,), counts.frames = struct.unpack_from(f"{order}{where}", content, width), 0
    while place and counts.parts <= most and counts.frames < MOST_FRAMES:
        counts.frames += 1
        (entries,) = struct.unpack_from(f"{order}{number}", content, place)
        counts.parts += entries
        for _ in range(min(entries, most)):
            tag, _, values = struct.unpack_from(f"{order}HH{where}", content, place + first)
            counts.parts += values if tag in _OFFSETS else 0
            place += size
        (place,) = struct.unpack_from(f"{order}{where}", content, place + first)


def _netpbm(content: bytes, counts: Counts, most: int) -> None:
    found = _HEADER.match(content)
    counts.parts = found.end() if found else 0


_KINDS: dict[bytes, Callable[[bytes, Counts, int], None]] = {
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
    b"II": _tiff,
    b"MM": _tiff,
    b"P": _netpbm,
}
