"""unveil's own way to learn, whole and with a part of it left out, and two that do not alternate.

Each takes the key of an architecture, the parameters and the number of epochs, and says every epoch
through a `Teller`.
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

from unveil.benchmarks.training import peak
from unveil.benchmarks.training.networks import built, changed, stage
from unveil.benchmarks.training.progress import Teller, say
from unveil.config.params import Params
from unveil.config.schema import STILL, Precision, Stage
from unveil.data import dataset
from unveil.training import devices
from unveil.training import train as trains
from unveil.training.callbacks import BestWeights, Epochs, Record, Row
from unveil.training.checkpoint import Checkpoints
from unveil.training.fused_norm import fused_norm
from unveil.training.loop import Course


class WithoutInput(Course):
    """Learns one batch again and again."""

    def _batches(self, inputs: Any, *, start: int) -> Any:
        from tensorflow.data import Dataset

        batches = super()._batches(inputs, start=start)
        same = Dataset.from_tensors(batches[0]).repeat()
        same.steps = batches.steps
        return same


class WithoutOptimizer(Course):
    """Moves the weights in the cheapest way that still needs every gradient."""

    def _optimizer(self, stage: Stage, *, steps: int) -> keras.optimizers.Optimizer:
        return keras.optimizers.SGD(stage.learning_rate)


class WithoutPython(Course):
    """Comes back to Python once in an epoch."""

    def _learner(self, stage: Stage) -> Any:
        learner, prepare = super()._learner(stage)
        steps = -(-len(self.faces) // self.training.batch_size)
        learner.compile = functools.partial(learner.compile, steps_per_execution=steps)
        return learner, prepare


class EveryEpoch(Course):
    """Runs a backbone that does not learn in every epoch, on faces that are changed anew."""

    def _learner(self, stage: Stage) -> Any:
        return super()._learner(replace(stage, trainable_from="all"))  # type: ignore[type-var]


def _learn(
    kind: type[Course], key: str, params: Params, epochs: int, precision: Precision = "float32"
) -> None:
    teller = Teller(epochs)

    def record(row: Row) -> None:
        teller.tell(row["seconds"], kept=time.time() - row["timestamp"] / 1000)

    with _course(kind, key, params, record, precision) as course:
        course.run(stage(params, key, epochs=epochs), 1, None)


def _automatically(key: str, params: Params, epochs: int) -> None:
    _learn(Course, key, params, epochs, devices.precision(key, changed(params, precision="auto")))


def _without_augmentation(key: str, params: Params, epochs: int) -> None:
    _learn(Course, key, changed(params, augmentation=STILL), epochs)


def _frozen(kind: type[Course], key: str, params: Params, epochs: int) -> None:
    rows: list[Row] = []
    first = stage(params, key, epochs=epochs, number=0)
    with _course(kind, key, params, rows.append) as course:
        passed = _pass_seconds(course, first) if kind is Course else 0.0
        course.run(first, 1, None)
    # The first epoch builds the graph, here as there.
    seconds = statistics.median(row["seconds"] for row in rows[1:])
    say(seconds=seconds, passed=passed, macro_f1=max(row["val_macro_f1"] for row in rows))


def _pass_seconds(course: Course, first: Stage) -> float:
    _, prepare = course._learner(first)
    prepare(course.validation.images)
    began = time.perf_counter()
    for faces in (course.faces, course.validation):
        prepare(faces.images)
    return time.perf_counter() - began


@contextmanager
def _course(
    kind: type[Course],
    key: str,
    params: Params,
    record: Record,
    precision: Precision = "float32",
) -> Iterator[Course]:
    keras.utils.clear_session()
    trains.repeat_to_the_bit()
    keras.utils.set_random_seed(params.training.seed)
    # Not before: a session that is cleared forgets in what precision it computes.
    with (
        devices.precisely(precision),
        fused_norm(),
        tempfile.TemporaryDirectory(dir=".") as folder,
    ):
        network = built(params, key)
        yield kind(
            network=network,
            faces=dataset.load("train"),
            validation=dataset.load("validation"),
            training=params.training,
            frozen_norm=params.architectures[key].pretrained,
            best=BestWeights(network),
            epochs=Epochs(key, 1),
            kept=Checkpoints(Path(folder) / "bench"),
            record=record,
        )


WAYS: dict[str, Callable[[str, Params, int], None]] = {
    "unveil": functools.partial(_learn, Course),
    "auto": _automatically,
    "input": functools.partial(_learn, WithoutInput),
    "augmentation": _without_augmentation,
    "optimizer": functools.partial(_learn, WithoutOptimizer),
    "python": functools.partial(_learn, WithoutPython),
    "cached": functools.partial(_frozen, Course),
    "every epoch": functools.partial(_frozen, EveryEpoch),
    "peak": peak.tell,
}
