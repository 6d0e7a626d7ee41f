"""Pretrained weights must match their pinned sha256, or training does not start."""

import dataclasses
import importlib
from pathlib import Path

import keras
import numpy as np
import pytest

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.config import params
from unveil.networks import Transfer

SIZE = 32  # pixels; any other than 224 makes Keras warn and take the weights for 224
CACHED = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
pytestmark = pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning")
CHOICES = r"imagenet .*, a \.weights\.h5 file, or none"


def entry(weights: str, digest: str | None = None) -> Transfer:
    """The smallest Keras backbone without a pinned digest, with a small head."""
    small = {"backbone": "mobilenet_v2.MobileNetV2", "input_size": SIZE, "head": 8}
    loaded = params.load().architectures["vgg16"]
    return dataclasses.replace(loaded, weights=weights, sha256=digest, **small)


@pytest.fixture(scope="module")
def drawn() -> keras.Model:
    shape = (SIZE, SIZE, 3)
    return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape)


def same(one: keras.Model, other: keras.Model) -> bool:
    kernels = [model.get_layer("block_5_expand").kernel for model in (one, other)]
    return np.array_equal(*map(keras.ops.convert_to_numpy, kernels))


def refused(name: str, digest: str | None, match: str) -> str:
    with pytest.raises(UserError, match=match) as raised:
        entry(name, digest).build(48, 4)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def file(place, drawn) -> Path:
    """A weights file with random weights."""
    drawn.save_weights(path := place / "own.weights.h5")
    return path


def test_weights_are_loaded_from_a_file(file, drawn):
    assert same(entry(file.name, sha256(file)).build(48, 4), drawn)


def test_a_file_of_another_digest_is_refused_before_it_is_read(file):
    pinned = sha256(file)
    file.write_bytes(b"no weights")
    said = refused(file.name, pinned, r"^weights own\.weights\.h5 of mob\S+ are not the pinned")
    assert pinned in said
    assert sha256(file) in said


def test_a_file_without_a_digest_is_refused_and_its_digest_named(file):
    refused(file.name, None, f"are not pinned.*`sha256: {sha256(file)}`")


def test_weights_of_another_network_are_refused(place):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(path := place / "other.weights.h5")
    refused(path.name, sha256(path), CHOICES)


def test_a_missing_file_names_the_three_choices(place):
    refused("absent.weights.h5", None, CHOICES)


def test_a_missing_file_under_dvc_names_dvc_pull(place):
    (place / "far.weights.h5.dvc").write_text("outs: []\n")
    refused("far.weights.h5", None, r"`dvc pull far\.weights\.h5` fetches it")


def test_an_invalid_digest_is_refused_by_the_parameters(place):
    text = (place / "params.yaml").read_text()
    changed = text.replace("weights: imagenet,", "weights: none, sha256: abc,", 1)
    (place / "params.yaml").write_text(changed.replace("network: {weights: none}", "network: {}"))
    with pytest.raises(UserError, match=r"architectures\.vgg16: .*sha256.*'abc'"):
        params.load()


@pytest.fixture
def cached(place, drawn, monkeypatch) -> Path:
    """Keras's cache with random weights in place of ImageNet's, and no network."""
    backbone = importlib.import_module("keras.src.applications.mobilenet_v2")
    monkeypatch.setattr(backbone, "BASE_WEIGHT_PATH", "http://127.0.0.1:9/")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(place / "keras"))
    (place / "keras/models").mkdir(parents=True)
    drawn.save(path := place / "keras/models" / CACHED)
    return path


def test_unpinned_imagenet_weights_are_loaded_and_their_digest_printed(cached, drawn, capsys):
    assert same(entry("imagenet").build(48, 4), drawn)
    said = capsys.readouterr().err
    assert f"{CACHED} of mobilenet_v2.MobileNetV2 are not pinned" in said
    assert said.endswith(f"add `sha256: {sha256(cached)}` to its entry\n")


def test_pinned_imagenet_weights_are_loaded_silently(cached, drawn, capsys):
    assert same(entry("imagenet", sha256(cached)).build(48, 4), drawn)
    assert capsys.readouterr().err == ""


def test_imagenet_weights_with_another_digest_are_refused(cached):
    refused("imagenet", "0" * 64, f"{CACHED} of .* are not the pinned ones: .*{sha256(cached)}")


def test_imagenet_weights_without_network_and_cache_name_the_choices(cached):
    cached.unlink()
    refused("imagenet", None, CHOICES)
