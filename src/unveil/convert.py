"""a Keras network -> ONNX: raw gray bytes in, calibrated probabilities out, any number of faces.

Makes ``model.onnx`` and, from it, ``model.int8.onnx``: weights and activations in 8 bits, their
ranges measured on training faces.
"""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil.calibration import LEAST
from unveil.errors import UserError

if TYPE_CHECKING:
    import keras

BATCH = 64
OUTPUTS = ("probabilities", "embeddings")


def to_onnx(network: "keras.Model", path: Path, *, temperature: float) -> None:
    """Write a network as ONNX, its probabilities changed to ``softmax(log p / temperature)``.

    Takes ``faces (n, size, size, 1) uint8``, gives ``probabilities (n, classes) float32`` and
    ``embeddings (n, d) float32``, what its last layer is given. Needs TensorFlow behind Keras, also
    for a network that learned on JAX.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"export needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()!r}; a network "
            "that learned on either loads in both"
        )
    # tf2onnx warns of what it leaves out, and numpy of tf2onnx.
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    whole = _calibrated(network, temperature)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.export(str(path), format="onnx", verbose=False)
    _complete(path, _captured(whole))


def quantize(source: Path, target: Path, faces: NDArray[np.uint8]) -> None:
    """Write the ONNX network ``source`` in 8 bits; ``faces`` show which values its layers have."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    prepared = target.with_suffix(".prepared")
    # Without symbolic shapes, which would need sympy.
    shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        target,
        _Batches(faces),
        op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        per_channel=True,
        # Processors without VNNI add two products of 8 bits in 16, and saturate.
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    prepared.unlink()


class _Batches:
    """Gives faces to the quantizer, batch by batch, under the name of the network's input."""

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        starts = range(0, len(faces), BATCH)
        self._rest = iter([{"faces": faces[start : start + BATCH]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._rest, None)


def _captured(whole: "keras.Model") -> list[NDArray[np.generic]]:
    # What stands in a network as a tensor and is no weight: means that VGG16 or EfficientNet
    # subtract. tf2onnx makes them inputs, in the order in which TensorFlow meets them.
    import tensorflow as tf

    faces = tf.TensorSpec((None, *whole.input_shape[1:]), tf.uint8)
    captured = tf.function(whole).get_concrete_function(faces).captured_inputs
    return [one.numpy() for one in captured if one.dtype != tf.resource]


def _calibrated(network: "keras.Model", temperature: float) -> "keras.Model":
    import keras

    faces = keras.Input(network.input_shape[1:], dtype="uint8", name="faces")
    both = keras.Model(network.inputs, [network.output, network.layers[-1].input])
    answers, embeddings = both(faces, training=False)
    if temperature != 1:
        logits = keras.ops.log(keras.ops.maximum(answers, LEAST)) / temperature
        answers = keras.ops.softmax(logits)
    whole = keras.Model(faces, [answers, embeddings])
    # Keras exports only what was called.
    whole(np.zeros((1, *network.input_shape[1:]), np.uint8))
    return whole


def _complete(path: Path, captured: list[NDArray[np.generic]]) -> None:
    import onnx

    model = onnx.load(path)
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    for value, content in zip(list(graph.input)[1:], captured, strict=True):
        if value.name in used:
            graph.initializer.append(onnx.numpy_helper.from_array(content, value.name))
        graph.input.remove(value)
    for value, name in zip(graph.output, OUTPUTS, strict=True):
        _rename(graph, value, name)
    for value in (graph.input[0], *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    graph.name, model.doc_string, graph.doc_string = "unveil", "", ""
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _rename(graph: Any, output: Any, new: str) -> None:
    old = output.name
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    output.name = new


def label(path: Path, told: Mapping[str, str]) -> None:
    """Add to the metadata of an ONNX network."""
    import onnx

    model = onnx.load(path)
    for key, value in told.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
