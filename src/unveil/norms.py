"""Batch-norm in TensorFlow's one kernel for it, as long as a network learns on a processor.

Keras writes it as a dozen operations, in float32 also where the network computes in bfloat16: they
took half the time of a small network. A network that is saved has Keras's own layers.
"""

from typing import Any

import keras

from unveil import devices


class FusedNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch-norm, which in training over pictures is one kernel."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize ``(n, height, width, channels)`` by the batch, and follow its statistics."""
        if not (training and self.trainable and self._reduction_axes == [0, 1, 2]):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=self.gamma, offset=self.beta, mean=[], variance=[], epsilon=self.epsilon
        )
        # The kernel gives the variance of what the batch was drawn from; Keras follows the batch's.
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], variance.dtype)
        self._follow(self.moving_mean, mean)
        self._follow(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _follow(self, moving: keras.Variable, seen: Any) -> None:
        moving.assign(moving * self.momentum + seen * (1 - self.momentum))


def fused(network: keras.Model) -> keras.Model:
    """Give the same network with the same weights, on one processor with fused batch-norms."""
    if not devices.one_cpu():
        return network
    copy = keras.models.clone_model(network, clone_function=_cloned)
    copy.set_weights(network.get_weights())
    return copy


def _cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
    norm = type(layer) is keras.layers.BatchNormalization
    return (FusedNorm if norm else type(layer)).from_config(layer.get_config())
