"""arrays -> model: for each stage set trainable, compile, fit.

Takes the packed splits and an architecture's entry and schedule; makes ``model.keras`` (with the
weights of the best validation macro-F1 over both stages) and ``history.csv``. Command:
``unveil train ARCH``. Killed at any moment and run again, it goes on after the last whole epoch and
ends, on a CPU, with the same weights to the bit. On several GPUs each takes its share of a batch;
the faces are cut to a multiple of their number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import reading, replacing
from unveil.config.params import Params
from unveil.config.schema import Stage
from unveil.data import dataset
from unveil.training import devices
from unveil.training.callbacks import BestWeights, Epochs, Record
from unveil.training.checkpoint import Checkpoints, Diverged
from unveil.training.fused_norm import fused_norm
from unveil.training.loop import Course, set_trainable


@dataclass(frozen=True)
class Trained:
    """What a training gives: the network with its best weights, and one row for each epoch."""

    network: keras.Model
    history: pd.DataFrame


def train(key: str, params: Params, kept: Checkpoints, record: Record) -> Trained:
    """Train an architecture through its stages, from its last checkpoint on.

    ``record`` hears of every epoch, those before the checkpoint included. Raises ``Diverged`` when
    the loss or a weight is no longer finite.
    """
    params.named(key)
    repeat_to_the_bit()
    with devices.spread(devices.precision(key, params)) as shares:
        devices.require_shares(params.training.batch_size, shares)
        course = _course(key, params, kept, record, shares)
        with fused_norm():
            _run(course, key, params)
        alone = shares == 1 and keras.config.dtype_policy().name == "float32"
    network = course.network if alone else _plain(course.network, key, params)
    return Trained(network=network, history=course.epochs.table())


def _run(course: Course, key: str, params: Params) -> None:
    stages = params.schedules[key].stages
    for stage in stages:
        # A layer that is not there is said now, not after hours of the stage before.
        set_trainable(course.network, stage.trainable_from, frozen_norm=course.frozen_norm)
    state = course.kept.latest()
    if state is not None:
        course.resume(state)
    ended = state.notes["stage"] - (not state.notes["ended"]) if state else 0
    for number, stage in enumerate(stages[ended:], start=ended + 1):
        running = state if state and state.notes["stage"] == number else None
        if running is None:
            course.best.restore()
        with _finite_loss(key, stage), _enough_memory(key, params):
            course.run(stage, number, running)
    course.best.restore()
    _refuse_non_finite(course.network, key)


def _plain(learned: keras.Model, key: str, params: Params) -> keras.Model:
    """Give the network as it is saved: float32, and of no devices."""
    network = _built(key, params)
    network.set_weights(learned.get_weights())
    return network


def save(trained: Trained, folder: Path) -> None:
    """Write ``model.keras`` and ``history.csv`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("model.keras", trained.network.save),
        ("history.csv", lambda path: path.write_text(csv_writer.text(trained.history))),
    ):
        with replacing(folder / name) as path:
            write(path)


def load(path: Path) -> keras.Model:
    """Load a saved network without its optimiser; code inside the file is refused."""
    with reading(path, made_by=f"unveil train {path.parent.name}"):
        model: keras.Model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model


def _course(key: str, params: Params, kept: Checkpoints, record: Record, shares: int) -> Course:
    training, schedule = params.training, params.schedules[key]
    keras.utils.set_random_seed(training.seed)
    network = _built(key, params)
    devices.synchronized(network)
    faces = dataset.subset(dataset.load("train"), schedule.train_images, seed=training.seed)
    return Course(
        network=network,
        faces=dataset.even(faces, shares),
        validation=dataset.even(dataset.load("validation"), shares),
        training=training,
        frozen_norm=params.architectures[key].pretrained,
        best=BestWeights(network),
        epochs=Epochs(key, len(schedule.stages)),
        kept=kept,
        record=record,
    )


def _built(key: str, params: Params) -> keras.Model:
    return params.architectures[key].build(params.data.image_size, len(params.classes))


def repeat_to_the_bit() -> None:
    """Let TensorFlow on a CPU give the same bits for the same seed."""
    # No slower on two cores within what a busy machine lets measure. On a GPU some kernels have no
    # such form, and the training would end there.
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        if not tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.enable_op_determinism()


@contextmanager
def _finite_loss(key: str, stage: Stage) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        rate = f"learning_rate {stage.learning_rate}"
        raise Diverged(f"{key}: the loss is no longer finite at {rate}; lower it") from None


@contextmanager
def _enough_memory(key: str, params: Params) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # TensorFlow and JAX each have an exception of their own for it; both say this word.
        said = f"{type(error).__name__} {error}".upper().replace("_", "")
        if not isinstance(error, MemoryError) and "RESOURCEEXHAUSTED" not in said:
            raise
        size = params.training.batch_size
        raise UserError(f"{key}: out of memory at batch_size {size}; lower it") from None


def _refuse_non_finite(network: keras.Model, key: str) -> None:
    for variable in network.variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable.value)).all():
            raise Diverged(f"{key}: {variable.path} is not finite; lower its learning_rate")
