"""A Keras network -> ONNX: gray bytes in, calibrated probabilities out, dynamic batch size.

Writes ``model.onnx`` and, from it, ``model.int8.onnx``: static quantization of weights and
activations to 8 bits, with value ranges calibrated on training faces.
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
from unveil.evaluation.calibration import MIN_PROBABILITY, Calibration

if TYPE_CHECKING:
    import keras

    from unveil.networks import Architecture

BATCH = 64
OUTPUTS = ("probabilities", "embeddings")


def to_onnx(network: "keras.Model", path: Path, *, calibration: Calibration | None = None) -> None:
    """Export a network to ONNX, with calibrated probabilities ``softmax(scale * log p + bias)``.

    Input: ``faces (n, size, size, 1) uint8``. Outputs: ``probabilities (n, classes) float32`` and
    ``embeddings (n, d) float32``, the input of the last layer. Requires the TensorFlow backend,
    also for a network trained with JAX.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"export needs KERAS_BACKEND=tensorflow, not {keras.backend.backend()!r}; networks "
            "trained with either backend load in both"
        )
    # tf2onnx warns about operations replaced below, and numpy about tf2onnx.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        _depthwise_convolutions(network),
        _errors_as_one_line("exported to ONNX"),
    ):
        warnings.simplefilter("ignore")
        model = _calibrated_model(network, calibration)
        model.export(str(path), format="onnx", verbose=False)
        _finalize(path, _captured_constants(model))


def require_exportable(entry: "Architecture", image_size: int, classes: int) -> None:
    """Raise ``UserError`` for an architecture that cannot be exported, by exporting it untrained.

    Families in `EXPORTED` are known to work; with another backend the check is skipped.
    """
    import keras

    if entry.onnx_exportable or keras.backend.backend() != "tensorflow":
        return
    network = entry.without_pretrained_weights().build(image_size, classes)
    with tempfile.TemporaryDirectory(prefix="unveil-export-") as folder:
        path = Path(folder) / "model.onnx"
        to_onnx(network, path)
        _require_runs(path)


@contextmanager
def _errors_as_one_line(what: str) -> Iterator[None]:
    """Convert exceptions of TensorFlow, tf2onnx, onnx and ONNX Runtime to a ``UserError``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:160] or "no reason given"
        raise UserError(
            f"the network cannot be {what}: {type(error).__name__}: {text}; choose another backbone"
        ) from error


def _require_runs(path: Path) -> None:
    import onnxruntime

    with _errors_as_one_line("run by ONNX Runtime"):
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@contextmanager
def _depthwise_convolutions(network: "keras.Model") -> Iterator[None]:
    """Replace grouped convolutions of one channel per group (ConvNeXt) by depthwise ones.

    On a CPU, Keras compiles grouped convolutions with XLA, which tf2onnx does not support.
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
                f"the network cannot be exported to ONNX: {layer.name} is a convolution in "
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
    """Quantize the ONNX network ``source`` to 8 bits, calibrated on ``faces``."""
    from onnxruntime import quantization
    from onnxruntime.quantization import shape_inference

    prepared = target.with_suffix(".prepared")
    with _errors_as_one_line("written in 8 bits"):
        # Symbolic shape inference would need sympy.
        shape_inference.quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            _CalibrationReader(faces),
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            # CPUs without VNNI add two 8-bit products in 16 bits, which may saturate.
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    prepared.unlink()


class _CalibrationReader:
    """Feeds batches of faces to the quantizer, under the name of the network's input."""

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        starts = range(0, len(faces), BATCH)
        self._rest = iter([{"faces": faces[start : start + BATCH]} for start in starts])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(self._rest, None)


def _captured_constants(model: "keras.Model") -> list[NDArray[np.generic]]:
    # Constant tensors that are not weights, such as the means VGG16 and EfficientNet subtract.
    # tf2onnx turns them into inputs, in TensorFlow's order.
    import tensorflow as tf

    faces = tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8)
    captured = tf.function(model).get_concrete_function(faces).captured_inputs
    return [one.numpy() for one in captured if one.dtype != tf.resource]


def _calibrated_model(network: "keras.Model", calibration: Calibration | None) -> "keras.Model":
    import keras

    faces = keras.Input(network.input_shape[1:], dtype="uint8", name="faces")
    both = keras.Model(network.inputs, [network.output, network.layers[-1].input])
    answers, embeddings = both(faces, training=False)
    if calibration and not calibration.is_identity:
        logs = keras.ops.log(keras.ops.maximum(answers, MIN_PROBABILITY))
        scale, bias = (np.array(one, np.float32) for one in (calibration.scale, calibration.bias))
        answers = keras.ops.softmax(logs * scale + bias)
    model = keras.Model(faces, [answers, embeddings])
    # Keras exports only models that have been called.
    model(np.zeros((1, *network.input_shape[1:]), np.uint8))
    return model


def _finalize(path: Path, captured: list[NDArray[np.generic]]) -> None:
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
    """Replace ``erfc(x)`` of TensorFlow's GELU, which ONNX lacks, by ``1 - erf(x)``."""
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


def add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Add entries to the metadata of an ONNX network."""
    import onnx

    model = onnx.load(path)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
