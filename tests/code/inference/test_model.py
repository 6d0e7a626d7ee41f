"""The Python interface: unveil.load, pictures of every kind, results, and errors in one line."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from tests.conftest import ROOT
from tests.support import bundles, scenes

import unveil
from unveil.common.paths import BUNDLE
from unveil.data.decoding import Limits, decode
from unveil.inference.inputs import to_pixels

FACE = bundles.quarter(0)


@pytest.fixture
def model(place) -> unveil.Model:
    bundles.made(BUNDLE)
    return unveil.load("champion")


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


KINDS = {
    "gray array": lambda: FACE,
    "gray array with one channel": lambda: FACE[:, :, None],
    "RGB array": lambda: np.repeat(FACE[:, :, None], 3, 2),
    "float array": lambda: (FACE / 255).astype(np.float32),
    "float64 RGB array": lambda: np.repeat(FACE[:, :, None], 3, 2) / 255,
    "PIL image": lambda: Image.fromarray(FACE),
    "RGB PIL image": lambda: Image.fromarray(FACE).convert("RGB"),
    "bytes": lambda: png(FACE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_gives_the_same_prediction(model, kind):
    result = model(KINDS[kind]())
    assert [face.emotion for face in result] == [bundles.CLASSES[0]]
    assert result[0].box is None
    assert result[0].probabilities == pytest.approx(model(FACE)[0].probabilities, abs=1e-6)


def test_a_path_as_text_or_path_is_the_source_of_the_result(model, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(png(FACE))
    assert model(path).source == model(str(path)).source == str(path)
    assert model(path)[0].emotion == bundles.CLASSES[0]


def test_a_list_gives_a_list_in_its_order(model):
    results = model([bundles.quarter(place) for place in (2, 0, 1)])
    assert [one[0].emotion for one in results] == [bundles.CLASSES[place] for place in (2, 0, 1)]


def test_faces_of_a_scene_have_boxes_and_faces_skips_the_search(model):
    picture = scenes.scene((40, 40, 140), (340, 60, 240))
    found = model.predict(picture)
    assert len(found) == 2
    assert found[0].box[2] > found[1].box[2] > 100
    assert [face.box for face in model.predict(picture, faces=True)] == [None]


def test_a_picture_without_a_face_is_an_empty_result(model):
    result = model(np.full((200, 300), 99, np.uint8))
    assert (len(result), list(result), result.to_dict()["faces"]) == (0, [], [])
    assert len(result.to_pandas()) == 0
    assert result.plot().size == (300, 200)


def test_the_top_class_is_there_beside_unsure(place):
    bundles.made(BUNDLE, abstain_below=1.0)
    face = unveil.load("champion")(FACE)[0]
    assert face.emotion is None
    assert face.top == bundles.CLASSES[0]
    assert face.confidence == max(face.probabilities.values())
    assert str(face) == f"unsure, perhaps {face.top} {face.confidence:.2f}"


def test_a_result_is_written_as_json_table_and_picture(model):
    picture = scenes.scene((40, 40, 140))
    result = model(picture)
    written = json.loads(json.dumps(result.to_dict()))
    assert written["faces"][0]["emotion"] == result[0].emotion
    assert written["model"]["trained_on"] == "real faces"
    (row,) = result.to_pandas().to_dict("records")
    assert (row["x"], row["emotion"]) == (result[0].box[0], result[0].emotion)
    assert row[f"p_{result[0].top}"] == result[0].confidence
    plotted = result.plot()
    assert plotted.size == picture.shape[::-1]
    assert (np.asarray(plotted) != np.asarray(Image.fromarray(picture).convert("RGB"))).any()


@pytest.mark.parametrize(
    ("picture", "line"),
    [
        (np.zeros((48, 48), np.int64), "the type must be uint8 with values 0 to 255, or floating"),
        (np.zeros((48, 48), bool), "the type must be uint8"),
        (np.zeros((2, 48, 48, 3), np.uint8), "the shape must be (height, width), or (height"),
        (np.zeros((48, 48, 2), np.uint8), "with 1, 3 or 4 channels"),
        (np.zeros(48, np.uint8), "the shape must be"),
        (np.zeros((0, 48), np.uint8), "array of shape (0, 48) and type uint8: the shape must be"),
        (np.zeros((8, 8), np.uint8), "8x8 pixels, a side under 16"),
        (np.full((48, 48), 1.5), "must be from 0 to 1, not 1.5 to 1.5"),
        (np.full((48, 48), -0.1), "must be from 0 to 1, not -0.1 to -0.1"),
        (np.full((48, 48), np.nan), "must be from 0 to 1, not nan to nan"),
        (np.full((48, 48), np.inf), "must be from 0 to 1, not inf to inf"),
        (FACE * 1.0, "must be from 0 to 1"),
        (b"", "0 bytes: empty file"),
        (b"no picture", "10 bytes: not an image"),
        ("nowhere.png", "nowhere.png: no such file or directory"),
        (None, "a value of type NoneType is not a picture; choose from a path, bytes, a PIL image"),
        ({1}, "a value of type set is not a picture"),
    ],
)
def test_a_wrong_picture_is_one_line(model, picture, line):
    with pytest.raises(unveil.UserError) as error:
        model(picture)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@given(
    arrays.arrays(
        arrays.unsigned_integer_dtypes(sizes=8),
        st.tuples(st.integers(16, 40), st.integers(16, 40)).flatmap(
            lambda side: st.sampled_from([side, (*side, 1), (*side, 3), (*side, 4)])
        ),
    )
)
def test_an_array_is_read_as_its_png_would_be(array):
    plane = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    assert (to_pixels(array, Limits()) == decode(png(plane), in_colour=True).pixels).all()
    assert (to_pixels(array / 255, Limits()) == to_pixels(array, Limits())).all()


@pytest.mark.parametrize("name", ["starte", "nowhere", "models/none"])
def test_an_unknown_bundle_is_named_with_the_choices(place, name):
    with pytest.raises(unveil.UserError) as error:
        unveil.load(name)
    assert str(error.value) == (
        f"no bundle {name!r}; choose from starter, champion, or the folder of a bundle"
    )


def test_a_champion_that_does_not_exist_says_how_to_get_one(place):
    with pytest.raises(unveil.UserError, match="there is no champion in data/07_bundle yet; `make"):
        unveil.load("champion")


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'unveil' has no attribute 'lod'"):
        unveil.lod  # noqa: B018
    assert {"load", "Model", "Result", "Face", "UserError"} <= set(dir(unveil))


def test_importing_unveil_imports_nothing_heavy():
    said = "import sys, unveil; print(sorted({'numpy', 'PIL', 'onnxruntime'} & {*sys.modules}))"
    command = [sys.executable, "-c", said]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_empty_list_is_one_line(model):
    with pytest.raises(unveil.UserError, match="the list of pictures is empty; give at least one"):
        model([])


def test_a_threshold_decides_when_a_class_is_named(model):
    picture = bundles.quarter(1)
    assert unveil.load("champion", threshold=0)(picture)[0].emotion == bundles.CLASSES[1]
    unsure = unveil.load("champion", threshold=1)(picture)[0]
    assert (unsure.emotion, unsure.top) == (None, bundles.CLASSES[1])
    with pytest.raises(unveil.UserError, match=r"threshold=1.5 is not from 0 to 1"):
        unveil.load("champion", threshold=1.5)


def test_the_largest_size_of_a_picture_can_be_chosen(place):
    bundles.made(BUNDLE)
    picture = np.zeros((60, 50), np.uint8)
    assert unveil.load("champion", max_pixels=3000)(picture).faces
    with pytest.raises(unveil.UserError, match=r"50x60 pixels, more than 2999 in all"):
        unveil.load("champion", max_pixels=2999)(picture)
    with pytest.raises(unveil.UserError, match="max_pixels=0 is not positive"):
        unveil.load("champion", max_pixels=0)


def test_a_picture_without_a_face_gives_an_empty_table_and_can_be_hashed(model):
    result = model(np.full((200, 300), 99, np.uint8))
    assert len({result, result}) == 1
    assert result.to_pandas()["emotion"].to_list() == []
