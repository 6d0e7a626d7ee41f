"""The machine's peak FLOP/s in products of large float32 matrices, and the FLOPs of networks.

FLOPs are counted by TensorFlow's profiler in the graph of one training step: convolutions and
matrix products, forward and backward, and element-wise operations, with Keras's own batch-norm.
Optimizer and augmentation are not included.
"""

import time
from typing import Any

import keras
import tensorflow as tf

from unveil.benchmarks.training.networks import build_network, stage, with_training
from unveil.benchmarks.training.progress import write_line
from unveil.config.params import Params
from unveil.training.devices import precision
from unveil.training.loop import set_trainable

SIDE = 2048
"""Rows and columns of the matrices; 16 MB each, larger than a core's cache."""


def report(key: str, params: Params, epochs: int) -> None:
    """Report peak FLOP/s, and FLOPs per training and per validation image."""
    keras.utils.clear_session()
    last = stage(params, key, epochs=epochs)
    network, size = build_network(params, key), params.training.batch_size
    set_trainable(network, last.trainable_from, frozen_norm=params.architectures[key].frozen_norm)
    faces = tf.TensorSpec((size, *network.input_shape[1:]), tf.uint8)

    def learned(images: Any) -> Any:
        with tf.GradientTape() as tape:
            answers = network(images, training=True)
            loss = tf.reduce_mean(keras.losses.categorical_crossentropy(answers, answers))
        return tape.gradient(loss, [one.value for one in network.trainable_variables])

    write_line(
        peak=measure_peak(),
        learned=operations(learned, faces) / size,
        judged=operations(network, faces) / size,
        bfloat16=float(precision(key, with_training(params, precision="auto")) == "bfloat16"),
    )


def measure_peak(*, side: int = SIDE, repeats: int = 12) -> float:
    """Return the FLOP/s of the fastest product of two square matrices."""
    first, second = (tf.random.uniform((side, side), seed=seed) for seed in (0, 1))
    multiplied = tf.function(tf.matmul)
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        multiplied(first, second).numpy()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds[1:])


def operations(function: Any, *shapes: tf.TensorSpec) -> int:
    """Count the float operations of one execution of a function's graph."""
    graph = tf.function(function).get_concrete_function(*shapes).graph
    profiler = tf.compat.v1.profiler
    wanted = {**profiler.ProfileOptionBuilder.float_operation(), "output": "none"}
    return int(profiler.profile(graph, options=wanted).total_float_ops)
