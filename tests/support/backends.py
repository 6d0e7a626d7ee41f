"""A training on another backend, on several virtual devices or in another precision, at toy size.

``python -m tests.support.backends FOLDER [PRECISION]`` in a folder with packed faces;
KERAS_BACKEND and DEVICES say where. Prints the epochs, what evaluating gives and which backends
were imported. The network starts from weights that depend on nothing, and nothing is drawn that a
backend draws.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

DEVICES = int(os.environ.get("DEVICES", "1"))
if os.environ.get("KERAS_BACKEND") == "jax":
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"

from unveil.common import backend  # noqa: E402

backend.load()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from tests.support.training import toy  # noqa: E402

from unveil.config import params  # noqa: E402
from unveil.config.schema import STILL  # noqa: E402
from unveil.dataset import arrays  # noqa: E402
from unveil.evaluation import evaluate  # noqa: E402
from unveil.networks import Cnn, Transfer  # noqa: E402
from unveil.training import checkpoint, devices, train  # noqa: E402

CLOCK = ("seconds", "timestamp")


def start(network: keras.Model) -> keras.Model:
    """Give every weight a value that NumPy drew."""
    generator = np.random.default_rng(0)
    for weight in network.weights:
        if weight.name in ("kernel", "depthwise_kernel"):
            fan = max(1, int(np.prod(weight.shape[:-1])))
            drawn = generator.normal(size=weight.shape) * np.sqrt(2 / fan)
            weight.assign(drawn.astype("float32"))
    return network


class GivenCnn(Cnn):
    def build(self, image_size: int, classes: int) -> keras.Model:
        return start(super().build(image_size, classes))


class GivenTransfer(Transfer):
    def build(self, image_size: int, classes: int) -> keras.Model:
        return start(super().build(image_size, classes))


def given(key: str, precision: str = "float32") -> params.Params:
    """A toy training of which every backend should make the same."""
    loaded = toy(key)
    entry = loaded.architectures[key]
    kind = GivenCnn if isinstance(entry, Cnn) else GivenTransfer
    loaded.architectures[key] = kind(**{**vars(entry), "dropout": 0.0})
    changes = {"augmentation": STILL, "precision": precision, "seed": 1}
    training = dataclasses.replace(loaded.training, **changes)
    return dataclasses.replace(loaded, training=training)


def run(key: str, folder: Path, precision: str = "float32") -> dict:
    """Train, save, load and evaluate; gives the epochs and what was answered."""
    loaded = given(key, precision)
    rows: list[dict] = []
    with checkpoint.opened(key, loaded) as kept:
        trained = train.train(key, loaded, kept, rows.append)
        kept.remove()
    train.save(trained, folder)
    again = train.load(folder / "model.keras")
    answers = evaluate.probabilities(again, arrays.load("validation").images)
    return {
        "devices": devices.visible_devices(),
        "rows": [{name: row[name] for name in row if name not in CLOCK} for row in rows],
        "answers": answers.tolist(),
        "dtypes": sorted({str(layer.compute_dtype) for layer in again.layers}),
    }


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow" and DEVICES > 1:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * DEVICES
        tf.config.set_logical_device_configuration(cpu, parts)
    key, folder, *precision = sys.argv[1:]
    result = run(key, Path(folder), *precision)
    result["imported"] = [name for name in ("jax", "tensorflow") if sys.modules.get(name)]
    print(json.dumps(result))
