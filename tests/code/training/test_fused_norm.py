"""Fused batch-norm equals the layer of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from unveil.training import devices
from unveil.training.fused_norm import fused_norm

NORM = keras.layers.BatchNormalization
FACES = np.random.default_rng(0).normal(3, 2, (8, 6, 6, 3)).astype("float32")
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}  # for values about 1


def learned(precision="float32", **norm):
    """Train briefly; return the losses, some predictions and all weights."""
    keras.utils.set_random_seed(0)
    with devices.dtype_policy(precision):
        faces = keras.Input(FACES.shape[1:])
        x = keras.layers.Conv2D(4, 3, use_bias=False)(faces)
        x = keras.ops.relu(NORM(momentum=0.8, epsilon=1e-2, **norm)(x))
        x = keras.layers.GlobalAveragePooling2D()(x)
        network = keras.Model(faces, keras.layers.Dense(2, dtype="float32")(x))
    network.compile(keras.optimizers.SGD(0.2), "mse", jit_compile=False)
    targets = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")
    losses = [float(network.train_on_batch(FACES, targets)) for _ in range(6)]
    return [np.array(losses), network.predict(FACES, verbose=0), *network.get_weights()]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False}])
def test_it_trains_and_predicts_like_the_layer_of_keras(precision, norm):
    theirs = learned(precision, **norm)
    with fused_norm():
        own = learned(precision, **norm)
    assert theirs[0][-1] < 0.9 * theirs[0][0]
    for mine, other in zip(own, theirs, strict=True):
        assert np.allclose(mine, other, atol=TOLERANCE[precision])


def kernels(norm, *, training=True):
    traced = tf.function(lambda: norm(FACES, training=training)).get_concrete_function()
    return sum(one.type == "FusedBatchNormV3" for one in traced.graph.get_operations())


def test_only_trainable_image_norms_in_the_block_are_fused(monkeypatch):
    norm, frozen = NORM(), NORM(trainable=False)
    with fused_norm():
        assert kernels(norm) == 1
        assert kernels(frozen) == kernels(norm, training=False) == kernels(NORM(axis=1)) == 0
        assert NORM()(FACES[:, 0, 0], training=True).shape == (8, 3)
    assert kernels(norm) == 0
    monkeypatch.setattr(devices, "visible_devices", lambda: ["cpu:0", "cpu:1"])
    with fused_norm():
        assert kernels(norm) == 0


def test_it_tracks_the_biased_variance_of_the_batch():
    norm = NORM(momentum=0.0)
    with fused_norm():
        norm(FACES[:1, :1, :2], training=True)
    assert np.allclose(norm.moving_variance, FACES[0, 0, :2].var(0), atol=1e-5)
