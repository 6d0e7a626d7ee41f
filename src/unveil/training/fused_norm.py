"""Batch-norm in TensorFlow's one kernel for it, while a network learns on a processor.

Keras writes it as a dozen operations, in float32 also where the network computes in bfloat16: a
tenth to a half of a step (docs/experiments.md). The layers stay Keras's own.
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
    """Let batch-norms over pictures be one kernel in what learns in the block, on one processor.

    On GPUs, on several devices and over JAX nothing changes.
    """
    if not devices.one_cpu():
        yield
        return
    NORM.call = _call
    try:
        yield
    finally:
        NORM.call = _keras_call


def _call(norm: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    over_pictures = norm._reduction_axes == [0, 1, 2] and mask is None and not norm.renorm
    if not (training and norm.trainable and over_pictures):
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
    # The kernel gives the variance of what the batch was drawn from; Keras follows the batch's.
    count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
    for moving, seen in (
        (norm.moving_mean, mean),
        (norm.moving_variance, variance * (count - 1) / count),
    ):
        moving.assign(moving * norm.momentum + seen * (1 - norm.momentum))
    return outputs
