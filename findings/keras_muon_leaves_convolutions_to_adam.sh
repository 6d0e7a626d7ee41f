#!/usr/bin/env bash
# Keras 3.15.1, TensorFlow 2.21.0: keras.optimizers.Muon trains a convolutional network with Adam.
#
# Expected: the kernels of convolutions get Muon's orthogonalised update. Muon's reference implementation flattens them to
#   matrices, and so does a comment in Keras's source ("it works well to just flatten their last 3 dimensions").
# Seen: every variable that has not exactly two dimensions gets the Adam step, whatever `exclude_layers` says: of a network of
#   convolutions only the dense layer gets Muon's, which the documentation advises to exclude. Nothing is said. With
#   `exclude_layers` as advised, "Muon" ends at the same weights as Adam, to the bit. A comparison of the two optimizers for such
#   a network compares Adam with itself.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check keras==3.15.1 tensorflow-cpu==2.21.0 2> /dev/null
cd "$room"
cat > try.py <<'P'
import keras
import numpy as np


def trained(optimizer):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="first"),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="second"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, name="classes"),
        ]
    )
    network.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    data = np.random.default_rng(0)
    faces, labels = data.normal(size=(64, 16, 16, 1)).astype("float32"), data.integers(0, 4, 64)
    network.fit(faces, labels, epochs=3, batch_size=16, shuffle=False, verbose=0)
    return network


muon = keras.optimizers.Muon(1e-3, exclude_layers=["classes"], weight_decay=None, adam_weight_decay=None)
network = trained(muon)
orthogonalised = [one.path for one in network.trainable_variables if not muon._should_use_adamw(one)]
print("variables with Muon's update:", orthogonalised)
assert orthogonalised == []
adam = trained(keras.optimizers.Adam(1e-3))
largest = max(np.abs(a - b).max() for a, b in zip(network.get_weights(), adam.get_weights(), strict=True))
print("largest difference from Adam's weights after 12 steps:", largest)
assert largest < 1e-6
P
TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" try.py 2> log || { tail -3 log; exit 1; }
