"""Face detection: synthetic faces on a background are found and cropped as in training."""

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import f1_score
from tests.conftest import ROOT
from tests.support import scenes

from unveil.common.errors import UserError
from unveil.data.decoding import decode
from unveil.inference import bundle, face_detector, face_network, picture_sizes
from unveil.inference.candidates import merge
from unveil.inference.face_crop import Detection, cut
from unveil.inference.picture_sizes import FILES, MOVING, STILL

SHARED = ROOT.parent / "shared/data"
REAL, SCENES = SHARED / "Facial_emotion_images.zip", SHARED / "scenes"


@pytest.fixture(scope="module")
def detect():
    return face_detector.detector()


def near(found: Detection, place: tuple[int, int, int], share: float = 0.33) -> bool:
    x, y, side = place
    bounds = (x, y, x + side, y + side)
    own = (found.box[0], found.box[1], found.box[0] + found.box[2], found.box[1] + found.box[3])
    return all(abs(a - b) <= share * side for a, b in zip(own, bounds, strict=True))


@pytest.mark.parametrize("place", [(60, 40, 200), (400, 250, 120)])
def test_a_face_is_detected_at_its_position(detect, place):
    (found,) = detect(scenes.scene(place))
    assert near(found, place)


def test_a_face_is_detected_in_colour_and_in_gray(detect):
    picture = scenes.scene((60, 40, 200))
    assert detect(np.repeat(picture[..., np.newaxis], 3, 2)) == detect(picture)


def test_the_largest_face_is_first(detect):
    first, second = (340, 60, 240), (40, 40, 140)
    found = detect(scenes.scene(second, first))
    assert len(found) == 2
    assert near(found[0], first) and near(found[1], second)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_the_angle_is_that_of_the_face(detect, turn):
    upright = scenes.scene((200, 100, 240))
    (before,) = detect(upright)
    turned = np.asarray(Image.fromarray(upright).rotate(-15 * turn, fillcolor=120))
    (after,) = detect(turned)
    assert after.square.angle - before.square.angle == pytest.approx(15 * turn, abs=12)


@pytest.mark.parametrize("settings", [STILL, MOVING], ids=["still", "moving"])
@pytest.mark.parametrize("picture", ["noise", "even", "black", "ramp"])
def test_without_a_face_nothing_is_detected(settings, picture):
    pictures = {
        "noise": np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8),
        "even": np.full((480, 640), 128, np.uint8),
        "black": np.zeros((480, 640, 3), np.uint8),
        "ramp": np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1)),
    }
    assert face_detector.detector(settings)(pictures[picture]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (20, 30), (3, 640), (20, 20_000)])
def test_pictures_of_any_shape_are_accepted(detect, shape):
    assert detect(np.zeros(shape, np.uint8)) == []


def test_a_picture_in_which_nothing_is_found_is_searched_more_closely():
    picture = scenes.scene((400, 300, 40), size=(900, 1200))
    once = face_detector.detector(replace(FILES, most=300, closest=0))
    assert once(picture) == []
    (found,) = face_detector.detector(replace(FILES, most=300))(picture)
    assert near(found, (400, 300, 40), 0.35)


def test_in_files_every_place_of_the_closer_search_is_looked_at_again(monkeypatch):
    monkeypatch.setattr(face_detector, "MOST_CLOSELY", 0)
    picture = scenes.scene((400, 300, 40), size=(900, 1200))
    assert face_detector.detector(replace(FILES, most=300, thorough=False))(picture) == []
    (found,) = face_detector.detector(replace(FILES, most=300))(picture)
    assert near(found, (400, 300, 40), 0.35)


@given(length=st.integers(1, 9000))
def test_the_parts_of_a_side_cover_it_and_share_more_than_a_face(length):
    parts = picture_sizes.parts(length)
    assert (parts[0][0], parts[-1][1]) == (0, length)
    assert all(0 < end - start <= picture_sizes.TILE for start, end in parts)
    shared = [end - start for (_, end), (start, _) in pairwise(parts)]
    assert all(one >= picture_sizes.SHARED for one in shared)


@pytest.fixture
def inputs(monkeypatch) -> list[tuple[int, int]]:
    """The sizes of the images that the network sees of a picture and its parts."""
    sizes, look = [], picture_sizes.look

    def spy(image, *others):
        sizes.append(image.size)
        return look(image, *others)

    monkeypatch.setattr(picture_sizes, "look", spy)
    return sizes


@pytest.mark.parametrize("corner", [(780, 300), (1190, 300), (2240, 300), (2270, 770)])
def test_a_face_is_found_once_wherever_the_parts_of_a_picture_end(corner, inputs):
    picture = scenes.scene((*corner, 120), size=(900, 2400))
    only = replace(STILL, min_face=16, most=2400, least=2400)
    found = [one for one in merge(list(picture_sizes.look_around(picture, only))) if one[0] > 0.3]
    ((_, box, _),) = found
    assert np.hypot(*((box[:2] + box[2:]) / 2 - np.add(corner, 60))) < 40
    assert len(inputs) == 3
    assert all(max(size) <= picture_sizes.TILE for size in inputs)


def test_the_work_for_a_picture_without_faces_is_bounded(detect, inputs):
    assert detect(np.full((3024, 4032), 120, np.uint8)) == []
    assert sum(width * height for width, height in inputs) < 4e6


def test_turned_faces_are_searched_for_closely_only_if_no_side_shows_a_face(monkeypatch):
    def refused(*_):
        raise AssertionError("searched closely")

    monkeypatch.setattr(face_detector, "look_closely", refused)
    turned = face_detector.detector(replace(STILL, turned=True))
    assert turned(np.rot90(scenes.scene((120, 60, 220), size=(400, 640))))
    with pytest.raises(AssertionError, match="searched closely"):
        turned(np.full((400, 640), 120, np.uint8))


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_face_that_lies_on_its_side_is_found_if_asked_for(detect, quarters):
    upright = scenes.scene((120, 60, 220), size=(400, 640))
    ((_, before),) = [(one.box, one.square) for one in detect(upright)]
    lying = np.rot90(upright, quarters)
    assert all(abs(one.square.side - before.side) > 20 for one in detect(lying))
    (found,) = face_detector.detector(replace(STILL, turned=True))(lying)
    assert found.square.side == pytest.approx(before.side, rel=0.35)
    assert abs(found.square.angle) == pytest.approx(90, abs=15)
    face, expected = cut(lying, found, 48), cut(upright, Detection(found.box, before), 48)
    assert np.corrcoef(face.ravel(), expected.ravel())[0, 1] > 0.6


def test_concurrent_threads_detect_the_same_faces(detect):
    picture = scenes.scene((60, 40, 200))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detect, [picture] * 12))
    assert found == [detect(picture)] * 12


@pytest.mark.parametrize("side", [100, 120, 140])
def test_a_small_face_in_a_small_picture_is_detected(detect, side):
    (found,) = detect(scenes.scene((20, 20, 60), size=(side, side)))
    assert near(found, (20, 20, 60), 0.35)


def test_faces_below_the_smallest_size_are_left_out():
    picture = scenes.scene((60, 40, 200))
    (found,) = face_detector.detector()(picture)
    larger = replace(STILL, min_face=int(found.square.side * 1.1))
    assert face_detector.detector(larger)(picture) == []


def test_a_small_picture_is_treated_as_a_face():
    assert face_detector.is_face(np.zeros((48, 48), np.uint8))
    assert face_detector.is_face(np.zeros((64, 64, 3), np.uint8))
    assert not face_detector.is_face(np.zeros((48, 65), np.uint8))


@pytest.mark.fault("the face detector's file altered by a byte")
def test_an_altered_network_is_refused(tmp_path, monkeypatch):
    content = bytearray(face_network.NETWORK.read_bytes())
    content[1000] ^= 1
    for name, written in {"altered": bytes(content), "empty": b""}.items():
        (tmp_path / name).write_bytes(written)
        monkeypatch.setattr(face_network, "NETWORK", tmp_path / name)
        with pytest.raises(UserError, match=f"{name} is missing or was altered") as raised:
            face_network.network()
        assert "\n" not in str(raised.value)


def overlap(one: list[int], other: tuple[int, int, int, int]) -> float:
    shared = 1.0
    for axis in (0, 1):
        ends = min(one[axis] + one[axis + 2], other[axis] + other[axis + 2])
        shared *= max(0, ends - max(one[axis], other[axis]))
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


@pytest.mark.skipif(not SCENES.exists(), reason="the scenes are not here")
@pytest.mark.parametrize("in_colour", [True, False], ids=["colour", "gray"])
@pytest.mark.parametrize("settings", [STILL, MOVING], ids=["still", "moving"])
def test_the_faces_of_real_scenes_are_found_and_nothing_else(settings, in_colour):
    detect, found, wrong, marked = face_detector.detector(settings), 0, 0, 0
    places = json.loads((SCENES / "boxes.json").read_text())
    for path in sorted(SCENES.glob("*.jpg")):
        seen = [one.box for one in detect(decode(path.read_bytes(), in_colour=in_colour).pixels)]
        boxes = places.get(path.name, [])
        marked += len(boxes)
        found += sum(any(overlap(box, one) >= 0.3 for one in seen) for box in boxes)
        wrong += sum(all(overlap(box, one) < 0.3 for box in boxes) for one in seen)
    print(f"found {found} of {marked}, {wrong} false")
    assert marked == 27
    assert found >= (27 if in_colour else 26)
    assert wrong <= (0 if in_colour else 1)


@pytest.fixture(scope="module")
def real_faces() -> list[Image.Image]:
    if not REAL.exists():
        pytest.skip("the real faces are not here")
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if "/test/" in name and name.endswith(".jpg")]
        chosen = np.random.default_rng(0).permutation(names)[:100]
        return [Image.open(io.BytesIO(archive.read(name))).convert("L") for name in chosen]


@pytest.mark.slow
@pytest.mark.parametrize("side", [100, 224, 600])
def test_a_picture_that_a_real_face_fills_is_a_face(detect, real_faces, side):
    pictures = [np.asarray(face.resize((side, side), 3)) for face in real_faces]
    shares = np.mean([len(detect(one)) == 1 for one in pictures])
    print(f"{shares:.2f} of {len(pictures)}")
    assert shares >= 0.95


@pytest.mark.slow
def test_the_square_is_the_frame_of_the_training_faces(detect, real_faces):
    sides, centres = [], []
    for face in real_faces:
        picture = np.full((480, 640), 120, np.uint8)
        picture[140:340, 220:420] = np.asarray(face.resize((200, 200), 3))
        for one in detect(picture)[:1]:
            sides.append(one.square.side / 200)
            centres.append(((one.square.x - 320) / 200, (one.square.y - 240) / 200))
    print(f"n={len(sides)}, side {np.median(sides):.2f}, centre {np.median(centres, 0).round(2)}")
    assert 0.93 <= np.median(sides) <= 1.07
    assert np.abs(np.median(centres, 0)).max() <= 0.04


@pytest.mark.slow
def test_faces_found_in_a_scene_are_classified_nearly_as_well_as_cut_out_ones(detect):
    if not REAL.exists():
        pytest.skip("the real faces are not here")
    starter = bundle.load(ROOT / "models/starter")
    crops, faces, labels = [], [], []
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if "/test/" in name and name.endswith(".jpg")]
        for name in names:
            face = Image.open(io.BytesIO(archive.read(name))).convert("L")
            picture = np.full((480, 640), 120, np.uint8)
            picture[140:340, 220:420] = np.asarray(face.resize((200, 200), 3))
            if found := detect(picture):
                crops.append(cut(picture, found[0], 48))
                faces.append(np.asarray(face))
                labels.append(starter.classes.index(name.split("/")[-2]))
    scores = [
        f1_score(
            labels, starter.probabilities(np.stack(some)[..., None]).argmax(1), average="macro"
        )
        for some in (faces, crops)
    ]
    print(f"found {len(labels)} of {len(names)}; macro-F1 {scores[0]:.3f}, found {scores[1]:.3f}")
    # The 95 % interval of the difference is 0.02 wide on either side.
    assert scores[1] >= scores[0] - 0.02
