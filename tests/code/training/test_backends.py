"""Training with JAX, on several devices and in bfloat16 equals that with TensorFlow on one."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ROOT, pack
from tests.support.training import toy

from unveil.common.errors import UserError
from unveil.config import params
from unveil.dataset import arrays
from unveil.training import devices

CNN, TRANSFER = "cnn3_gray", "vgg16"
LABELS = np.arange(24) % 4  # of the packed validation faces

Result = dict
Train = Callable[..., Result]


def run(folder: Path, *command: str, backend: str, count: int = 1) -> str:
    where = {"KERAS_BACKEND": backend, "DEVICES": str(count), "PYTHONPATH": str(ROOT)}
    completed = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **where},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    return completed.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Train:
    """Train at toy size in a process of its own; results are cached."""
    folder = tmp_path_factory.mktemp("backends")
    shutil.copy(ROOT / "params.yaml", folder)
    pack(folder)

    @functools.cache
    def train(backend: str, count: int = 1, key: str = CNN, precision: str = "float32") -> Result:
        command = ("-m", "tests.support.backends", key, "made", precision)
        return json.loads(run(folder, *command, backend=backend, count=count))

    return train


def differ(one: Result, other: Result) -> float:
    """The largest difference in any metric of any epoch, or in any probability."""
    rows = [[list(row.values()) for row in result["rows"]] for result in (one, other)]
    pairs = (rows, [result["answers"] for result in (one, other)])
    return max(np.abs(np.subtract(*pair)).max() for pair in pairs)


def saved_as_measured(result: Result, *, smoothing: float) -> float:
    """The difference of the saved network's loss from that of the best epoch."""
    answers = np.array(result["answers"])
    targets = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    own = -(targets * np.log(answers)).sum(1).mean()
    best = int(np.argmax([row["val_macro_f1"] for row in result["rows"]]))
    return abs(own - result["rows"][best]["val_loss"])


def test_jax_gives_the_same_training_and_never_imports_tensorflow(trained):
    ours, theirs = trained("tensorflow"), trained("jax", 2)
    assert differ(ours, theirs) < 1e-4
    assert theirs["imported"] == ["jax"]
    assert theirs["devices"] == ["cpu:0", "cpu:1"]


def test_with_jax_the_saved_weights_are_the_average_that_was_validated(trained):
    smoothing = params.load(ROOT / "params.yaml").training.label_smoothing
    assert saved_as_measured(trained("jax", 2), smoothing=smoothing) < 1e-4


@pytest.mark.slow  # half a minute
def test_two_tensorflow_devices_give_the_same_training_as_one(trained):
    two = trained("tensorflow", 2)
    assert two["devices"] == ["cpu:0", "cpu:1"]
    assert differ(trained("tensorflow"), two) < 1e-4


@pytest.mark.slow
def test_one_jax_device_gives_the_same_training_as_two(trained):
    assert differ(trained("jax"), trained("jax", 2)) < 1e-4


@pytest.mark.slow
def test_a_backbone_gives_the_same_training_with_jax_and_on_two_devices(trained):
    # MobileNetV2 has 52 batch-norms, each of which amplifies earlier rounding errors.
    one = trained("tensorflow", key=TRANSFER)
    for backend, count in (("jax", 1), ("jax", 2), ("tensorflow", 2)):
        other = trained(backend, count, key=TRANSFER)
        assert abs(one["rows"][0]["loss"] - other["rows"][0]["loss"]) < 1e-3, (backend, count)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_bfloat16_gives_nearly_the_same_training_and_is_saved_as_float32(trained, backend):
    exact, rough = trained("tensorflow"), trained(backend, precision="bfloat16")
    assert 1e-5 < differ(exact, rough) < 0.3
    losses = [[row["loss"] for row in result["rows"]] for result in (exact, rough)]
    assert np.allclose(*losses, atol=0.03)
    assert rough["dtypes"] == ["float32"]


FROM_FACES_TO_AN_ANSWER = f"""
import sys
from unveil.common import backend
backend.load()
from tests.support.training import toy
from unveil import registry
from unveil.dataset import arrays
from unveil.evaluation import evaluate
from unveil.experiments import tracked_training
loaded = toy("{CNN}")
tracked_training.train("{CNN}", loaded)
tracked_training.evaluate("{CNN}", loaded)
network = registry.load(registry.register("{CNN}"))
print(len(evaluate.probabilities(network, arrays.load("test").images)))
print("tensorflow" in sys.modules)
"""


@pytest.mark.slow
def test_with_jax_nothing_from_training_to_prediction_imports_tensorflow(packed_place):
    lines = run(packed_place, "-c", FROM_FACES_TO_AN_ANSWER, backend="jax").splitlines()
    assert lines[-2] == "24"
    assert lines[-1] == "False"


@pytest.fixture
def packed_place(place) -> Path:
    pack(place)
    return place


def test_a_batch_that_cannot_be_split_among_the_devices_is_refused():
    devices.require_even_split(64, 4)
    with pytest.raises(
        UserError, match=r"^batch_size 64 cannot be split among 3 devices; choose a"
    ):
        devices.require_even_split(64, 3)


def test_faces_are_reduced_to_a_multiple_of_the_devices():
    faces = arrays.Faces(np.zeros((10, 2, 2, 1), np.uint8), np.arange(10))
    assert arrays.truncate_to_multiple(faces, 1) is faces
    assert arrays.truncate_to_multiple(faces, 5) is faces
    assert arrays.truncate_to_multiple(faces, 4).labels.tolist() == list(range(8))


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fma avx512f avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16"), ("fma avx512f", "float32")],
)
def test_auto_precision_follows_the_cpu(tmp_path, monkeypatch, flags, precision):
    def chosen(key: str, precision: str = "auto") -> str:
        return devices.precision(key, toy(CNN, precision=precision))

    monkeypatch.setattr(devices, "visible_devices", lambda: ["cpu:0"])
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    assert chosen(CNN) == "float32"
    (tmp_path / "cpuinfo").write_text(f"model name\t: CPU\nflags\t\t: {flags}\n")
    assert chosen(CNN) == precision
    assert chosen("efficientnet") == chosen(CNN, "float32") == "float32"
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert chosen(CNN) == "float32"


@pytest.mark.parametrize(
    ("capable", "precision"),
    [
        ([(9, 0), (8, 0)], "bfloat16"),
        ([(9, 0), (7, 5)], "float32"),  # the batch is split among both
        ([None], "float32"),
    ],
)
def test_auto_precision_follows_all_gpus_depthwise_or_not(monkeypatch, capable, precision):
    import tensorflow as tf

    details = [{"compute_capability": one} if one else {} for one in capable]
    monkeypatch.setattr(devices, "visible_devices", lambda: ["gpu:0", "gpu:1"])
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: range(len(details)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    for key in (CNN, "efficientnet"):
        assert devices.precision(key, toy(CNN, precision="auto")) == precision


def test_an_unknown_backend_names_the_choices(place):
    completed = subprocess.run(
        [sys.executable, "-m", "unveil", "train", CNN],
        env={**os.environ, "KERAS_BACKEND": "theano"},
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 2
    assert (
        completed.stderr == "unveil: unknown KERAS_BACKEND 'theano'; choose from tensorflow, jax\n"
    )
