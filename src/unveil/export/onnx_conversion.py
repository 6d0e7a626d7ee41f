"""a Keras network -> ONNX: raw gray bytes in, calibrated probabilities out, any number of faces.

Makes ``model.onnx`` and, from it, ``model.int8.onnx``: weights and activations in 8 bits, their
ranges measured on training faces.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError
from unveil.evaluation.calibration import LEAST

if TYPE_CHECKING:
    import keras

    from unveil.networks import Architecture

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
    # tf2onnx warns of what it leaves out, and of what is replaced below; numpy of tf2onnx.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), _depthwise(network), _as_a_line("exported to ONNX"):
        warnings.simplefilter("ignore")
        whole = _calibrated(network, temperature)
        whole.export(str(path), format="onnx", verbose=False)
        _complete(path, _captured(whole))


def require_exportable(entry: "Architecture", image_size: int, classes: int) -> None:
    """Refuse an architecture that could be trained and never served, by exporting it untrained.

    Those of `EXPORTED` families were tried before, and on another backend nothing is exported.
    """
    import keras

    if entry.exports or keras.backend.backend() != "tensorflow":
        return
    network = entry.untrained().build(image_size, classes)
    with tempfile.TemporaryDirectory(prefix="unveil-export-") as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(network, path, temperature=1.0)
        _require_runs(path)


@contextmanager
def _as_a_line(what: str) -> Iterator[None]:
    """Turn whatever TensorFlow, tf2onnx, onnx or ONNX Runtime raise into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:160] or "no reason given"
        raise UserError(
            f"the network cannot be {what}: {type(error).__name__}: {said}; choose another backbone"
        ) from error


def _require_runs(path: Path) -> None:
    import onnxruntime

    with _as_a_line("run by ONNX Runtime"):
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@contextmanager
def _depthwise(network: "keras.Model") -> Iterator[None]:
    """Let ConvNeXt's convolutions, of one channel in each group, be depthwise ones meanwhile.

    On a processor Keras compiles those in groups by XLA, of which tf2onnx knows nothing.
    """
    import keras

    grouped = [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.Conv2D) and layer.groups > 1
    ]
    for layer in grouped:
        if layer.kernel.shape[-2] > 1:
            raise UserError(
                f"the network cannot be exported to ONNX: {layer.name} convolves in "
                f"{layer.groups} groups of {layer.kernel.shape[-2]} channels; choose another "
                "backbone"
            )
        layer.convolution_op = partial(_by_channel, layer)
    try:
        yield
    finally:
        for layer in grouped:
            del layer.convolution_op


def _by_channel(layer: Any, inputs: Any, kernel: Any) -> Any:
    from keras import ops

    height, width, _, filters = kernel.shape
    return ops.depthwise_conv(
        inputs,
        ops.reshape(kernel, (height, width, layer.groups, filters // layer.groups)),
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def quantize(source: Path, target: Path, faces: NDArray[np.uint8]) -> None:
    """Write the ONNX network ``source`` in 8 bits; ``faces`` show which values its layers have."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    prepared = target.with_suffix(".prepared")
    with _as_a_line("written in 8 bits"):
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
    _replace_erfc(graph)
    for value in (graph.input[0], *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    graph.name, model.doc_string, graph.doc_string = "unveil", "", ""
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _replace_erfc(graph: Any) -> None:
    """Write ``erfc(x)``, which TensorFlow's GELU is made of and ONNX lacks, as ``1 - erf(x)``."""
    import onnx

    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.append(node)
        if node.op_type == "Erfc":
            erf, name = graph.node[-1], node.output[0]
            erf.op_type, erf.domain, erf.output[0] = "Erf", "", f"{name}/erf"
            one = onnx.numpy_helper.from_array(np.array(1, np.float32), f"{name}/one")
            graph.initializer.append(one)
            graph.node.append(onnx.helper.make_node("Sub", [one.name, erf.output[0]], [name]))


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
