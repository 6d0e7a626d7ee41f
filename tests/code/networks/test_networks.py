"""All architectures of params.yaml, at toy size and without downloads."""

import contextlib
import dataclasses
import inspect
import itertools

import keras
import numpy as np
import pytest
import yaml

from unveil.common.errors import UserError
from unveil.config import params
from unveil.networks import Cnn, Transfer, efficientnet_lite
from unveil.training import checkpoint, loop, train

RECIPES = ("sample", "modest", "full", "transfer")
KEYS = list(params.load().architectures)
LONG = ("resnetv2", "efficientnet")  # minutes; a train-all of the fast tests learns them, too
FACES = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1)).astype(np.uint8)


def small(entry: Cnn | Transfer) -> Cnn | Transfer:
    if isinstance(entry, Transfer):
        return dataclasses.replace(entry, weights="none", input_size=32)
    return entry


@pytest.fixture(scope="module", params=KEYS)
def key(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(key) -> keras.Model:
    keras.utils.set_random_seed(0)
    return small(params.load().architectures[key]).build(48, 4)


def test_raw_gray_bytes_go_in_and_probabilities_come_out(network):
    assert network.input_shape == (None, 48, 48, 1)
    assert network.input.dtype == "uint8"
    answers = network.predict(FACES, verbose=0)
    assert answers.shape == (5, 4)
    assert answers.dtype == np.float32
    assert np.allclose(answers.sum(1), 1, atol=1e-5)
    assert np.isfinite(answers).all()


def test_the_network_is_what_its_name_says(key, network):
    names = [layer.name for layer in network.layers]
    backbones = {"vgg16": "block5_conv3", "resnetv2": "conv5_block3_out"}
    backbones["efficientnet"] = "block7a_project_conv"
    if key.startswith("cnn"):
        blocks = int(key.removeprefix("cnn")[0])
        assert sum(name.endswith("_pool") for name in names) == blocks
        assert ("rgb" not in names) == key.endswith("_gray")
        assert network.get_layer("block1_conv1").kernel.shape[2] == (1 if "gray" in key else 3)
    else:
        assert backbones[key] in names
        assert "rgb" in names


def test_a_saved_network_answers_the_same_without_our_code(network, tmp_path):
    path = tmp_path / "model.keras"
    network.save(path)
    again = keras.saving.load_model(path, compile=False, safe_mode=True)
    before, after = (model.predict(FACES, verbose=0) for model in (network, again))
    assert np.abs(before - after).max() < 1e-6


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_stage_unfreezes_the_layers_it_names(key, network, recipe, place):
    params.choose_recipe(recipe)
    loaded = params.load()
    names = [layer.name for layer in network.layers]
    features = names.index("features")
    frozen_norm = loaded.architectures[key].frozen_norm
    for stage in loaded.schedules[key].stages:
        loop.set_trainable(network, stage.trainable_from, frozen_norm=frozen_norm)
        first = {"all": 0, "head": features + 1}.get(stage.trainable_from)
        first = names.index(stage.trainable_from) if first is None else first
        for place_, layer in enumerate(network.layers):
            norm = isinstance(layer, keras.layers.BatchNormalization) and place_ < features
            assert layer.trainable == (place_ >= first and not (frozen_norm and norm))
        assert network.trainable_weights
    loop.set_trainable(network, "all", frozen_norm=False)


@pytest.mark.parametrize("key", [key for key in KEYS if key.startswith("cnn")], indirect=True)
def test_lighting_does_not_change_the_answers_of_cnns(network):
    dim = FACES // 4
    faces = [dim, 3 * dim + 20, np.full_like(dim, 77)]
    dim, bright, empty = (network.predict(one, verbose=0) for one in faces)
    assert np.abs(dim - bright).max() < 1e-3
    assert np.isfinite(empty).all()


def test_backbone_and_head_together_are_the_network(network):
    backbone, head = loop.split_at_features(network)
    joined = head.predict(backbone.predict(FACES, verbose=0), verbose=0)
    assert np.allclose(joined, network.predict(FACES, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    "key",
    [pytest.param(key, marks=pytest.mark.slow if key in LONG else ()) for key in KEYS],
    indirect=True,
)
def test_both_stages_train_and_the_best_weights_are_saved(key, packed):
    loaded = params.load()
    schedule = loaded.schedules[key]
    stages = tuple(dataclasses.replace(stage, epochs=1) for stage in schedule.stages)
    loaded.schedules[key] = dataclasses.replace(schedule, stages=stages, train_images=16)
    loaded.architectures[key] = small(loaded.architectures[key])
    heard = []
    with checkpoint.opened(key, loaded) as kept:
        trained = train.train(key, loaded, kept, heard.append)
    assert trained.history["epoch"].tolist() == [0, 1]
    assert trained.history["stage"].tolist() == [1, 2]
    assert [row["epoch"] for row in heard] == [0, 1]
    assert {"loss", "accuracy", "macro_f1", "val_loss", "val_accuracy", "val_macro_f1"} <= set(
        heard[0]
    )
    train.save(trained, train_folder := packed / "data/04_models" / key)
    again = train.load(train_folder / "model.keras")
    same = np.allclose(
        again.predict(FACES, verbose=0), trained.network.predict(FACES, verbose=0), atol=1e-6
    )
    assert same
    assert (train_folder / "history.csv").is_file()


def test_an_unknown_layer_names_the_layers():
    network = params.load().architectures["cnn3"].build(48, 4)
    with pytest.raises(UserError, match=r"unknown layer in trainable_from 'blok1'.*block1_conv1"):
        loop.set_trainable(network, "blok1", frozen_norm=False)


@pytest.mark.parametrize("named", ["vgg16.VGG61", "vgg16.MobileNetV3Small", "vgg61.VGG16"])
def test_an_unknown_backbone_names_known_ones(named):
    entry = dataclasses.replace(small(params.load().architectures["vgg16"]), backbone=named)
    with pytest.raises(UserError, match=rf"unknown backbone '{named}'.*vgg16\.VGG16"):
        entry.build(48, 4)


def test_every_network_of_keras_applications_is_a_backbone():
    applications, entry = vars(keras.applications), params.load().architectures["vgg16"]
    families = [name for name, one in applications.items() if inspect.ismodule(one)]
    names = {name for name, one in applications.items() if inspect.isfunction(one)}
    found = set()
    for family, name in itertools.product(families, names):
        with contextlib.suppress(UserError):
            network, _ = dataclasses.replace(entry, backbone=f"{family}.{name}").application()
            assert network is applications[name]
            found.add(name)
    assert len(names) > 30
    assert found == names


def test_an_input_too_small_for_a_backbone_is_refused():
    entry = dataclasses.replace(
        small(params.load().architectures["vgg16"]),
        backbone="inception_v3.InceptionV3",
        input_size=48,
    )
    said = r"^input_size 48 is too small for inception_v3\.InceptionV3; choose a larger one"
    for weights in ("none", "imagenet"):
        with pytest.raises(UserError, match=said):
            dataclasses.replace(entry, weights=weights).build(48, 4)


@pytest.mark.parametrize("number", range(5))
def test_an_efficientnet_lite_has_the_published_number_of_weights(number):
    # Of the whole network in the TPU repository's table, in millions; the classifier has 1.281.
    published = (4.7, 5.4, 6.1, 8.2, 13.0)
    build = getattr(efficientnet_lite, f"EfficientNetLite{number}")
    network = build(include_top=False, weights=None, input_tensor=keras.Input((64, 64, 3)))
    assert network.output_shape == (None, 2, 2, 1280)
    trained = sum(np.prod(weight.shape) for weight in network.trainable_weights)
    assert abs((trained + 1_281_000) / 1e6 - published[number]) < 0.06


def test_an_efficientnet_lite_says_what_it_lacks(tmp_path):
    entry = dataclasses.replace(
        small(params.load().architectures["efficientnet"]),
        backbone="efficientnet_lite.EfficientNetLite0",
    )
    with pytest.raises(UserError, match=r"'imagenet' of eff.* \(Keras has none; those of ImageNet"):
        dataclasses.replace(entry, weights="imagenet").build(48, 4)
    object.__setattr__(entry, "input_size", 31)  # the entry itself demands 32
    with pytest.raises(UserError, match=r"^input_size 31 is too small for efficientnet_lite\.Eff"):
        entry.build(48, 4)


def test_frozen_and_trained_batch_norm():
    entry = params.load().architectures["efficientnet"]
    assert not entry.frozen_norm  # random weights
    pretrained = dataclasses.replace(entry, weights="imagenet")
    assert pretrained.frozen_norm
    assert not dataclasses.replace(pretrained, batch_norm="trained").frozen_norm


def test_another_keras_backbone_needs_only_an_entry(place):
    content = yaml.safe_load((place / "params.yaml").read_text())
    content["architectures"]["mobile"] = {
        "builder": "transfer",
        "backbone": "mobilenet_v2.MobileNetV2",
        "weights": "none",
        "input_size": 32,
        "head": 16,
        "dropout": 0.1,
    }
    schedules = content["recipes"]["sample"]["schedules"]
    schedules["mobile"] = schedules["cnn3"]
    (place / "params.yaml").write_text(yaml.safe_dump(content))
    network = params.load().architectures["mobile"].build(48, 4)
    assert network.output_shape == (None, 4)
