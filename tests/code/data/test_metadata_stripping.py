"""Stored images have no metadata, and decode to the same pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from unveil.data.decoding import UnreadableImage, decode
from unveil.data.metadata_stripping import error_reason, has_no_metadata, strip_metadata

SECRET = b"planted: 52.5200 N 13.4050 E"
KINDS = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "GIF": ("L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
}
HOLDING_EXIF = ("JPEG", "PNG", "WEBP", "TIFF")


def drawn(mode: str, width: int, height: int, seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(values[:, :, 0].astype(np.uint16) * 257)
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(turn: int | None) -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = SECRET.decode()
    tags.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 29: SECRET.decode()})
    if turn is not None:
        tags[0x0112] = turn
    return tags


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)),
    data=st.data(),
    width=st.integers(16, 40),
    height=st.integers(16, 40),
    seed=st.integers(0, 99),
    turn=st.sampled_from([None, *range(1, 9)]),
    tail=st.sampled_from([b"", SECRET]),
)
def test_pixels_are_kept_and_metadata_removed(kind, data, width, height, seed, turn, tail):
    mode = data.draw(st.sampled_from(KINDS[kind]))
    options = {"exif": exif(turn)} if kind in HOLDING_EXIF and data.draw(st.booleans()) else {}
    before = encoded(drawn(mode, width, height, seed), kind, **options) + tail
    after = strip_metadata(before)
    assert np.array_equal(decode(after).pixels, decode(before).pixels)
    assert SECRET not in after
    assert has_no_metadata(after)
    assert strip_metadata(after) == after
    assert strip_metadata(before) == after


@pytest.mark.parametrize("mode", KINDS["JPEG"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"optimize": True}, {"quality": 97, "subsampling": 0}],
    ids=str,
)
def test_a_jpeg_without_metadata_is_unchanged(mode, options):
    content = encoded(drawn(mode, 50, 40, 0), "JPEG", **options)
    assert strip_metadata(content) is content


@pytest.mark.parametrize("mode", KINDS["PNG"])
def test_a_png_without_metadata_is_unchanged(mode):
    content = encoded(drawn(mode, 50, 40, 0), "PNG")
    assert strip_metadata(content) is content


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg() -> bytes:
    return encoded(drawn("RGB", 32, 32, 1), "JPEG")


def png(*, rest: bytes = b"", head: bytes = b"", tail: bytes = b"") -> bytes:
    pixels = zlib.compress(bytes(32 * 33)) + rest
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0))
    return start + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"") + tail


def text() -> PngImagePlugin.PngInfo:
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", SECRET.decode())
    told.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    told.add_text("more", SECRET.decode(), zip=True)
    return told


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


PLANTED = {
    "comment": encoded(drawn("RGB", 32, 32, 1), "JPEG", comment=SECRET),
    "xmp": jpeg()[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET) + jpeg()[2:],
    "thumbnail": jpeg()[:2]
    + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\11" + SECRET[:27])
    + jpeg()[20:],
    "photoshop": jpeg()[:2] + segment(0xED, b"Photoshop 3.0\0" + SECRET) + jpeg()[2:],
    "jpeg profile": encoded(drawn("RGB", 32, 32, 1), "JPEG", icc_profile=profile()),
    "after the end": jpeg() + SECRET,
    "second picture": jpeg() + jpeg(),
    "text chunks": encoded(drawn("RGB", 32, 32, 1), "PNG", pnginfo=text()),
    "png profile": encoded(drawn("RGB", 32, 32, 1), "PNG", icc_profile=profile()),
    "unknown chunk": png(head=chunk(b"prVt", SECRET)),
    "palette of a gray one": png(head=chunk(b"PLTE", SECRET[:27])),
    "after the pixels": png(rest=SECRET),
    "after IEND": png(tail=SECRET),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_metadata_is_removed_and_pixels_are_kept(name):
    content = PLANTED[name]
    assert not has_no_metadata(content)
    after = strip_metadata(content)
    assert SECRET[:20] not in after
    assert b"ICC" not in after
    assert np.array_equal(decode(after).pixels, decode(content).pixels)


def test_a_decompression_bomb_is_not_decompressed():
    bomb = png(rest=b"").replace(zlib.compress(bytes(32 * 33)), zlib.compress(bytes(50_000_000)))
    assert not has_no_metadata(bomb)


def test_a_small_picture_is_kept_for_the_manifest():
    content = encoded(drawn("RGB", 4, 4, 0), "JPEG", comment=SECRET)
    assert has_no_metadata(strip_metadata(content))


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_any_bytes_are_unchanged_stripped_or_refused_with_a_reason(noise, start):
    content = start + noise
    try:
        assert has_no_metadata(strip_metadata(content))
    except UnreadableImage as error:
        assert error_reason(error)


def test_a_reason_quotes_nothing_of_the_file():
    said = error_reason(UnreadableImage("damaged: broken PNG file (chunk b'planted')"))
    assert said == "damaged: broken PNG file"
