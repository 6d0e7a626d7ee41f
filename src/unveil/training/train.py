"""Arrays -> model: for each stage set trainable layers, compile, fit.

Takes the packed splits and an architecture's entry and schedule; writes ``model.keras`` (the
weights with the best validation macro-F1 over all stages) and ``history.csv``. Command:
``unveil train ARCH``. Interrupted runs resume from the last completed epoch; on a CPU the final
weights are then bit-identical. Several GPUs split each batch; the number of faces is reduced to a
multiple of the number of GPUs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, reading_artifact
from unveil.config.params import Params
from unveil.config.schedule import Stage
from unveil.dataset import arrays
from unveil.training import devices
from unveil.training.callbacks import BestWeights, EpochHistory, Record
from unveil.training.checkpoint import Checkpoints, Diverged
from unveil.training.distillation import Teaching, View, Views, views
from unveil.training.fused_norm import fused_norm
from unveil.training.loop import TrainingLoop, set_trainable


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training: the network with its best weights, and one row per epoch."""

    network: keras.Model
    history: pd.DataFrame


def train(
    key: str,
    params: Params,
    checkpoints: Checkpoints,
    record: Record,
    teaching: Teaching | None = None,
) -> TrainingResult:
    """Train an architecture through its stages, resuming from the latest checkpoint.

    ``record`` receives every epoch, including those before the checkpoint. ``teaching`` is
    what a schedule with distillation needs. Raises ``Diverged`` when the loss or a weight is
    no longer finite.
    """
    params.require_architecture(key)
    enable_determinism()
    with devices.distribute(devices.precision(key, params)) as device_count:
        devices.require_even_split(params.training.batch_size, device_count)
        loop = _training_loop(key, params, checkpoints, record, device_count)
        _require_layers(loop, params.schedules[key].stages)
        if params.schedules[key].distillation is not None:
            loop = replace(loop, views=_views(loop, key, params, teaching, device_count))
        with fused_norm():
            _run(loop, key, params)
        alone = device_count == 1 and keras.config.dtype_policy().name == "float32"
    network = loop.network if alone else _float32_copy(loop.network, key, params)
    return TrainingResult(network=network, history=loop.epochs.table())


def _run(loop: TrainingLoop, key: str, params: Params) -> None:
    stages = params.schedules[key].stages
    state = loop.checkpoints.latest()
    if state is not None:
        loop.resume(state)
    ended = state.notes["stage"] - (not state.notes["ended"]) if state else 0
    for number, stage in enumerate(stages[ended:], start=ended + 1):
        running = state if state and state.notes["stage"] == number else None
        if running is None:
            loop.best.restore()
        with _finite_loss(key, stage), _enough_memory(key, params):
            loop.run(stage, number, running)
    loop.best.restore()
    _refuse_non_finite(loop.network, key)


def _require_layers(loop: TrainingLoop, stages: Sequence[Stage]) -> None:
    """Report an unknown layer now, not after hours of training an earlier stage."""
    for stage in stages:
        set_trainable(loop.network, stage.trainable_from, frozen_norm=loop.frozen_norm)


def _float32_copy(trained: keras.Model, key: str, params: Params) -> keras.Model:
    """Copy the weights into a float32 network without a distribution strategy, for saving."""
    network = _build(key, params)
    network.set_weights(trained.get_weights())
    return network


def save(trained: TrainingResult, folder: Path) -> None:
    """Write ``model.keras`` and ``history.csv`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("model.keras", trained.network.save),
        ("history.csv", lambda path: path.write_text(csv_writer.to_csv(trained.history))),
    ):
        with atomic_write(folder / name) as path:
            write(path)


def load(path: Path) -> keras.Model:
    """Load a saved network without its optimizer; rejects files that contain code."""
    with reading_artifact(path, made_by=f"unveil train {path.parent.name}"):
        model: keras.Model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model


def _training_loop(
    key: str, params: Params, checkpoints: Checkpoints, record: Record, device_count: int
) -> TrainingLoop:
    training, schedule = params.training, params.schedules[key]
    keras.utils.set_random_seed(training.seed)
    network = _build(key, params)
    devices.synchronize_batch_norm(network)
    faces = arrays.subset(arrays.load("train"), schedule.train_images, seed=training.seed)
    return TrainingLoop(
        network=network,
        faces=arrays.truncate_to_multiple(faces, device_count),
        validation=arrays.truncate_to_multiple(arrays.load("validation"), device_count),
        training=training,
        frozen_norm=params.architectures[key].frozen_norm,
        best=BestWeights(network),
        epochs=EpochHistory(key, len(schedule.stages)),
        checkpoints=checkpoints,
        record=record,
    )


def _views(
    loop: TrainingLoop, key: str, params: Params, teaching: Teaching | None, device_count: int
) -> list[View]:
    settings = params.schedules[key].distillation
    if settings is None or teaching is None:
        raise ValueError(f"the schedule of {key} has distillation, but there is no teaching")
    faces = teaching.with_unlabelled(loop.faces.images)
    made = Views(
        faces=faces[: len(faces) // device_count * device_count],
        teacher=teaching.teacher,
        training=loop.training,
        mix=settings.mix,
        folder=loop.checkpoints.views,
    )
    return views(made, params.schedules[key])


def _build(key: str, params: Params) -> keras.Model:
    return params.architectures[key].build(params.data.image_size, len(params.classes))


def enable_determinism() -> None:
    """Enable TensorFlow's deterministic ops on a CPU: the same seed gives the same bits."""
    # No measurable slowdown on two cores. On a GPU some kernels have no deterministic version and
    # would raise an error.
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
        # TensorFlow and JAX raise different exceptions, whose texts both contain this word.
        text = f"{type(error).__name__} {error}".upper().replace("_", "")
        if not isinstance(error, MemoryError) and "RESOURCEEXHAUSTED" not in text:
            raise
        size = params.training.batch_size
        raise UserError(f"{key}: out of memory at batch_size {size}; lower it") from None


def _refuse_non_finite(network: keras.Model, key: str) -> None:
    for variable in network.variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable.value)).all():
            raise Diverged(f"{key}: {variable.path} is not finite; lower its learning_rate")
