"""The image decoder: accepted images are upright and gray, all others have a reason."""

import io
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.support.invalid_images import INVALID_IMAGES, RAMP, encoded

from unveil.data.decoding import Limits, UnreadableImage, decode, resize


def test_gray_pixels_come_back_as_they_were():
    decoded = decode(encoded(Image.fromarray(RAMP)))
    assert decoded.mode == "L"
    assert np.array_equal(decoded.pixels, RAMP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1", "CMYK"])
def test_every_mode_becomes_gray(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    decoded = decode(encoded(Image.fromarray(RAMP).convert(mode), kind))
    assert decoded.mode == mode
    assert decoded.pixels.shape == (48, 48)
    assert decoded.pixels.dtype == np.uint8
    if mode not in ("P", "1"):
        assert np.abs(decoded.pixels.astype(int) - RAMP).max() <= 2


def test_sixteen_bits_are_scaled_not_clipped():
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    assert np.array_equal(decode(encoded(deep)).pixels, RAMP)


def test_transparency_is_composited_on_black():
    clear = Image.new("RGBA", (48, 48), (255, 255, 255, 0))
    assert decode(encoded(clear)).pixels.max() == 0


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = decode(encoded(Image.fromarray(RAMP), "PNG", exif=exif)).pixels
    assert np.array_equal(turned, RAMP[::-1, ::-1])


@pytest.mark.parametrize(("content", "reason"), INVALID_IMAGES.values(), ids=INVALID_IMAGES)
def test_refused_images_have_a_reason(content, reason):
    with pytest.raises(UnreadableImage, match=reason):
        decode(content)


def test_a_file_over_the_byte_limit_is_refused_unread():
    with pytest.raises(UnreadableImage, match="2000 bytes, more than 1000"):
        decode(b"\0" * 2000, Limits(max_bytes=1000))


def test_resize_keeps_the_centre():
    wide = np.zeros((48, 96), np.uint8)
    wide[:, 24:72] = 200
    assert resize(wide, 24)[:, 1:-1].min() == 200
    assert resize(RAMP, 48) is RAMP


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 200))
def test_no_bytes_break_the_decoder(noise, start):
    plain = encoded(Image.fromarray(RAMP), "JPEG")
    for content in (noise, plain[:start] + noise, plain[:start] + noise + plain[start:]):
        try:
            assert decode(content).pixels.ndim == 2
        except UnreadableImage as error:
            assert str(error)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_exif_orientation_is_applied_as_by_pillow(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    uneven = Image.fromarray(np.triu(RAMP)[:40])
    content = encoded(uneven, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(decode(content).pixels, np.asarray(expected))


@settings(max_examples=300, deadline=None)
@given(st.integers(12, 90), st.binary(min_size=1, max_size=12))
def test_unusual_exif_does_not_break_the_decoder(place, noise):
    exif = Image.Exif()
    exif[0x0112], exif[0x011A], exif[0x010E] = 6, 72.0, "a face"
    content = bytearray(encoded(Image.fromarray(RAMP), "JPEG", exif=exif))
    start = content.index(b"Exif") + place
    content[start : start + len(noise)] = noise
    try:
        assert decode(bytes(content)).pixels.ndim == 2
    except UnreadableImage as error:
        assert str(error)


def photo(orientation: int = 1, size: tuple[int, int] = (4000, 3001), kind: str = "JPEG") -> bytes:
    """Encode a smooth picture in colour."""
    ramp = np.zeros((30, 40, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(40) * 6, np.arange(30)[:, None] * 8
    image, exif = Image.fromarray(ramp).resize(size, Image.Resampling.BICUBIC), Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(("enough", "factor"), [(None, 1), (3000, 1), (2000, 2), (1000, 4), (9, 8)])
def test_a_large_jpeg_is_reduced_while_it_is_decoded(enough, factor):
    content = photo()
    whole, small = decode(content, in_colour=True), decode(content, in_colour=True, enough=enough)
    assert (small.factor, small.shape) == (factor, (3001, 4000))
    assert small.pixels.shape == (-(-3001 // factor), 4000 // factor, 3)
    part = whole.pixels[::factor, ::factor][: small.pixels.shape[0]].astype(int)
    assert abs(part - small.pixels).mean() < 4


def test_a_reduced_photo_is_upright():
    turned = decode(photo(orientation=6), in_colour=True, enough=1000)
    assert turned.shape == (4000, 3001)
    assert turned.pixels.shape == (1000, 751, 3)
    whole = decode(photo(orientation=6), in_colour=True)
    assert (whole.shape, whole.factor) == ((4000, 3001), 1)


def test_other_formats_are_decoded_whole():
    assert decode(photo(kind="WEBP"), enough=100).pixels.shape == (3001, 4000)


def test_a_file_may_have_a_byte_for_each_pixel_that_is_allowed():
    usual = Limits()
    assert usual.with_pixels(50_000_000) == replace(
        usual, max_pixels=50_000_000, max_bytes=50_000_000
    )
    assert usual.with_pixels(1000).max_bytes == usual.max_bytes


def test_more_than_pillow_opens_is_refused_with_its_limit():
    image = Image.new("1", (14_000, 14_000))
    with pytest.raises(UnreadableImage, match=r"^more than 178956970 pixels$"):
        decode(encoded(image), Limits().with_pixels(200_000_000))


def test_the_limits_are_those_of_the_whole_file():
    with pytest.raises(UnreadableImage, match="4000x3001 pixels, more than 1000000 in all"):
        decode(photo(), Limits(max_pixels=1_000_000), enough=500)


def test_a_narrow_picture_is_reduced_by_the_factor_of_its_longer_side():
    small = decode(photo(size=(97, 8000)), enough=1000)
    assert (small.factor, small.pixels.shape) == (8, (1000, 13))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(2, b"x\0\0\0"), (7, b"\1\0\0\0"), (3, b"\x4d\0\0\0"), (11, b"\0\0\xc0\x7f")],
)
def test_an_orientation_that_is_none_is_ignored(kind, value):
    count = 2 if kind in (2, 7) else 1
    entry = struct.pack("<HHI", 0x0112, kind, count) + value
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    content = encoded(Image.fromarray(RAMP), "JPEG", exif=exif)
    assert decode(content).pixels.shape == RAMP.shape
