"""Invalid or deceptive image files; the decoder refuses each one with a reason."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RAMP = np.tile(np.arange(48, dtype=np.uint8) * 5, (48, 1))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A picture of a few KB with a text chunk of 80 MB."""
    plain = encoded(Image.fromarray(RAMP))
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(b"a" * 80_000_000))
    return plain[:33] + text + plain[33:]


def animated() -> bytes:
    white = Image.new("L", (48, 48), 255)
    return encoded(Image.new("L", (48, 48)), "GIF", save_all=True, append_images=[white])


INVALID_IMAGES = {
    "empty": (b"", "empty file"),
    "text": (b"hello, I am a jpg", "not an image"),
    "cut_jpeg": (encoded(Image.fromarray(RAMP), "JPEG")[:400], "damaged"),
    "cut_png": (encoded(Image.fromarray(RAMP))[:60], "damaged"),
    "bomb": (huge_png(13_000), "13000x13000 pixels, more than"),
    "bigger_bomb": (huge_png(60_000), "more than|60000x60000 pixels"),
    "text_bomb": (text_bomb(), "damaged"),
    "dot": (encoded(Image.new("L", (1, 1))), "1x1 pixels, a side under 16"),
    "line": (encoded(Image.new("L", (1, 20_000))), "a side under 16"),
    "animated": (animated(), "2 frames"),
    "polyglot": (b"%PDF-1.4 " + encoded(Image.fromarray(RAMP)), "not an image"),
    "zip": (b"PK\3\4" + bytes(200), "not an image"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(200), "HEIC, which unveil does not read; convert it"),
    "avif": (encoded(Image.fromarray(RAMP), "AVIF"), "AVIF, which unveil does not read; convert"),
    "jpeg_xl": (b"\xff\x0a" + bytes(200), "JPEG XL, which unveil does not read; convert it to"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
}
"""The bytes, and a pattern of the refusal's reason."""
