"""Gray pixels get the colour of skin; pixels with a colour stay as they are."""

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as arrays

from unveil.inference.tint import FACTORS, GRAY, SCALE, tinted

PIXELS = arrays.arrays(np.uint8, (4, 5, 3))


def test_gray_becomes_warm_and_keeps_its_order():
    gray = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    red, green, blue = (tinted(gray)[0, :, channel].astype(int) for channel in range(3))
    assert (red >= green).all()
    assert (green >= blue).all()
    assert all((np.diff(channel) >= 0).all() for channel in (red, green, blue))
    assert (red[100], green[100], blue[100]) == tuple(
        100 * (SCALE + factor * GRAY) // SCALE for factor in FACTORS
    )


@given(PIXELS)
def test_pixels_with_colour_stay(picture):
    spread = picture.max(2).astype(int) - picture.min(2)
    coloured = spread >= GRAY
    assert (tinted(picture)[coloured] == picture[coloured]).all()


@given(PIXELS)
def test_no_pixel_changes_by_more_than_a_fifth(picture):
    change = abs(tinted(picture).astype(int) - picture)
    assert (change <= picture * 0.2 + 1).all()
