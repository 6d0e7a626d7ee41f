"""The variants: unveil's own training, complete and with one part left out, and two of stage 1.

Each takes the key of an architecture, the parameters and the number of epochs, and reports every
epoch through an `EpochReporter`.
"""

import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from unveil.benchmarks.training import peak_flops
from unveil.benchmarks.training.networks import build_network, stage, with_training
from unveil.benchmarks.training.progress import EpochReporter, write_line
from unveil.config.params import Params
from unveil.config.schedule import Stage
from unveil.config.schema import STILL, Precision
from unveil.dataset import arrays
from unveil.training import devices
from unveil.training import train as trains
from unveil.training.callbacks import BestWeights, EpochHistory, Record, Row
from unveil.training.checkpoint import Checkpoints
from unveil.training.fused_norm import fused_norm
from unveil.training.loop import TrainingLoop


class WithoutInput(TrainingLoop):
    """Trains on the same batch repeatedly: no input pipeline."""

    def _batches(self, inputs: Any, *, start: int) -> Any:
        from tensorflow.data import Dataset

        batches = super()._batches(inputs, start=start)
        same = Dataset.from_tensors(batches[0]).repeat()
        same.steps = batches.steps
        return same


class WithoutOptimizer(TrainingLoop):
    """Uses plain SGD, the cheapest update that still needs every gradient."""

    def _optimizer(self, stage: Stage, *, steps: int) -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(stage.learning_rate)


class WithoutPython(TrainingLoop):
    """Returns to Python once per epoch (``steps_per_execution``)."""

    def _model(self, stage: Stage) -> Any:
        learner, prepare = super()._model(stage)
        steps = -(-len(self.faces) // self.training.batch_size)
        learner.compile = functools.partial(learner.compile, steps_per_execution=steps)
        return learner, prepare


class EveryEpoch(TrainingLoop):
    """Runs the frozen backbone in every epoch, on newly augmented faces."""

    def _model(self, stage: Stage) -> Any:
        return super()._model(replace(stage, trainable_from="all"))


def _learn(
    kind: type[TrainingLoop],
    key: str,
    params: Params,
    epochs: int,
    precision: Precision = "float32",
) -> None:
    reporter = EpochReporter(epochs)

    def record(row: Row) -> None:
        reporter.report(row["seconds"], kept=time.time() - row["timestamp"] / 1000)

    with _training_loop(kind, key, params, record, precision) as loop:
        loop.run(stage(params, key, epochs=epochs), 1, None)


def _auto_precision(key: str, params: Params, epochs: int) -> None:
    _learn(
        TrainingLoop,
        key,
        params,
        epochs,
        devices.precision(key, with_training(params, precision="auto")),
    )


def _without_augmentation(key: str, params: Params, epochs: int) -> None:
    _learn(TrainingLoop, key, with_training(params, augmentation=STILL), epochs)


def _frozen(kind: type[TrainingLoop], key: str, params: Params, epochs: int) -> None:
    rows: list[Row] = []
    first = stage(params, key, epochs=epochs, number=0)
    with _training_loop(kind, key, params, rows.append) as loop:
        passed = _pass_seconds(loop, first) if kind is TrainingLoop else 0.0
        loop.run(first, 1, None)
    # The first epoch of each variant builds the graph.
    seconds = statistics.median(row["seconds"] for row in rows[1:])
    write_line(seconds=seconds, passed=passed, macro_f1=max(row["val_macro_f1"] for row in rows))


def _pass_seconds(loop: TrainingLoop, first: Stage) -> float:
    _, prepare = loop._model(first)
    prepare(loop.validation.images)
    began = time.perf_counter()
    for faces in (loop.faces, loop.validation):
        prepare(faces.images)
    return time.perf_counter() - began


@contextmanager
def _training_loop(
    kind: type[TrainingLoop],
    key: str,
    params: Params,
    record: Record,
    precision: Precision = "float32",
) -> Iterator[TrainingLoop]:
    keras.utils.clear_session()
    trains.enable_determinism()
    keras.utils.set_random_seed(params.training.seed)
    # After clear_session, which resets the dtype policy.
    with (
        devices.dtype_policy(precision),
        fused_norm(),
        tempfile.TemporaryDirectory(dir=".") as folder,
    ):
        network = build_network(params, key)
        yield kind(
            network=network,
            faces=arrays.load("train"),
            validation=arrays.load("validation"),
            training=params.training,
            frozen_norm=params.architectures[key].frozen_norm,
            best=BestWeights(network),
            epochs=EpochHistory(key, 1),
            checkpoints=Checkpoints(Path(folder) / "bench"),
            record=record,
        )


VARIANTS: dict[str, Callable[[str, Params, int], None]] = {
    "unveil": functools.partial(_learn, TrainingLoop),
    "auto": _auto_precision,
    "input": functools.partial(_learn, WithoutInput),
    "augmentation": _without_augmentation,
    "optimizer": functools.partial(_learn, WithoutOptimizer),
    "python": functools.partial(_learn, WithoutPython),
    "cached": functools.partial(_frozen, TrainingLoop),
    "every epoch": functools.partial(_frozen, EveryEpoch),
    "peak": peak_flops.report,
}
