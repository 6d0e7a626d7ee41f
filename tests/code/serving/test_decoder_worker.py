"""What a decoder process does with a picture: large photographs are reduced while decoded."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.support import scenes

from unveil.data.decoding import Limits, decode
from unveil.inference.face_crop import Square, cut
from unveil.inference.face_detector import detector
from unveil.inference.picture_sizes import STILL
from unveil.serving import prediction_pipeline
from unveil.serving.decoder_worker import DecodeOptions, find_faces

SIZE = 48


def jpeg(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize("side", [150, 600, 1500])
def test_the_faces_of_a_large_photo_have_their_place_in_it_and_its_detail(side):
    place = (900, 700, side)
    content = jpeg(scenes.scene(place, size=(3024, 4032)))
    ((found, crop),) = find_faces(content, DecodeOptions(SIZE), Limits())
    assert found.square is not None
    assert found.square.side == pytest.approx(0.75 * side, rel=0.2)
    assert found.square.x == pytest.approx(900 + side / 2, abs=side / 8)
    assert found.box[2:] == pytest.approx((found.square.side,) * 2, abs=1)
    whole = cut(decode(content, in_colour=True).pixels, found, SIZE)
    assert abs(whole.astype(int) - crop).mean() < 3


def test_a_large_photo_is_searched_as_if_it_was_decoded_whole():
    content = jpeg(scenes.scene((400, 300, 500), (2500, 1500, 240), size=(3024, 4032)))
    expected = detector(STILL)(decode(content, in_colour=True).pixels)
    found = [one for one, _ in find_faces(content, DecodeOptions(SIZE), Limits())]
    assert len(found) == len(expected) == 2
    for own, other in zip(found, expected, strict=True):
        assert own.square.side == pytest.approx(other.square.side, rel=0.1)
        assert own.square.x == pytest.approx(other.square.x, abs=other.square.side / 15)


def test_options_survive_the_way_to_the_process():
    options = DecodeOptions(SIZE, moving=True, near=(Square(1.5, 2.25, 60.0, -3.0),))
    assert DecodeOptions.from_json(options.to_json()) == options


def test_only_one_small_picture_without_compressed_text_is_inspected_in_the_event_loop():
    face, texts = io.BytesIO(), PngInfo()
    texts.add_text("a", "0" * 100_000, zip=True)
    Image.fromarray(scenes.drawn()).save(face, "PNG")
    bomb = io.BytesIO()
    Image.fromarray(scenes.drawn()).save(bomb, "PNG", pnginfo=texts)
    assert prediction_pipeline.is_tiny([face.getvalue()])
    assert not prediction_pipeline.is_tiny([face.getvalue()] * 2)
    assert not prediction_pipeline.is_tiny([bomb.getvalue()])
    assert not prediction_pipeline.is_tiny([bytes(prediction_pipeline.TINY_BYTES + 1)])
