#!/usr/bin/env bash
# numpy 2.4.6 opens a Keras 3 model file (`.keras`) as an npz archive, without a word.
#
# Expected: `numpy.load(path, allow_pickle=False)` raises ValueError for what is not numpy's.
# Seen: any zip is taken. The result is an NpzFile whose members are config.json, metadata.json and
#   model.weights.h5, and each "array" is plain `bytes` without dtype or shape. Who walks through files of unknown kind
#   (a content-addressed cache, where names have no suffix) and tells arrays by whether numpy opens them, fails later,
#   with "'bytes' object has no attribute 'dtype'". What a member is called, .npy or not, is what tells them apart.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 numpy==2.4.6 jax==0.10.2 2> /dev/null
cd "$room"
KERAS_BACKEND=jax "$room/venv/bin/python" - <<'P'
import keras
import numpy as np

keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save("model.keras")
with np.load("model.keras", allow_pickle=False) as opened:
    kinds = {name: type(opened[name]).__name__ for name in opened.files}
    print(f"numpy {np.__version__}, keras {keras.__version__}: {type(opened).__name__} of {kinds}")
    assert sorted(kinds) == ["config.json", "metadata.json", "model.weights.h5"]
    assert set(kinds.values()) == {"bytes"}
    assert not hasattr(opened["model.weights.h5"], "dtype")
P
