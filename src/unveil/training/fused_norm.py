"""TensorFlow's fused batch-norm kernel for training on a CPU.

Keras composes batch-norm from a dozen operations, in float32 even under a bfloat16 policy: a tenth
to a half of a training step (docs/experiments.md). The layers themselves remain Keras's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from unveil.training import devices

NORM = keras.layers.BatchNormalization
_keras_call = NORM.call


@contextmanager
def fused_norm() -> Iterator[None]:
    """Use the fused kernel for image batch-norm in models trained in the block, on one CPU.

    On GPUs, on several devices and with JAX nothing changes.
    """
    if not devices.is_single_cpu():
        yield
        return
    NORM.call = _call
    try:
        yield
    finally:
        NORM.call = _keras_call


def _call(norm: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    over_images = norm._reduction_axes == [0, 1, 2] and mask is None and not norm.renorm
    if not (training and norm.trainable and over_images):
        return _keras_call(norm, inputs, training=training, mask=mask)
    import tensorflow as tf

    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=norm.gamma if norm.scale else tf.ones_like(norm.moving_mean),
        offset=norm.beta if norm.center else tf.zeros_like(norm.moving_mean),
        mean=[],
        variance=[],
        epsilon=norm.epsilon,
    )
    # The kernel returns the unbiased variance; Keras tracks the biased one.
    count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
    for moving, batch in (
        (norm.moving_mean, mean),
        (norm.moving_variance, variance * (count - 1) / count),
    ):
        moving.assign(moving * norm.momentum + batch * (1 - norm.momentum))
    return outputs
