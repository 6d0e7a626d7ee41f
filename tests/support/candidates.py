"""Candidates at toy size: networks whose mistakes are known, in the folders of real ones."""

import shutil
import uuid

import keras
import numpy as np
import pandas as pd

from unveil.common.files import sha256, write_json
from unveil.common.paths import COMPARISON, MODELS, PACKED
from unveil.config import params
from unveil.dataset import arrays
from unveil.evaluation import metrics
from unveil.registry import runs


def quadrants(sharpness: float) -> keras.Model:
    """A network that finds the bright quarter; at 0 it knows nothing, below 0 it is wrong."""
    faces = keras.Input((48, 48, 1), dtype="uint8")
    small = keras.layers.AveragePooling2D(24)(keras.layers.Rescaling(1 / 255)(faces))
    flat = keras.layers.Flatten(name="features")(small)
    end = keras.layers.Dense(4, "softmax", name="probabilities")
    network = keras.Model(faces, end(flat))
    end.set_weights([sharpness * np.eye(4, dtype="float32"), np.zeros(4, "float32")])
    return network


def distracted(weight: float, *, at: tuple[int, int] = (23, 23)) -> keras.Model:
    """One that a single pixel distracts, from more images the larger the weight."""
    faces = keras.Input((48, 48, 1), dtype="uint8")
    flat = keras.layers.Flatten(name="features")(keras.layers.Rescaling(1 / 255)(faces))
    end = keras.layers.Dense(4, "softmax", name="probabilities")
    network = keras.Model(faces, end(flat))
    means = np.zeros((48, 48, 4), np.float32)
    for place, (row, column) in enumerate(((0, 0), (0, 24), (24, 0), (24, 24))):
        means[row : row + 24, column : column + 24, place] = 1 / 24**2
    weights = 20 * means
    weights[..., 1] -= weight * means[..., 0]
    weights[(*at, 1)] += weight
    end.set_weights([weights.reshape(-1, 4), np.zeros(4, "float32")])
    return network


def score(network: keras.Model) -> float:
    """Its macro-F1 on the packed test faces."""
    test = arrays.load("test")
    answers = network.predict(test.images, verbose=0).argmax(1)
    return float(metrics.macro_f1(metrics.confusion_matrix(test.labels, answers, 4)))


def trained(key: str, network: keras.Model, loaded: params.Params) -> None:
    """Leave a network where `unveil train` does."""
    folder = MODELS / key
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    network.save(folder / "model.keras")
    row = {"epoch": 0, "stage": 1, "seconds": 0.5, "timestamp": 1, "val_macro_f1": 0.5}
    pd.DataFrame([row]).to_csv(folder / "history.csv", index=False)
    write_json(folder / "run.json", runs.describe_training(key, loaded, uuid.uuid4().hex))


def compared(key: str, macro_f1: float) -> None:
    """Leave a comparison with one candidate, and its report."""
    report = {
        "test": {"macro_f1": {"value": macro_f1}},
        "model_digest": sha256(MODELS / key / "model.keras"),
        "test_digest": sha256(PACKED / "test.npz"),
    }
    write_json(COMPARISON, {"ranking": [key], "reports": {key: report}})
