"""Batch-norm in one kernel."""

import keras
import numpy as np
import pytest

from unveil import devices, norms, params
from unveil.course import set_trainable

FACES = np.random.default_rng(0).normal(3, 2, (8, 6, 6, 3)).astype("float32")
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}  # of numbers about 1


def learned(make, precision="float32"):
    """Learn a little; give losses, what the input would be changed to, and all weights."""
    keras.utils.set_random_seed(0)
    with devices.precisely(precision):
        faces = keras.Input(FACES.shape[1:])
        norm = make(momentum=0.8, epsilon=1e-2)
        x = keras.layers.GlobalAveragePooling2D()(keras.ops.relu(norm(faces)))
        network = keras.Model(faces, keras.layers.Dense(2, dtype="float32")(x))
    norm.set_weights([np.array(values) for values in ([1, 2, 3], [0, 1, -1], [3] * 3, [2] * 3)])
    network.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    targets = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")
    losses = [float(network.train_on_batch(FACES, targets)) for _ in range(4)]
    return [np.array(losses), network.predict(FACES, verbose=0), *network.get_weights()]


@pytest.mark.parametrize("precision", TOLERANCE)
def test_it_learns_and_answers_what_that_of_keras_does(precision):
    own = learned(norms.FusedNorm, precision)
    theirs = learned(keras.layers.BatchNormalization, precision)
    for mine, other in zip(own, theirs, strict=True):
        assert np.allclose(mine, other, atol=TOLERANCE[precision])


def test_it_follows_the_variance_of_the_batch_and_not_of_what_it_was_drawn_from():
    norm = norms.FusedNorm(momentum=0.0)
    norm(FACES[:1, :1, :2], training=True)
    assert np.allclose(norm.moving_variance, FACES[0, 0, :2].var(0), atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_outside_training_and_while_frozen_it_uses_what_it_followed(frozen):
    norm = norms.FusedNorm()
    norm.build(FACES.shape)
    norm.trainable = not frozen
    outputs = norm(FACES, training=frozen)
    assert np.allclose(outputs, FACES / np.sqrt(1.001), atol=1e-5)
    assert np.array_equal(norm.moving_mean, np.zeros(3))


@pytest.mark.parametrize("key", ["cnn5_small_gray", "efficientnet"])
def test_a_network_with_fused_norms_is_the_same_network(key):
    loaded = params.load()
    entry = loaded.architectures[key]
    if key == "efficientnet":
        entry = type(entry)(**{**vars(entry), "weights": "none"})
    network = entry.build(32, 4)
    copy = norms.fused(network)
    kinds = {type(layer) for layer in copy.layers if "norm" in type(layer).__name__.lower()}
    assert norms.FusedNorm in kinds and keras.layers.BatchNormalization not in kinds
    assert [one.path for one in copy.weights] == [one.path for one in network.weights]
    faces = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    answers = [one.predict(faces, verbose=0) for one in (network, copy)]
    assert np.array_equal(*answers)
    set_trainable(copy, "head", frozen_norm=False)
    assert len(copy.trainable_weights) < len(network.trainable_weights)


def test_several_devices_keep_that_of_keras(monkeypatch):
    monkeypatch.setattr(devices, "visible", lambda: ["cpu:0", "cpu:1"])
    network = params.load().architectures["cnn3_gray"].build(32, 4)
    assert norms.fused(network) is network
