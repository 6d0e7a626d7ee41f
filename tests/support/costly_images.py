"""Synthetic pictures that need much work for their size; all of them are valid files."""

import struct
import zlib

from PIL import Image
from tests.support.bundles import quarter
from tests.support.invalid_images import chunk, encoded

SMALL = Image.fromarray(quarter(0))


def scanned(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan, of about 30 bytes, is repeated ``scans`` times."""
    plain = encoded(Image.fromarray(quarter(1, side)), "JPEG", progressive=True)
    last = plain[plain.rindex(b"\xff\xda") : -2]
    return plain[:-2] + last * scans + plain[-2:]


def segmented(count: int) -> bytes:
    plain = encoded(SMALL, "JPEG")
    return plain[:2] + b"\xff\xfe\0\2" * count + plain[2:]


def padded(count: int) -> bytes:
    plain = encoded(SMALL, "JPEG")
    return plain[:2] + b"\xff" * count + plain[2:]


def chunked(count: int) -> bytes:
    plain = encoded(SMALL)
    return plain[:33] + chunk(b"teSt", b"") * count + plain[33:]


def animated_png(frames: int) -> bytes:
    others = [Image.fromarray(quarter(place % 4)) for place in range(1, frames)]
    return encoded(SMALL, save_all=True, append_images=others)


def animated_gif(frames: int) -> bytes:
    frame = b"\x2c" + struct.pack("<4H", 0, 0, 1, 1) + b"\0\2\2\x4c\1\0"
    return encoded(SMALL, "GIF")[:-1] + frame * (frames - 1) + b";"


def commented_gif(blocks: int) -> bytes:
    return encoded(SMALL, "GIF")[:-1] + b"\x21\xfe" + b"\1a" * blocks + b"\0;"


def animated_webp(frames: int) -> bytes:
    others = [Image.fromarray(quarter(place % 4)).convert("RGB") for place in range(1, frames)]
    return encoded(SMALL.convert("RGB"), "WEBP", save_all=True, append_images=others)


def paged(pages: int) -> bytes:
    others = [Image.fromarray(quarter(place % 4)) for place in range(1, pages)]
    return encoded(SMALL, "TIFF", save_all=True, append_images=others)


def tagged(tags: int) -> bytes:
    """A TIFF with this number of unknown tags."""
    plain = bytearray(encoded(SMALL, "TIFF"))
    (place,) = struct.unpack_from("<I", plain, 4)
    (known,) = struct.unpack_from("<H", plain, place)
    entries = bytes(plain[place + 2 : place + 2 + 12 * known])
    more = b"".join(struct.pack("<HHII", 40_000 + n, 3, 1, 0) for n in range(tags))
    struct.pack_into("<I", plain, 4, len(plain))
    return bytes(plain) + struct.pack("<H", known + tags) + entries + more + bytes(4)


def noted_netpbm(length: int) -> bytes:
    head, pixels = encoded(SMALL, "PPM").split(b"\n", 1)
    return head + b"\n#" + b"a" * length + b"\n" + pixels


def noted_png(chunks: int) -> bytes:
    """Text chunks of 1 MB each that are compressed to a thousandth."""
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"a" * 1_000_000))
    plain = encoded(SMALL)
    return plain[:33] + text * chunks + plain[33:]


def profiled_png(chunks: int) -> bytes:
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1000)))
    plain = encoded(SMALL)
    return plain[:33] + profile * chunks + plain[33:]


def noted_jpeg(marker: int, count: int, start: bytes) -> bytes:
    plain = encoded(SMALL, "JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, 2 + len(start)) + start
    return plain[:2] + segment * count + plain[2:]


def wide(width: int, height: int) -> bytes:
    return encoded(Image.fromarray(quarter(2, 64)).resize((width, height)), "JPEG")


COSTLY_IMAGES = {
    "scans": (scanned(2000, 600), "60. scans, more than 100"),
    "segments": (segmented(300_000), "more than 100000 segments"),
    "padding": (padded(1_000_000), "more than 100000 segments"),
    "chunks": (chunked(200_000), "more than 100000 segments"),
    "animated_png": (animated_png(3), "3 frames, not a still image"),
    "animated_gif": (animated_gif(20_000), "100 frames or more, not a still image"),
    "commented_gif": (commented_gif(300_000), "more than 100000 segments"),
    "animated_webp": (animated_webp(3), "3 frames, not a still image"),
    "paged": (paged(3), "3 frames, not a still image"),
    "noted_netpbm": (noted_netpbm(1_000_000), "more than 100000 segments"),
    "noted_png": (noted_png(101), "101 compressed texts and profiles, more than 100"),
    "profiled_png": (profiled_png(2), "2 color profiles, more than 1"),
    "exif_jpeg": (noted_jpeg(0xE1, 5, b"Exif\0\0"), "5 Exif segments, more than 4"),
    "noted_jpeg": (
        noted_jpeg(0xE2, 1001, b"ICC_PROFILE\0\1\1"),
        "1001 APP1 and APP2 segments, more than 1000",
    ),
    "long_gif": (commented_gif(1001), "1001 comment blocks, more than 1000"),
    "wide": (wide(30_000, 20), "30000x20 pixels, a side over 20000"),
}
"""The bytes, and a part of the refusal's reason; Pillow alone takes seconds for most."""
