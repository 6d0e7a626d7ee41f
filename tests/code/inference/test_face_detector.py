"""Face detection: synthetic faces on a background are found and cropped as in training."""

import hashlib
import zipfile

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.conftest import ROOT
from tests.support import scenes

from unveil.common.errors import UserError
from unveil.data.decoding import decode
from unveil.inference import face_detector
from unveil.inference.face_detector import Detection

REAL = ROOT.parent / "shared/data/Facial_emotion_images.zip"


@pytest.fixture(scope="module")
def cascade():
    return face_detector.detector()


def near(found: Detection, place: tuple[int, int, int], share: float = 0.25) -> bool:
    x, y, side = place
    bounds = (x, y, x + side, y + side)
    own = (found.box[0], found.box[1], found.box[0] + found.box[2], found.box[1] + found.box[3])
    return all(abs(a - b) <= share * side for a, b in zip(own, bounds, strict=True))


@pytest.mark.parametrize("place", [(60, 40, 200), (400, 250, 120)])
def test_a_face_is_detected_at_its_position(cascade, place):
    (found,) = cascade(scenes.scene(place))
    assert near(found, place)
    assert face_detector.cut(scenes.scene(place), found, 48).shape == (48, 48)


def test_the_largest_face_is_first(cascade):
    first, second = (340, 60, 240), (40, 40, 140)
    found = cascade(scenes.scene(second, first))
    assert len(found) == 2
    assert near(found[0], first) and near(found[1], second)


@pytest.mark.parametrize("picture", ["noise", "even", "ramp"])
def test_without_a_face_nothing_is_detected(cascade, picture):
    pictures = {
        "noise": np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8),
        "even": np.full((480, 640), 128, np.uint8),
        "ramp": np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1)),
    }
    assert cascade(pictures[picture]) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (20, 30), (3, 640)])
def test_pictures_of_any_shape_are_accepted(cascade, shape):
    assert cascade(np.zeros(shape, np.uint8)) == []


def test_concurrent_threads_detect_the_same_faces(cascade):
    from concurrent.futures import ThreadPoolExecutor

    picture = scenes.scene((60, 40, 200))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(cascade, [picture] * 12))
    assert found == [cascade(picture)] * 12


def test_a_small_picture_is_treated_as_a_face():
    assert face_detector.is_face(np.zeros((48, 48), np.uint8))
    assert not face_detector.is_face(np.zeros((48, 65), np.uint8))


def test_a_face_with_eyes_is_rotated_upright():
    picture = np.zeros((200, 200), np.uint8)
    left, right = (80.0, 120.0), (120.0, 80.0)
    for x, y in (left, right):
        picture[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5] = 255
    face = face_detector.cut(picture, Detection(box=(50, 50, 100, 100), eyes=(left, right)), 96)
    rows, columns = np.nonzero(face > 128)
    middle = (columns < 48, columns >= 48)
    spots = [(columns[side].mean() / 96, rows[side].mean() / 96) for side in middle]
    assert np.allclose(spots, face_detector.EYES, atol=0.02)


@pytest.mark.parametrize("eyes", [((5.0, 5.0), (5.0, 5.0)), ((0.0, 0.0), (1e9, 1e9))])
def test_implausible_eyes_do_not_make_a_huge_picture(eyes):
    face = face_detector.cut(
        np.zeros((50, 50), np.uint8), Detection(box=(0, 0, 9, 9), eyes=eyes), 48
    )
    assert face.shape == (48, 48)


def yunet() -> bytes:
    """A network with YuNet's interface that detects bright cells of 32 pixels as face centres."""
    nodes, held, outputs = [], [], []
    offsets = {"bbox": (0, 0, np.log(4), np.log(4)), "kps": (-1, -0.5, 1, -0.5, *(0,) * 6)}
    for stride in (8, 16, 32):
        cells = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes.append(helper.make_node("AveragePool", ["input"], [f"mean{stride}"], **cells))
        for kind, width in {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}.items():
            name, score = f"{kind}_{stride}", kind in ("cls", "obj")
            weights = np.full((width, 3, 1, 1), 0.1 if score and stride == 32 else 0, np.float32)
            bias = np.full(width, -40) if score else np.array(offsets[kind])
            held += [
                numpy_helper.from_array(weights, f"{name}_w"),
                numpy_helper.from_array(bias.astype(np.float32), f"{name}_b"),
                numpy_helper.from_array(np.array([1, -1, width], np.int64), f"{name}_shape"),
            ]
            inside = [f"mean{stride}", f"{name}_w", f"{name}_b"]
            last = f"{name}_raw" if score else name
            nodes += [
                helper.make_node("Conv", inside, [f"{name}_c"], kernel_shape=[1, 1]),
                helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", f"{name}_shape"], [last]),
                *([helper.make_node("Sigmoid", [last], [name])] if score else []),
            ]
            shape = [1, (640 // stride) ** 2, width]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])
    graph = helper.make_graph(nodes, "toy", [given], outputs, held)
    opset = [helper.make_opsetid("", 11)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def test_yunet_returns_the_eyes(tmp_path):
    file = tmp_path / "yunet.onnx"
    file.write_bytes(content := yunet())
    find = face_detector.from_option(f"{file}@{hashlib.sha256(content).hexdigest()}")
    picture = np.zeros((640, 640), np.uint8)
    assert find(picture) == []
    picture[320:352, 320:352] = 255
    (face,) = find(picture)
    assert face.box == (256, 256, 128, 128)
    assert face.eyes == ((288.0, 304.0), (352.0, 304.0))
    (twice,) = find(np.kron(picture, np.ones((2, 2), np.uint8)))
    assert twice.box == (512, 512, 256, 256)


def test_a_file_with_another_sha256_is_refused(tmp_path):
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"another")
    with pytest.raises(UserError, match=f"has sha256 .*, not {face_detector.YUNET}") as raised:
        face_detector.detector(file)
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="is not there; --detector takes"):
        face_detector.detector(tmp_path / "nowhere.onnx")


def test_a_pinned_file_that_is_not_a_network_is_refused(tmp_path):
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"another")
    with pytest.raises(UserError, match="is not a YuNet model") as raised:
        face_detector.detector(file, hashlib.sha256(b"another").hexdigest())
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the real faces are not here")
def test_three_of_four_real_faces_on_a_canvas_are_detected_with_their_original_box(cascade):
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if "/test/" in name and name.endswith(".jpg")]
        chosen = np.random.default_rng(0).permutation(names)[:60]
        faces = [decode(archive.read(name)).pixels for name in chosen]
    sides = []
    for face in faces:
        picture = np.full((480, 640), int(face.mean()), np.uint8)
        large = Image.fromarray(face).resize((200, 200), Image.Resampling.BICUBIC)
        picture[140:340, 220:420] = np.asarray(large)
        found = [one for one in cascade(picture) if near(one, (220, 140, 200), 0.3)]
        sides += [found[0].box[2] / 200] if found else []
    print(f"found {len(sides)} of {len(faces)}, median side {np.median(sides):.2f}")
    assert len(sides) >= 0.7 * len(faces)
    assert 0.9 <= np.median(sides) <= 1.1


@pytest.mark.fault("the cascade altered")
def test_an_altered_cascade_is_refused(monkeypatch):
    face_detector.detector()
    monkeypatch.setattr(face_detector, "CASCADE", "0" * 64)
    with pytest.raises(UserError, match=r"haarcascade_frontalface_alt2\.xml is not OpenCV"):
        face_detector.detector()
