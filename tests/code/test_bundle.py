"""A bundle answers alone, and is refused in one line when it is not what its card says."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tests import bundles

from unveil import bundle, lineage, origins
from unveil.errors import UserError
from unveil.files import write_json
from unveil.paths import BUNDLE, STARTER

FACES = np.stack([bundles.quarter(place) for place in range(4)])[..., None]
HEAVY = ("keras", "tensorflow", "mlflow", "pandas", "sklearn", "dvc", "onnx")


@pytest.fixture
def folder(tmp_path):
    return bundles.made(tmp_path / "bundle")


def test_it_answers_with_the_probabilities_of_its_classes(folder):
    made = bundle.load(folder)
    answers = made.probabilities(FACES)
    assert (answers.shape, answers.dtype) == ((4, 4), np.float32)
    assert np.allclose(answers.sum(1), 1)
    assert answers.argmax(1).tolist() == [0, 1, 2, 3]
    assert (made.classes, made.image_size) == (bundles.CLASSES, 48)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_faces_is_taken(folder, count):
    assert bundle.load(folder).probabilities(FACES[[0] * count]).shape == (count, 4)


def test_the_8_bit_file_is_asked_when_wanted(folder):
    assert bundle.load(folder, precision="int8").probabilities(FACES).argmax(1).tolist() == [
        *range(4)
    ]


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
def test_what_is_absent_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} cannot be read: no such file"):
        bundle.load(folder)


def test_one_altered_byte_is_refused_before_the_network_is_read(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.onnx is not what bundle\.json says"):
        bundle.load(folder)


def rewritten(folder, **changes):
    card = json.loads((folder / "bundle.json").read_text())
    write_json(folder / "bundle.json", card | changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": 2}, "format: input should be 1"),
        ({"classes": ["one"]}, "classes"),
        ({"abstain_below": 1.5}, "abstain_below"),
        ({"temperature": 0.0}, "temperature"),
        ({"image_size": 32}, "takes .* and gives .*, not"),
        ({"classes": ["a", "b", "c"]}, "takes .* and gives .*, not"),
        ({"digests": {}}, "has no model.onnx"),
        ({"more": 1}, "more: unexpected"),
    ],
)
def test_a_card_that_says_something_else_is_refused(folder, changes, named):
    rewritten(folder, **changes)
    with pytest.raises(UserError, match=named) as raised:
        bundle.load(folder)
    assert "\n" not in str(raised.value)


def replaced(folder, content: bytes):
    import hashlib

    (folder / "model.onnx").write_bytes(content)
    rewritten(folder, digests={"model.onnx": hashlib.sha256(content).hexdigest()})


def test_a_file_that_is_no_network_is_refused(folder):
    replaced(folder, b"no network")
    with pytest.raises(UserError, match="is no network for ONNX Runtime") as raised:
        bundle.load(folder)
    assert "\n" not in str(raised.value)


def test_a_network_with_other_inputs_is_refused(folder):
    model = bundles.network()
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info("faces", onnx.TensorProto.UINT8, ["n", 1, 48, 48])
    )
    model.graph.node[1].attribute[0].ints[:] = [0, 1, 2, 3]
    replaced(folder, model.SerializeToString())
    with pytest.raises(UserError, match="takes"):
        bundle.load(folder)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_no_card_whatever_is_in_it_ends_in_another_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("card")
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(UserError):
        bundle.load(folder)


def test_the_exported_one_is_found_before_the_one_that_came_along(place):
    with pytest.raises(UserError, match="no bundle in data/07_bundle or models/starter; `unveil"):
        lineage.chosen(None)
    bundles.made(STARTER)
    assert lineage.chosen(None) == STARTER
    bundles.made(BUNDLE, lineage={"data": origins.REAL})
    assert lineage.chosen(None) == BUNDLE


def test_asking_a_bundle_loads_no_training_and_unpickles_nothing(folder):
    code = (
        "import sys, pickle, numpy as np\n"
        "def never(*a, **k): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = never\n"
        "from pathlib import Path\n"
        "from unveil import answer, bundle\n"
        f"made = bundle.load(Path({str(folder)!r}))\n"
        "shares = made.probabilities(np.full((1, 48, 48, 1), 255, np.uint8))\n"
        "answer.answer(shares[0], made.classes, made.abstain_below)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == "[]", said.stderr
