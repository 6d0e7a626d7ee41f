"""AdamW equals that of Keras and evaluates the schedule once per step."""

import keras
import numpy as np
import pytest

from unveil.training.optimizer import AdamW, layer_rates


def rate():
    return keras.optimizers.schedules.CosineDecay(1e-4, 20, warmup_target=1e-2, warmup_steps=5)


def learned(optimizer):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
    )
    network.compile(optimizer, "mse", jit_compile=False)
    generator = np.random.default_rng(0)
    for _ in range(12):
        network.train_on_batch(generator.normal(size=(8, 6)), generator.normal(size=(8, 3)))
    return [*network.get_weights(), *(np.asarray(one) for one in optimizer.variables)]


@pytest.mark.parametrize("average", [{}, {"use_ema": True, "ema_momentum": 0.9}])
@pytest.mark.parametrize("rate_of", [rate, lambda: 3e-3])
def test_it_equals_adamw_of_keras_bit_for_bit(rate_of, average):
    own = learned(AdamW(rate_of(), decay=0.05, **average))
    theirs = learned(keras.optimizers.AdamW(rate_of(), weight_decay=0.05, **average))
    assert all(np.array_equal(*pair) for pair in zip(own, theirs, strict=True))


def test_the_schedule_is_evaluated_once_per_step():
    class Counted(keras.optimizers.schedules.CosineDecay):
        calls = 0

        def __call__(self, step):
            Counted.calls += 1
            return super().__call__(step)

    learned(AdamW(Counted(1e-2, 20), decay=0.05))
    assert Counted.calls <= 2  # once for each of two graphs: the first step makes variables


def test_each_variable_learns_at_its_own_rate():
    factors = [1.0, 0.5, 0.1, 0.01]
    network = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4) for _ in range(2))])
    before = network.get_weights()
    network.compile(AdamW(1e-3, decay=0, factors=factors), "mse", jit_compile=False)
    network.train_on_batch(np.ones((8, 4)), np.full((8, 4), 9.0))
    # The first step of Adam is the learning rate, whatever the gradient.
    steps = [np.abs(a - b).max() for a, b in zip(network.get_weights(), before, strict=True)]
    assert np.allclose(steps, [1e-3 * factor for factor in factors], rtol=1e-3)


def layered() -> keras.Model:
    norm, dense = keras.layers.BatchNormalization(), keras.layers.Dense(3, name="two")
    features = keras.layers.ReLU(name="features")
    head = [keras.layers.Dense(3, name="head"), keras.layers.Dense(2, name="end")]
    first = keras.layers.Dense(3, name="one")
    return keras.Sequential([keras.Input((4,)), first, norm, dense, features, *head])


def test_rates_grow_by_equal_ratios_up_to_the_head():
    network = layered()
    ratio = 8 ** (1 / 3)
    backbone = [1 / 8, 1 / 8, ratio / 8, ratio / 8, ratio**2 / 8, ratio**2 / 8]
    assert np.allclose(layer_rates(network, "features", first=1 / 8), [*backbone, 1, 1, 1, 1])
    assert layer_rates(network, "features", first=1) == []


def test_frozen_layers_have_no_rate_and_change_none():
    network = layered()
    network.layers[0].trainable = False
    found = layer_rates(network, "features", first=1 / 8)
    assert len(found) == len(network.trainable_variables) == 8
    assert np.allclose(found[:2], [1 / 4, 1 / 4])
