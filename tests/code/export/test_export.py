"""Export: for every architecture the written files reproduce Keras, or the export fails."""

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
from tests.support.training import toy

from unveil import registry
from unveil.cli import stages
from unveil.common.errors import UserError
from unveil.common.files import sha256, write_json
from unveil.common.paths import BUNDLE, COMPARISON, MODELS, PACKED, REPORTS, STARTER, VALIDATION
from unveil.config import params
from unveil.dataset import arrays
from unveil.export import bundle_readme, export, onnx_conversion, parity
from unveil.inference import bundle
from unveil.inference.bundle_files import FILES
from unveil.networks import Transfer, backbones
from unveil.promotion import promote
from unveil.registry import runs

CALIBRATION = {"temperature": 1.7, "abstain_below": 0.6, "target_risk": 0.1, "coverage": 0.9}


def quarters(sharpness: float = 6.0) -> keras.Model:
    """A network that finds the bright quarter, with a layer that differs in training."""
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
    write_json(folder / "run.json", runs.describe_training(key, loaded, uuid.uuid4().hex))
    return loaded


def evaluated(key: str = "cnn3") -> None:
    from unveil.evaluation import evaluate

    metrics = evaluate.evaluate(key, params.load())
    write_json(REPORTS / key / "metrics.json", {**metrics, "calibration": CALIBRATION})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of a trained and evaluated network, in its project."""
    place = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(ROOT / "params.yaml", place)
        pack(place)
        loaded = trained()
        evaluated()
        yield export.export(export.trained("cnn3", loaded))


def test_the_bundle_has_its_card_and_parity_with_keras(made):
    card = made.card
    assert (card.classes, card.image_size) == (params.load().classes, 48)
    assert (card.temperature, card.abstain_below) == (1.7, 0.6)
    assert card.digests == {name: sha256(BUNDLE / name) for name in FILES.values()}
    assert card.numbers["images"] == 24
    assert card.numbers["macro_f1"]["value"] == 1.0
    assert card.parity["float32"]["max_difference"] <= parity.TOLERANCE
    assert card.parity["float32"]["changed_labels"] == 0
    assert card.lineage["origin"] == registry.training_origin(MODELS / "cnn3")
    assert "model.int8.onnx" in export.summary(made)


def test_the_probabilities_are_calibrated_inside_the_network(made):
    with np.load("data/03_packed/test.npz") as arrays:
        images = arrays["images"]
    raw = quarters().predict(images, verbose=0).astype(np.float64)
    logits = np.log(raw) / 1.7
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.allclose(made.probabilities(images), expected, atol=1e-5)
    assert not np.allclose(raw, expected, atol=0.05)


def test_the_bundle_has_a_drift_reference(made):
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


def test_the_readme_has_metrics_with_intervals_and_limits(made):
    text = (BUNDLE / "README.md").read_text()
    assert "| `model.onnx` | 1.000 [1.000, 1.000] | 0 |" in text
    assert "temperature 1.700. Below a probability of 0.600 it is unsure" in text
    assert "not a\nstatement about what a person feels" in text
    assert "Data: faces of real pictures" in text


VECTOR = {
    "method": "vector",
    "temperature": 1.0,
    "scale": [1.5, 0.6, 1.0, 0.8],
    "bias": [1.0, -0.5, -1.0, 0.5],
    "abstain_below": 0.5,
    "thresholds": [0.5, 0.9, 0.8, 0.7],
    "target_kept": False,
    "classes": {
        name: {"target_kept": name != "neutral"} for name in ("happy", "neutral", "sad", "surprise")
    },
}


def test_vector_scaling_and_class_thresholds_are_in_both_networks_and_in_the_card(made, tmp_path):
    source = dataclasses.replace(export.trained("cnn3", params.load()), calibration=VECTOR)
    exported = export.export(source, tmp_path / "bundle")
    card, images = exported.card, arrays.load("test").images
    assert (list(card.scale), list(card.bias)) == (VECTOR["scale"], VECTOR["bias"])
    assert exported.thresholds == (0.5, 0.9, 0.8, 0.7)
    assert card.temperature == 1
    raw = quarters().predict(images, verbose=0).astype(np.float64)
    powers = np.exp(VECTOR["bias"]) * raw ** VECTOR["scale"]
    expected = powers / powers.sum(1, keepdims=True)
    assert np.allclose(exported.probabilities(images), expected, atol=1e-5)
    eighth = bundle.load(exported.folder, precision="int8").probabilities(images)
    assert np.allclose(eighth, expected, atol=0.05)
    text = (exported.folder / "README.md").read_text()
    assert "happy 1.500 and +1.000, neutral 0.600 and -0.500" in text
    assert "Below a probability of happy 0.500, neutral 0.900, sad 0.800, surprise 0.700" in text
    assert "keeps the error rate of neutral at a target" in text


def test_a_report_of_another_network_is_not_used_for_calibration(made):
    report = REPORTS / "cnn3/metrics.json"
    content = report.read_text()
    write_json(report, json.loads(content) | {"model_digest": "0" * 64})
    assert export.trained("cnn3", params.load()).calibration == {}
    report.write_text(content)


def test_an_export_without_parity_is_refused_and_the_old_bundle_stays(made, monkeypatch):
    before = sha256(BUNDLE / "bundle.json")
    source = export.trained("cnn3", params.load())
    honest = onnx_conversion.to_onnx

    def another(network, path, *, calibration):
        honest(quarters(5.0), path, calibration=calibration)

    monkeypatch.setattr(onnx_conversion, "to_onnx", another)
    line = r"model\.onnx does not reproduce the Keras model: probabilities differ by up to 0\.\d+"
    with pytest.raises(UserError, match=line):
        export.export(source)
    assert sha256(BUNDLE / "bundle.json") == before
    assert list(BUNDLE.parent.glob(".unveil-*")) == []


def test_the_starter_is_small_enough_for_git(made, monkeypatch):
    monkeypatch.setattr(export, "STARTER_BYTES", 100)
    with pytest.raises(UserError, match="models/starter takes 100 at most"):
        export.export(export.trained("cnn3", params.load()), STARTER)
    assert not STARTER.exists()


def test_the_starters_readme_matches_its_card_and_it_is_small_enough_for_git():
    starter = ROOT / STARTER
    card, text = bundle.load(starter).card, (starter / "README.md").read_text()
    for precision in ("float32", "int8"):
        assert bundle_readme.score(card, precision) in text
    assert card.scale and "vector scaling" in text
    assert all(f"{threshold:.3f}" in text for threshold in card.class_thresholds)
    assert (starter / "model.onnx").stat().st_size <= export.STARTER_BYTES


def test_faces_of_another_size_are_refused(made):
    source = dataclasses.replace(export.trained("cnn3", params.load()), image_size=64)
    with pytest.raises(UserError, match=r"takes faces of 64 pixels, .*test\.npz has 48"):
        export.export(source)


def test_the_champion_is_exported_with_the_calibration_of_its_own_report(made):
    with pytest.raises(UserError, match=r"no champion yet; .* --architecture ARCH"):
        export.champion()
    loaded = params.load()
    write_json(VALIDATION, {"passed": True})
    report = json.loads((REPORTS / "cnn3/metrics.json").read_text())
    write_json(COMPARISON, {"ranking": ["cnn3"], "reports": {"cnn3": report}})
    assert promote.promote(loaded).promoted
    (REPORTS / "cnn3/metrics.json").unlink()
    source = export.champion()
    assert source.calibration == CALIBRATION
    assert (source.architecture, source.lineage["version"]) == ("cnn3", "1")
    assert source.tested_on == report["test_digest"] == sha256(PACKED / "test.npz")


def test_a_network_tested_on_other_images_states_no_metrics(made, tmp_path):
    source = dataclasses.replace(export.trained("cnn3", params.load()), tested_on="f" * 64)
    other = export.export(source, tmp_path / "other")
    assert (other.card.numbers, other.card.reference) == ({}, None)
    assert (other.card.lineage["data"], other.card.lineage["test_digest"]) == (
        "faces of real pictures",
        "f" * 64,
    )
    assert other.card.parity["float32"]["changed_labels"] == 0
    assert "macro-F1 not stated" in export.summary(other)
    assert "test.npz is not what it was tested on; `git checkout`" in export.summary(other)
    assert "| `model.onnx` | not stated | 0 |" in (other.folder / "README.md").read_text()


def test_a_network_without_its_own_report_is_not_calibrated(made, tmp_path):
    source = dataclasses.replace(export.trained("cnn3", params.load()), calibration={})
    other = export.export(source, tmp_path / "other")
    assert "not calibrated, unsure below 0.5" in export.summary(other)
    assert "not calibrated" not in export.summary(made)
    assert (
        "- Not calibrated. Below a probability of 0.500 it is unsure. No thr"
        in (other.folder / "README.md").read_text()
    )


def toys(key: str):
    """An architecture at toy size; for a real backbone only the input size is reduced."""
    entry = params.load().architectures[key]
    if isinstance(entry, Transfer):
        return dataclasses.replace(entry, weights="none", input_size=32, head=8)
    return toy(key).architectures[key]


KEYS = [
    pytest.param(key, marks=pytest.mark.slow if isinstance(entry, Transfer) else ())
    for key, entry in params.load().architectures.items()
]


@pytest.mark.parametrize("key", KEYS)
def test_every_architecture_predicts_the_same_in_onnx_and_keras(key, tmp_path):
    keras.utils.set_random_seed(0)
    network = toys(key).build(48, 4)
    shake(network)
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 1)).astype(np.uint8)
    expected = network.predict(images, verbose=0)
    onnx_conversion.to_onnx(network, tmp_path / "model.onnx")
    found = answers(tmp_path / "model.onnx", images)
    compared = parity.measure(expected, found)
    print(key, compared)
    assert compared.max_difference < parity.TOLERANCE
    assert compared.changed_labels == 0


def backbone(name: str) -> Transfer:
    return Transfer(
        builder="transfer", backbone=name, weights="none", input_size=32, head=8, dropout=0.1
    )


def test_grouped_convolutions_and_gelu_predict_the_same_as_in_keras(tmp_path):
    faces = keras.Input((32, 32, 1), dtype="uint8")
    x = keras.layers.Conv2D(8, 3)(keras.layers.Rescaling(1 / 255)(faces))
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", groups=8, activation="gelu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    network = keras.Model(faces, keras.layers.Dense(4, "softmax")(x))
    images = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 1)).astype(np.uint8)
    before = network.predict(images, verbose=0)
    onnx_conversion.to_onnx(network, tmp_path / "model.onnx")
    found = answers(tmp_path / "model.onnx", images)
    assert parity.measure(before, found).max_difference < 1e-5
    assert np.array_equal(network.predict(images, verbose=0), before)


@pytest.fixture
def unexportable(monkeypatch) -> Transfer:
    """A backbone of an untested family, with a grouped convolution that cannot be exported."""

    def network(include_top, weights, input_tensor):
        x = keras.layers.Conv2D(8, 3)(input_tensor)
        x = keras.layers.Conv2D(8, 3, groups=4, name="in_groups")(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    monkeypatch.setattr(keras.applications.vgg16, "Grouped", network, raising=False)
    monkeypatch.setattr(backbones, "EXPORTED", frozenset())
    return backbone("vgg16.Grouped")


def test_a_backbone_that_cannot_be_exported_is_refused_before_it_is_trained(
    packed, unexportable, monkeypatch
):
    loaded = params.load()
    loaded.architectures["cnn3"] = unexportable
    monkeypatch.setattr(params, "load", lambda: loaded)
    with pytest.raises(
        UserError, match="exported to ONNX: in_groups is a convolution in 4 groups of 2"
    ):
        stages.train("cnn3")
    assert not MODELS.exists()


def test_any_exception_of_the_exporter_is_one_line(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("No Op registered\n\nfor it")

    monkeypatch.setattr(keras.Model, "export", fails)
    with pytest.raises(UserError) as raised:
        onnx_conversion.to_onnx(quarters(), tmp_path / "model.onnx")
    assert str(raised.value) == (
        "the network cannot be exported to ONNX: RuntimeError: No Op registered for it; choose "
        "another backbone"
    )
    (tmp_path / "none.onnx").write_bytes(b"none")
    with pytest.raises(UserError, match="the network cannot be written in 8 bits: "):
        onnx_conversion.quantize(
            tmp_path / "none.onnx", tmp_path / "8.onnx", np.zeros((1, 48, 48, 1), "u1")
        )


SMALLEST = {
    "convnext": "ConvNeXtTiny",
    "densenet": "DenseNet121",
    "efficientnet": "EfficientNetB0",
    "efficientnet_lite": "EfficientNetLite0",
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
    families |= backbones.OWN.keys()
    assert set(SMALLEST) == backbones.EXPORTED == families - {"imagenet_utils"}


@pytest.mark.slow
@pytest.mark.parametrize("family", SMALLEST)
def test_the_smallest_network_of_each_family_predicts_the_same_as_in_keras(family, tmp_path):
    entry = dataclasses.replace(
        backbone(f"{family}.{SMALLEST[family]}"), input_size=75 if "inception" in family else 32
    )
    network = entry.build(48, 4)
    shake(network)
    images = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1)).astype(np.uint8)
    onnx_conversion.to_onnx(network, tmp_path / "model.onnx")
    found = answers(tmp_path / "model.onnx", images)
    assert parity.measure(network.predict(images, verbose=0), found).max_difference < 1e-4
    onnx_conversion.quantize(tmp_path / "model.onnx", tmp_path / "8.onnx", images)
    assert np.isfinite(answers(tmp_path / "8.onnx", images)).all()


def test_constants_are_stored_in_the_file_and_are_not_inputs(tmp_path):
    faces = keras.Input((48, 48, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(24)(keras.layers.Rescaling(1 / 255)(faces))
    x = keras.layers.Concatenate()([small] * 3)
    x = keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.2, 0.1])(x)
    # Like VGG16, and EfficientNet above.
    x = keras.applications.vgg16.preprocess_input(x)
    network = keras.Model(faces, keras.layers.Dense(4, "softmax")(keras.layers.Flatten()(x)))
    images = np.random.default_rng(0).integers(0, 256, (16, 48, 48, 1)).astype(np.uint8)
    onnx_conversion.to_onnx(network, tmp_path / "model.onnx")
    found = answers(tmp_path / "model.onnx", images)
    assert parity.measure(network.predict(images, verbose=0), found).max_difference < 1e-5


def shake(network: keras.Model) -> None:
    """Randomize batch-norm statistics and weights, so that they differ from those of any batch."""
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


def test_with_jax_the_required_backend_is_named():
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'jax'\n"
        "from pathlib import Path\n"
        "from unveil.export import onnx_conversion\n"
        "try: onnx_conversion.to_onnx(None, Path('x'))\n"
        "except Exception as error: print(error)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert completed.stdout.startswith("export needs KERAS_BACKEND=tensorflow, not 'jax'"), (
        completed.stderr
    )
