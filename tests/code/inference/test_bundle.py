"""A bundle predicts on its own, and is refused in one line if it differs from its card."""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from tests.conftest import ROOT
from tests.support import bundles

from unveil.common import files
from unveil.common.errors import UserError
from unveil.common.paths import BUNDLE, STARTER
from unveil.data import real_or_synthetic
from unveil.inference import bundle, model_choice

FACES = np.stack([bundles.quarter(place) for place in range(4)])[..., None]
HEAVY = ("keras", "tensorflow", "mlflow", "pandas", "sklearn", "dvc", "onnx")


@pytest.fixture
def folder(tmp_path):
    return bundles.made(tmp_path / "bundle")


def test_it_predicts_the_probabilities_of_its_classes(folder):
    made = bundle.load(folder)
    answers = made.probabilities(FACES)
    assert (answers.shape, answers.dtype) == ((4, 4), np.float32)
    assert np.allclose(answers.sum(1), 1)
    assert answers.argmax(1).tolist() == [0, 1, 2, 3]
    assert (made.classes, made.image_size) == (bundles.CLASSES, 48)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_batch_size_is_accepted(folder, count):
    assert bundle.load(folder).probabilities(FACES[[0] * count]).shape == (count, 4)


def test_the_8_bit_network_is_used_if_requested(folder):
    assert bundle.load(folder, precision="int8").probabilities(FACES).argmax(1).tolist() == [
        *range(4)
    ]


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name} cannot be read: no such file"):
        bundle.load(folder)


def test_one_altered_byte_is_refused_before_the_network_is_loaded(folder):
    content = bytearray((folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.onnx does not match bundle\.json"):
        bundle.load(folder)


def rewritten(folder, **changes):
    card = json.loads((folder / "bundle.json").read_text())
    bundles.told(folder, card | changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": 2}, "format: input should be 1"),
        ({"classes": ["one"]}, "classes"),
        ({"abstain_below": 1.5}, "abstain_below"),
        ({"temperature": 0.0}, "temperature"),
        ({"thresholds": [0.5, 0.5, 0.5, 1.5]}, r"thresholds\.3: "),
        ({"thresholds": [0.5, 0.5]}, "thresholds has not one value for each class"),
        ({"scale": [1.0, 1.0, 1.0, 0.0]}, r"scale\.3: "),
        ({"bias": [1.0]}, "bias has not one value for each class"),
        ({"image_size": 32}, "takes .* and gives .*, not"),
        ({"classes": ["a", "b", "c"]}, "takes .* and gives .*, not"),
        ({"digests": {}}, "has no model.onnx"),
        ({"more": 1}, "more: unexpected"),
    ],
)
def test_an_invalid_card_is_refused(folder, changes, named):
    rewritten(folder, **changes)
    with pytest.raises(UserError, match=named) as raised:
        bundle.load(folder)
    assert "\n" not in str(raised.value)


@pytest.fixture
def starter(tmp_path):
    return shutil.copytree(ROOT / STARTER, tmp_path / "starter")


def altered_threshold(card: str) -> str:
    return card.replace('"abstain_below": 0.5', '"abstain_below": 0.0', 1)


def altered_class(card: str) -> str:
    return card.replace('"sad"', '"mad"', 1)


def exchanged_classes(card: str) -> str:
    return card.replace('"sad"', '"-"').replace('"happy"', '"sad"').replace('"-"', '"happy"')


def altered_reference(card: str) -> str:
    return card.replace("127.597", "127.596", 1)


@pytest.mark.parametrize(
    "alter", [altered_threshold, altered_class, exchanged_classes, altered_reference]
)
@pytest.mark.fault("a bundle's card altered")
def test_an_altered_card_is_refused(starter, alter):
    before = (starter / "bundle.json").read_text()
    (starter / "bundle.json").write_text(alter(before))
    assert (starter / "bundle.json").read_text() != before
    message = r"starter/bundle\.json does not match bundle\.json\.sha256: its sha256 differs"
    with pytest.raises(UserError, match=message) as raised:
        bundle.load(starter)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: no such file or directory; run `unveil export`, or, if you trust"),
        (b"", "is not the line `SHA256  bundle.json`; run `unveil export`"),
        (b"\xff\xfe", "is not the line"),
        (b"0" * 64 + b"  other.json\n", "is not the line"),
        (b"0" * 63 + b"  bundle.json\n", "is not the line"),
        (b"0" * 64 + b"  bundle.json\n" + b"0" * 64 + b"  bundle.json\n", "is not the line"),
        (b"0" * 64 + b"  bundle.json\n", "its sha256 differs"),
    ],
)
@pytest.mark.fault("a bundle's digest lost or altered")
def test_a_card_without_its_digest_is_refused_with_the_command_to_fix_it(folder, content, message):
    file = folder / "bundle.json.sha256"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        bundle.load(folder)
    assert "bundle.json.sha256" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_digest_file_has_the_format_of_sha256sum(starter):
    command = ["sha256sum", "--check", "--strict", "bundle.json.sha256"]
    subprocess.run(command, cwd=starter, check=True, capture_output=True)
    made = subprocess.run(
        ["sha256sum", "--binary", "bundle.json"], cwd=starter, check=True, capture_output=True
    )
    (starter / "bundle.json.sha256").write_bytes(made.stdout)
    assert bundle.load(starter).version is None


def test_a_file_without_a_digest_is_refused_and_hidden_files_are_ignored(folder):
    (folder / ".nfs0001").write_text("")
    (folder / "README.md").write_text("for people")
    bundle.load(folder)
    (folder / "weights.bin").write_bytes(b"0")
    with pytest.raises(
        UserError, match=r"weights\.bin does not belong to this bundle: .*; remove it"
    ):
        bundle.load(folder)


def test_a_network_whose_metadata_differs_from_the_card_is_refused(folder):
    model, card = bundles.network(), bundle.load(folder).card
    for key, value in bundle.metadata(card).items():
        model.metadata_props.add(key=key, value=value)
    replaced(folder, model.SerializeToString())
    bundle.load(folder)
    rewritten(folder, classes=[*reversed(bundles.CLASSES)])
    with pytest.raises(
        UserError, match=r'says unveil\.classes is \["happy", .*run `unveil export`'
    ):
        bundle.load(folder)
    rewritten(folder, classes=[*bundles.CLASSES], abstain_below=0.1)
    with pytest.raises(UserError, match=r"says unveil\.abstain_below is 0\.0, bundle\.json 0\.1"):
        bundle.load(folder)


def test_an_older_bundle_has_one_threshold_for_all_classes(folder):
    card = json.loads((folder / "bundle.json").read_text())
    older = {key: card[key] for key in card if key not in ("thresholds", "scale", "bias")}
    for single, expected in ((0.8, 0.8), (None, 0.5)):
        bundles.told(folder, older | {"abstain_below": single})
        assert bundle.load(folder).thresholds == (expected,) * 4


def test_each_class_has_its_own_threshold_also_in_the_metadata(folder):
    own = (0.5, 0.9, 0.8, 0.7)
    rewritten(folder, thresholds=own, abstain_below=0.5)
    made = bundle.load(folder)
    assert made.thresholds == own
    assert json.loads(bundle.metadata(made.card)["unveil.thresholds"]) == [*own]
    model = bundles.network()
    model.metadata_props.add(key="unveil.thresholds", value="[0.1, 0.1, 0.1, 0.1]")
    replaced(folder, model.SerializeToString())
    rewritten(folder, thresholds=own)
    with pytest.raises(UserError, match=r"says unveil\.thresholds is \[0\.1, "):
        bundle.load(folder)


def test_external_weights_are_not_loaded(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = np.eye(4, dtype=np.float32)
    (tmp_path / "weights.bin").write_bytes(weights.tobytes())
    model = bundles.network()
    outside = onnx.numpy_helper.from_array(weights, "outside")
    outside.ClearField("raw_data")
    outside.data_location = onnx.TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="weights.bin")
    model.graph.initializer.append(outside)
    model.graph.node[-1].input[0] = "turned"
    model.graph.node.insert(5, helper.make_node("MatMul", ["logits", "outside"], ["turned"]))
    replaced(folder, model.SerializeToString())
    with pytest.raises(UserError, match="cannot be loaded by ONNX Runtime"):
        bundle.load(folder)


@pytest.mark.fault("a bundle exchanged while it is read", 40)
def test_a_bundle_replaced_while_it_is_read_is_the_old_or_the_new_one(tmp_path):
    kinds = [bundles.made(tmp_path / str(size), size=size) for size in (32, 48)]
    known = {bundle.load(one).digest for one in kinds}
    target = shutil.copytree(kinds[0], tmp_path / "served")
    over, found, faults = threading.Event(), set(), []

    def read() -> None:
        while not over.is_set():
            try:
                found.add(bundle.load(target).digest)
            except Exception as error:
                faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        with files.atomic_write(target, at_once=True) as path:
            shutil.copytree(kinds[turn % 2], path)
    over.set()
    reader.join(30)
    assert (faults, found <= known) == ([], True)
    assert list(tmp_path.glob(".unveil-*")) == []


def replaced(folder, content: bytes):
    import hashlib

    (folder / "model.onnx").write_bytes(content)
    rewritten(folder, digests={"model.onnx": hashlib.sha256(content).hexdigest()})


def test_a_file_that_is_not_a_network_is_refused(folder):
    replaced(folder, b"no network")
    with pytest.raises(UserError, match="cannot be loaded by ONNX Runtime") as raised:
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
def test_any_card_content_gives_a_user_error_or_none(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("card")
    (folder / "bundle.json").write_bytes(content)
    with pytest.raises(UserError):
        bundle.load(folder)


def test_the_export_is_preferred_to_the_starter(place):
    assert model_choice.choose_bundle() == ROOT / STARTER
    bundles.made(STARTER)
    assert model_choice.choose_bundle() == STARTER
    bundles.made(BUNDLE, lineage={"data": real_or_synthetic.REAL})
    assert model_choice.choose_bundle() == BUNDLE


def test_predicting_with_a_bundle_loads_no_training_and_unpickles_nothing(folder):
    code = (
        "import sys, pickle, numpy as np\n"
        "def never(*a, **k): raise AssertionError('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = never\n"
        "from pathlib import Path\n"
        "from unveil.inference import bundle, decision\n"
        f"made = bundle.load(Path({str(folder)!r}))\n"
        "shares = made.probabilities(np.full((1, 48, 48, 1), 255, np.uint8))\n"
        "decision.answer(shares[0], made.classes, made.thresholds)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert completed.stdout.strip() == "[]", completed.stderr
