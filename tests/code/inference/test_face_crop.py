"""Crops of faces: the frame is recovered from eyes, nose and mouth, and what is cut is upright."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from unveil.inference.face_crop import FRAME, Detection, Square, box_of, cut, fit_square, whole


def points(square: Square) -> np.ndarray:
    """Eyes, nose and mouth of a face in its frame."""
    turn = complex(math.cos(math.radians(square.angle)), math.sin(math.radians(square.angle)))
    shares = np.array(FRAME) @ [1, 1j] - complex(0.5, 0.5)
    placed = complex(square.x, square.y) + shares * turn * square.side
    return np.stack([placed.real, placed.imag], axis=1)


SQUARES = st.builds(
    Square,
    st.floats(-50, 700),
    st.floats(-50, 700),
    st.floats(2, 900),
    st.floats(-179, 179),
)


@given(SQUARES)
def test_the_frame_is_recovered_from_its_points(square):
    found = fit_square(points(square))
    assert (found.x, found.y, found.side) == pytest.approx((square.x, square.y, square.side))
    assert found.angle == pytest.approx(square.angle, abs=1e-4)


@given(SQUARES)
def test_a_box_is_inside_the_picture_and_has_pixels(square):
    left, top, width, height = box_of(square, (300, 200))
    assert 0 <= left < left + width <= 200
    assert 0 <= top < top + height <= 300


@given(SQUARES, st.sampled_from([1, 7, 48, 96]))
def test_a_crop_of_an_even_picture_is_even(square, size):
    face = cut(np.full((60, 80), 77, np.uint8), Detection((0, 0, 1, 1), square), size)
    assert face.shape == (size, size)
    assert set(face.ravel()) == {77}


@pytest.mark.parametrize("angle", [0, 20, -45, 90, 180])
@pytest.mark.parametrize("side", [40, 150])
def test_a_turned_face_is_cut_upright(angle, side):
    square = Square(150, 140, side, angle)
    picture = Image.new("L", (300, 280))
    pen, radius = ImageDraw.Draw(picture), side * 0.06
    for x, y in points(square)[:2]:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    face = cut(np.asarray(picture), Detection((0, 0, 1, 1), square), 96)
    rows, columns = np.nonzero(face > 128)
    for half, (x, y) in zip((columns < 48, columns >= 48), FRAME[:2], strict=True):
        assert columns[half].mean() / 96 == pytest.approx(x, abs=0.02)
        assert rows[half].mean() / 96 == pytest.approx(y, abs=0.02)


def test_an_upright_crop_of_the_size_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    assert (cut(picture, Detection((0, 0, 48, 48), Square(24, 24, 48)), 48) == picture).all()
    assert (cut(picture, whole(picture), 48) == picture).all()


def test_a_crop_of_a_coloured_picture_is_that_of_its_gray_one():
    coloured = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    gray = np.asarray(Image.fromarray(coloured).convert("L"))
    for found in (Detection((0, 0, 1, 1), Square(50, 40, 70, 13)), Detection((9, 9, 60, 60))):
        assert (cut(coloured, found, 48) == cut(gray, found, 48)).all()
