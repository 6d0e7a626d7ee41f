"""AdamW equals that of Keras and evaluates the schedule once per step."""

import keras
import numpy as np
import pytest

from unveil.training.optimizer import AdamW


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
