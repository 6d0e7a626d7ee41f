#!/usr/bin/env bash
# Keras 3.15.1, TensorFlow 2.21.0, tf2onnx 1.17.0: ConvNeXt is exported to an ONNX file that is none.
#
# Expected: `model.export(path, format="onnx")` writes a network that ONNX Runtime runs, or raises.
# Seen: it returns, a file is there, and ONNX Runtime refuses it: the graph holds StatefulPartitionedCall (Keras
#   compiles convolutions in groups by XLA on a processor) and Erfc (of an exact GELU), which are no operators of ONNX. Only a
#   line of tf2onnx's logger tells of them. A pipeline that takes "no exception" for success trains for hours what can
#   never be served.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow-cpu==2.21.0 tf2onnx==1.17.0 \
  onnxruntime==1.32.0 2> /dev/null
cd "$room"
cat > try.py <<'P'
import keras, onnx, onnxruntime

network = keras.applications.ConvNeXtTiny(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
network(keras.ops.zeros((1, 32, 32, 3)))  # Keras exports only what was called
network.export("model.onnx", format="onnx", verbose=False)
print("exported without an error")
known = {schema.name for schema in onnx.defs.get_all_schemas()}
strange = sorted({node.op_type for node in onnx.load("model.onnx").graph.node} - known)
print("no operators of ONNX:", strange)
assert strange == ["Erfc", "StatefulPartitionedCall"]
try:
    onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
except Exception as error:
    print("ONNX Runtime:", type(error).__name__, str(error).splitlines()[0][:120])
else:
    raise SystemExit("ONNX Runtime takes it")
P
TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" try.py 2> log || { tail -3 log; exit 1; }
