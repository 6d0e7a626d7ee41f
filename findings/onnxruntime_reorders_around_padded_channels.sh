#!/usr/bin/env bash
# ONNX Runtime 1.32.0, CPU (x64): a residual block that pads channels with zeros, as BlazeFace and other mobile networks have it,
# leaves the fast memory layout: the memory is reordered before and after each one.
#
# Expected: `Relu(Pad(x) + Conv(y))` and `Concat(Relu(x + Conv1(y)), Relu(Conv2(y)))` have the same values, and cost about the same.
# Seen, in the graph that ONNX Runtime writes after its optimisations, for four blocks of 3x3 depthwise and 1x1 convolutions: 8 reorderings
#   of the memory and 4 additions on their own with Pad; with Concat one reordering, at the end, and each addition is part of a
#   convolution. The outputs are equal. On MediaPipe's BlazeFace it is 36 reorderings against 6.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.21.0 numpy==2.4.6 2> /dev/null
cd "$room"
cat > try.py <<'P'
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

BLOCKS, WIDER = 4, 16


def network(padded):
    random, nodes, weights = np.random.default_rng(0), [], []

    def convolution(taken, shape, group=1):
        name = f"c{len(weights)}"
        values = random.normal(0, 0.2, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"{name}_w"))
        nodes.append(helper.make_node("Conv", [taken, f"{name}_w"], [name], group=group, pads=[shape[-1] // 2] * 4))
        return name, values

    def node(kind, *taken, **options):
        name = f"n{len(nodes)}"
        nodes.append(helper.make_node(kind, taken, [name], **options))
        return name

    last, channels = node("Relu", convolution("picture", (32, 3, 3, 3))[0]), 32
    for _ in range(BLOCKS):
        inner, _ = convolution(last, (channels, 1, 3, 3), channels)
        outer, values = convolution(inner, (channels + WIDER, channels, 1, 1))
        if padded:
            pads = f"pads{len(nodes)}"
            weights.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, WIDER, 0, 0]), pads))
            last = node("Relu", node("Add", node("Pad", last, pads), outer))
        else:
            nodes.pop(), weights.pop()
            parts = []
            for part in (values[:channels], values[channels:]):
                name = f"p{len(nodes)}"
                weights.append(numpy_helper.from_array(part.copy(), f"{name}_w"))
                nodes.append(helper.make_node("Conv", [inner, f"{name}_w"], [name]))
                parts.append(name)
            last = node("Concat", node("Relu", node("Add", parts[0], last)), node("Relu", parts[1]), axis=1)
        channels += WIDER
    size = ["n", 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("picture", 1, size)],
        [helper.make_tensor_value_info(last, 1, ["n", channels, "height", "width"])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(padded):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = "optimised.onnx", 4
    session = onnxruntime.InferenceSession(
        network(padded).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    picture = np.random.default_rng(1).normal(size=(1, 3, 48, 64)).astype(np.float32)
    (values,) = session.run(None, {"picture": picture})
    kinds = Counter(node.op_type for node in onnx.load("optimised.onnx").graph.node)
    reordered = kinds["ReorderInput"] + kinds["ReorderOutput"]
    print("Pad" if padded else "Concat", "reorderings:", reordered, "additions on their own:", kinds["Add"])
    return values, reordered, kinds["Add"]


before, after = run(True), run(False)
print("largest difference:", np.abs(before[0] - after[0]).max())
assert np.allclose(before[0], after[0], rtol=1e-4, atol=1e-3)
assert before[1] >= 2 * BLOCKS and after[1] <= 2
assert before[2] == BLOCKS and after[2] == 0
P
venv/bin/python try.py
