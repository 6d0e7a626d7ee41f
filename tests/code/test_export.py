"""Export: what is written answers as Keras does, for every architecture, or is not written."""

import dataclasses
import inspect
import json
import shutil
import subprocess
import sys
import uuid

import keras
import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT, pack
from tests.training import toy

from unveil import bundle, convert, export, leaflet, params, promote, registry
from unveil.architectures import Transfer, transfer
from unveil.bundle_folder import FILES
from unveil.cli import stages
from unveil.errors import UserError
from unveil.files import sha256, write_json
from unveil.paths import BUNDLE, COMPARISON, MODELS, PACKED, REPORTS, STARTER, VERDICT
from unveil.registry import runs

CALIBRATION = {"temperature": 1.7, "abstain_below": 0.6, "target_risk": 0.1, "coverage": 0.9}


def quarters(sharpness: float = 6.0) -> keras.Model:
    """A network that finds the bright quarter, with a layer that answers otherwise in training."""
    faces = keras.Input((48, 48, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(24)(keras.layers.Rescaling(1 / 255)(faces))
    flat = keras.layers.Flatten(name="features")(keras.layers.BatchNormalization()(small))
    end = keras.layers.Dense(4, "softmax", name="probabilities")
    network = keras.Model(faces, end(flat))
    end.set_weights([sharpness * np.eye(4, dtype="float32"), np.zeros(4, "float32")])
    return network


def trained(key: str = "cnn3") -> params.Params:
    loaded, folder = params.load(), MODELS / key
    folder.mkdir(parents=True)
    quarters().save(folder / "model.keras")
    names = ("loss", "accuracy", "macro_f1")
    measures = (*names, *(f"val_{name}" for name in names), "learning_rate")
    row = {"epoch": 0, "stage": 1, "seconds": 0.5, "timestamp": 1, **dict.fromkeys(measures, 0.5)}
    pd.DataFrame([row]).to_csv(folder / "history.csv", index=False)
    write_json(folder / "run.json", runs.described(key, loaded, uuid.uuid4().hex))
    return loaded


def evaluated(key: str = "cnn3") -> None:
    from unveil import evaluate

    metrics = evaluate.evaluate(key, params.load())
    write_json(REPORTS / key / "metrics.json", {**metrics, "calibration": CALIBRATION})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of a trained and evaluated network, and the project it is of."""
    place = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(ROOT / "params.yaml", place)
        pack(place)
        loaded = trained()
        evaluated()
        yield export.export(export.trained("cnn3", loaded))


def test_the_bundle_says_what_it_is_and_how_near_to_keras(made):
    card = made.card
    assert (card.classes, card.image_size) == (params.load().classes, 48)
    assert (card.temperature, card.abstain_below) == (1.7, 0.6)
    assert card.digests == {name: sha256(BUNDLE / name) for name in FILES.values()}
    assert card.numbers["images"] == 24
    assert card.numbers["macro_f1"]["value"] == 1.0
    assert card.parity["float32"]["max_difference"] <= export.TOLERANCE
    assert card.parity["float32"]["changed_labels"] == 0
    assert card.lineage["origin"] == registry.origin(MODELS / "cnn3")
    assert "model.int8.onnx" in export.told(made)


def test_the_probabilities_are_calibrated_inside_the_network(made):
    with np.load("data/03_packed/test.npz") as arrays:
        images = arrays["images"]
    raw = quarters().predict(images, verbose=0).astype(np.float64)
    logits = np.log(raw) / 1.7
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(made.probabilities(images), expected, atol=1e-5)
    assert not np.allclose(raw, expected, atol=0.05)


def test_the_bundle_knows_what_served_faces_are_held_against(made):
    held = made.card.reference
    assert set(held.histograms) == {"brightness", "sharpness", "label", "confidence", "embedding"}
    assert sum(held.histograms["brightness"].counts) == 48  # of train
    assert held.histograms["label"].counts == (6, 6, 6, 6)  # of validation
    with np.load("data/03_packed/validation.npz") as arrays:
        images = arrays["images"]
    network = quarters()
    both = keras.Model(network.inputs, network.get_layer("features").output)
    expected = both.predict(images, verbose=0)
    assert np.allclose(made.answers(images).embeddings, expected, atol=1e-5)
    assert np.allclose(held.space.mean, expected.mean(0), rtol=1e-4)
    assert bundle.load(BUNDLE, precision="int8").answers(images).embeddings.shape == (24, 4)


def test_the_page_beside_it_has_the_numbers_with_their_interval_and_the_limits(made):
    said = (BUNDLE / "README.md").read_text()
    assert "| `model.onnx` | 1.0000 [1.0000, 1.0000] | 0 |" in said
    assert "temperature 1.700. Under a probability of 0.600 it names no class" in said
    assert "no\nstatement about what a person feels" in said
    assert "Data: faces of real pictures" in said


def test_a_report_about_another_network_calibrates_nothing(made):
    report = REPORTS / "cnn3/metrics.json"
    content = report.read_text()
    write_json(report, json.loads(content) | {"model_digest": "0" * 64})
    assert export.trained("cnn3", params.load()).calibration == {}
    report.write_text(content)


def test_a_network_that_is_answered_for_wrongly_is_refused_and_the_old_bundle_stays(
    made, monkeypatch
):
    before = sha256(BUNDLE / "bundle.json")
    source = export.trained("cnn3", params.load())
    honest = convert.to_onnx

    def another(network, path, *, temperature):
        honest(quarters(5.0), path, temperature=temperature)

    monkeypatch.setattr(convert, "to_onnx", another)
    with pytest.raises(UserError, match=r"model\.onnx does not answer as Keras does: 0\.\d+ apart"):
        export.export(source)
    assert sha256(BUNDLE / "bundle.json") == before
    assert list(BUNDLE.parent.glob(".unveil-*")) == []


def test_the_starter_is_small_enough_for_git(made, monkeypatch):
    monkeypatch.setattr(export, "STARTER_BYTES", 100)
    with pytest.raises(UserError, match="models/starter takes 100 at most"):
        export.export(export.trained("cnn3", params.load()), STARTER)
    assert not STARTER.exists()


def test_the_starter_says_what_its_card_says_and_is_small_enough_for_git():
    starter = ROOT / STARTER
    card, told = bundle.load(starter).card, (starter / "README.md").read_text()
    for precision in ("float32", "int8"):
        assert leaflet.score(card, precision) in told
    assert f"Under a probability of {card.abstain_below:.3f} " in told
    assert f"temperature {card.temperature:.3f}" in told
    assert (starter / "model.onnx").stat().st_size <= export.STARTER_BYTES


def test_faces_of_another_size_are_refused(made):
    source = dataclasses.replace(export.trained("cnn3", params.load()), image_size=64)
    with pytest.raises(UserError, match=r"takes faces of 64 pixels, .*test\.npz has 48"):
        export.export(source)


def test_the_champion_is_exported_with_the_calibration_of_its_own_report(made):
    with pytest.raises(UserError, match=r"no champion yet; .* --architecture ARCH"):
        export.champion()
    loaded = params.load()
    write_json(VERDICT, {"passed": True})
    report = json.loads((REPORTS / "cnn3/metrics.json").read_text())
    write_json(COMPARISON, {"ranking": ["cnn3"], "reports": {"cnn3": report}})
    assert promote.promote(loaded).promoted
    (REPORTS / "cnn3/metrics.json").unlink()
    source = export.champion()
    assert source.calibration == CALIBRATION
    assert (source.architecture, source.lineage["version"]) == ("cnn3", "1")
    assert source.tested_on == report["test_digest"] == sha256(PACKED / "test.npz")


def test_of_who_was_tested_on_other_images_no_number_is_stated(made, tmp_path):
    source = dataclasses.replace(export.trained("cnn3", params.load()), tested_on="f" * 64)
    other = export.export(source, tmp_path / "other")
    assert (other.card.numbers, other.card.reference) == ({}, None)
    assert (other.card.lineage["data"], other.card.lineage["test_digest"]) == (
        "faces of real pictures",
        "f" * 64,
    )
    assert other.card.parity["float32"]["changed_labels"] == 0
    assert "macro-F1 not stated" in export.told(other)
    assert "test.npz is not what it was tested on; `git checkout`" in export.told(other)
    assert "| `model.onnx` | not stated | 0 |" in (other.folder / "README.md").read_text()


def test_one_without_a_report_of_its_own_is_said_to_be_not_calibrated(made, tmp_path):
    source = dataclasses.replace(export.trained("cnn3", params.load()), calibration={})
    other = export.export(source, tmp_path / "other")
    assert "not calibrated, and unsure under 0.5 alone" in export.told(other)
    assert "not calibrated" not in export.told(made)
    assert (
        "- Not calibrated. Under a probability of 0.500 it names no class. No thr"
        in (other.folder / "README.md").read_text()
    )


def toys(key: str):
    """An architecture at toy size; a real backbone is small in pixels alone."""
    entry = params.load().architectures[key]
    if isinstance(entry, Transfer):
        return dataclasses.replace(entry, weights="none", input_size=32, head=8)
    return toy(key).architectures[key]


KEYS = [
    pytest.param(key, marks=pytest.mark.slow if isinstance(entry, Transfer) else ())
    for key, entry in params.load().architectures.items()
]


@pytest.mark.parametrize("key", KEYS)
def test_every_architecture_answers_in_onnx_as_in_keras(key, tmp_path):
    keras.utils.set_random_seed(0)
    network = toys(key).build(48, 4)
    shake(network)
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 1)).astype(np.uint8)
    expected = network.predict(images, verbose=0)
    convert.to_onnx(network, tmp_path / "model.onnx", temperature=1.0)
    found = answers(tmp_path / "model.onnx", images)
    compared = export.parity(expected, found)
    print(key, compared)
    assert compared.max_difference < export.TOLERANCE
    assert compared.changed_labels == 0


def backbone(name: str) -> Transfer:
    return Transfer(
        builder="transfer", backbone=name, weights="none", input_size=32, head=8, dropout=0.1
    )


def test_convolutions_in_groups_and_gelu_answer_as_in_keras(tmp_path):
    faces = keras.Input((32, 32, 1), dtype="uint8")
    x = keras.layers.Conv2D(8, 3)(keras.layers.Rescaling(1 / 255)(faces))
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", groups=8, activation="gelu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    network = keras.Model(faces, keras.layers.Dense(4, "softmax")(x))
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 1)).astype(np.uint8)
    before = network.predict(images, verbose=0)
    convert.to_onnx(network, tmp_path / "model.onnx", temperature=1.0)
    found = answers(tmp_path / "model.onnx", images)
    assert export.parity(before, found).max_difference < 1e-5
    assert np.array_equal(network.predict(images, verbose=0), before)


@pytest.fixture
def unexportable(monkeypatch) -> Transfer:
    """A backbone whose convolution in groups ONNX cannot have, of a family never tried."""

    def network(include_top, weights, input_tensor):
        x = keras.layers.Conv2D(8, 3)(input_tensor)
        x = keras.layers.Conv2D(8, 3, groups=4, name="in_groups")(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    monkeypatch.setattr(keras.applications.vgg16, "Grouped", network, raising=False)
    monkeypatch.setattr(transfer, "EXPORTED", frozenset())
    return backbone("vgg16.Grouped")


def test_a_backbone_that_cannot_be_exported_is_refused_before_it_is_trained(
    packed, unexportable, monkeypatch
):
    loaded = params.load()
    loaded.architectures["cnn3"] = unexportable
    monkeypatch.setattr(params, "load", lambda: loaded)
    with pytest.raises(UserError, match="exported to ONNX: in_groups convolves in 4 groups of 2"):
        stages.train("cnn3")
    assert not MODELS.exists()


def test_whatever_the_exporter_raises_is_one_line(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("No Op registered\n\nfor it")

    monkeypatch.setattr(keras.Model, "export", fails)
    with pytest.raises(UserError) as raised:
        convert.to_onnx(quarters(), tmp_path / "model.onnx", temperature=1.0)
    assert str(raised.value) == (
        "the network cannot be exported to ONNX: RuntimeError: No Op registered for it; choose "
        "another backbone"
    )
    (tmp_path / "none.onnx").write_bytes(b"none")
    with pytest.raises(UserError, match="the network cannot be written in 8 bits: "):
        convert.quantize(
            tmp_path / "none.onnx", tmp_path / "8.onnx", np.zeros((1, 48, 48, 1), "u1")
        )


SMALLEST = {
    "convnext": "ConvNeXtTiny",
    "densenet": "DenseNet121",
    "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3": "MobileNetV3Small",
    "nasnet": "NASNetMobile",
    "resnet": "ResNet50",
    "resnet50": "ResNet50",
    "resnet_v2": "ResNet50V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}


def test_every_family_is_known_to_be_exported():
    families = {name for name, one in vars(keras.applications).items() if inspect.ismodule(one)}
    assert set(SMALLEST) == transfer.EXPORTED == families - {"imagenet_utils"}


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALLEST)
def test_the_smallest_network_of_each_family_answers_as_in_keras(family, tmp_path):
    entry = dataclasses.replace(
        backbone(f"{family}.{SMALLEST[family]}"), input_size=75 if "inception" in family else 32
    )
    network = entry.build(48, 4)
    shake(network)
    images = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1)).astype(np.uint8)
    convert.to_onnx(network, tmp_path / "model.onnx", temperature=1.0)
    found = answers(tmp_path / "model.onnx", images)
    assert export.parity(network.predict(images, verbose=0), found).max_difference < 1e-4
    convert.quantize(tmp_path / "model.onnx", tmp_path / "8.onnx", images)
    assert np.isfinite(answers(tmp_path / "8.onnx", images)).all()


def test_what_a_network_subtracts_is_inside_the_file_not_another_input(tmp_path):
    faces = keras.Input((48, 48, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(24)(keras.layers.Rescaling(1 / 255)(faces))
    x = keras.layers.Concatenate()([small] * 3)
    x = keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.2, 0.1])(x)
    # As VGG16 does, and EfficientNet above.
    x = keras.applications.vgg16.preprocess_input(x)
    network = keras.Model(faces, keras.layers.Dense(4, "softmax")(keras.layers.Flatten()(x)))
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 1)).astype(np.uint8)
    convert.to_onnx(network, tmp_path / "model.onnx", temperature=1.0)
    found = answers(tmp_path / "model.onnx", images)
    assert export.parity(network.predict(images, verbose=0), found).max_difference < 1e-5


def shake(network: keras.Model) -> None:
    """Give batch-norm statistics that differ from those of any batch, and weights some spread."""
    generator = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            *learned, mean, variance = layer.get_weights()  # Inception's have no scale
            mean = mean + generator.normal(0, 0.1, mean.shape)
            variance = variance * generator.uniform(0.5, 2, variance.shape)
            layer.set_weights([*learned, mean, variance])


def answers(path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"faces": images})[0]


def test_behind_jax_the_choice_is_named():
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "from pathlib import Path\n"
        "from unveil import convert\n"
        "try: convert.to_onnx(None, Path('x'), temperature=1.0)\n"
        "except Exception as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.startswith("export needs KERAS_BACKEND=tensorflow, not 'jax'"), said.stderr
