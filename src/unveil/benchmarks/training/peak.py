"""The most that this machine can: products of large matrices of float32; and what networks ask.

Operations are counted by TensorFlow's profiler in the graph of one step of learning: additions and
multiplications of convolutions and products, forward and back, and of what is done element by
element, batch-norm as Keras writes it. The optimizer and the augmentation are not in it.
"""

import time
from typing import Any

import keras
import tensorflow as tf

from unveil.benchmarks.training.networks import built, changed, stage
from unveil.benchmarks.training.progress import say
from unveil.config.params import Params
from unveil.training.devices import precision
from unveil.training.loop import set_trainable

SIDE = 2048
"""Rows and columns of the matrices; 16 MB each, larger than a core's cache."""


def tell(key: str, params: Params, epochs: int) -> None:
    """Say operations a second at best, and those for an image that is learned or judged."""
    keras.utils.clear_session()
    last = stage(params, key, epochs=epochs)
    network, size = built(params, key), params.training.batch_size
    set_trainable(network, last.trainable_from, frozen_norm=params.architectures[key].pretrained)
    faces = tf.TensorSpec((size, *network.input_shape[1:]), tf.uint8)

    def learned(images: Any) -> Any:
        with tf.GradientTape() as tape:
            answers = network(images, training=True)
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(answers, answers))
        return tape.gradient(loss, [one.value for one in network.trainable_variables])

    say(
        peak=measured(),
        learned=operations(learned, faces) / size,
        judged=operations(network, faces) / size,
        bfloat16=float(precision(key, changed(params, precision="auto")) == "bfloat16"),
    )


def measured(*, side: int = SIDE, repeats: int = 12) -> float:
    """Give float operations a second of the quickest product of two square matrices."""
    first, second = (tf.random.uniform((side, side), seed=seed) for seed in (0, 1))
    multiplied = tf.function(tf.matmul)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        multiplied(first, second).numpy()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])


def operations(function: Any, *shapes: tf.TensorSpec) -> int:
    """Count the float operations of a function's graph, once through."""
    graph = tf.function(function).get_concrete_function(*shapes).graph
    profiler = tf.compat.v1.profiler
    wanted = {**profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    return int(profiler.profile(graph, options=wanted).total_float_ops)
