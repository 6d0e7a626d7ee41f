"""arrays -> model: for each stage set trainable, compile, fit.

Takes the packed splits and an architecture's entry and schedule; makes ``model.keras`` (with the
weights of the best validation macro-F1 over both stages) and ``history.csv``. Command:
``unveil train ARCH``.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unveil import packed
from unveil.batches import Batches, augmentation, one_hot
from unveil.callbacks import BestWeights, Epochs, Record
from unveil.errors import UserError, unknown
from unveil.files import replacing
from unveil.packed import Faces
from unveil.params import Params, Stage, Training

FEATURES = "features"


@dataclass(frozen=True)
class Trained:
    """What a training gives: the network with its best weights, and one row for each epoch."""

    network: keras.Model
    history: pd.DataFrame


def train(key: str, params: Params, record: Record) -> Trained:
    """Train an architecture through its stages; ``record(epoch, measures)`` hears of every epoch.

    Raises ``UserError`` when the loss or a weight is no longer finite.
    """
    training, schedule = params.training, params.schedules[params.named(key)]
    keras.utils.set_random_seed(training.seed)
    faces = packed.subset(packed.load("train"), schedule.train_images, seed=training.seed)
    network = params.architectures[key].build(params.data.image_size, len(params.classes))
    course = _Course(
        network=network,
        faces=faces,
        validation=packed.load("validation"),
        training=training,
        frozen_norm=params.architectures[key].pretrained,
        best=BestWeights(network),
        epochs=Epochs(key, schedule.stages, record),
    )
    for stage in schedule.stages:
        # A layer that is not there is said now, not after hours of the stage before.
        set_trainable(network, stage.trainable_from, frozen_norm=course.frozen_norm)
    for number, stage in enumerate(schedule.stages, start=1):
        with _finite_loss(key, stage):
            course.run(stage, number)
        course.best.restore()
    _refuse_non_finite(network, key)
    return Trained(network=network, history=course.epochs.table())


def save(trained: Trained, folder: Path) -> None:
    """Write ``model.keras`` and ``history.csv`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("model.keras", trained.network.save),
        ("history.csv", lambda path: trained.history.to_csv(path, index=False)),
    ):
        with replacing(folder / name) as path:
            write(path)


def load(path: Path) -> keras.Model:
    """Load a saved network without its optimiser; code inside the file is refused."""
    model: keras.Model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model


def set_trainable(network: keras.Model, start: str, *, frozen_norm: bool) -> None:
    """Let the network learn from ``start`` on: ``all``, ``head`` (past the features) or a layer.

    With ``frozen_norm`` the batch-norm of the backbone keeps its learned statistics; the head's
    learns. An unknown layer is a ``UserError``.
    """
    names = [layer.name for layer in network.layers]
    first = {"all": 0, "head": names.index(FEATURES) + 1}.get(start)
    if first is None:
        if start not in names:
            raise unknown("layer in trainable_from", start, ["all", "head", *names])
        first = names.index(start)
    for place, layer in enumerate(network.layers):
        norm = isinstance(layer, keras.layers.BatchNormalization)
        kept = frozen_norm and norm and place < names.index(FEATURES)
        layer.trainable = place >= first and not kept


def split_at_features(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cut a network into its backbone and its head; both share their weights with it."""
    features = network.get_layer(FEATURES).output
    backbone = keras.Model(network.input, features)
    return backbone, keras.Model(features, network.output)


def class_weights(labels: NDArray[np.int64], *, classes: int, even: bool) -> NDArray[np.float32]:
    """Weigh each row ``(n,)`` so that every class counts the same, mean 1; or all 1."""
    counts = np.bincount(labels, minlength=classes)
    shares = len(labels) / (classes * np.maximum(counts, 1)) if even else np.ones(classes)
    return shares[labels].astype(np.float32)


@dataclass(frozen=True)
class _Course:
    network: keras.Model
    faces: Faces
    validation: Faces
    training: Training
    frozen_norm: bool
    best: BestWeights
    epochs: Epochs

    def run(self, stage: Stage, number: int) -> None:
        set_trainable(self.network, stage.trainable_from, frozen_norm=self.frozen_norm)
        learner, prepare = self._learner(stage)
        batches = self._batches(prepare(self.faces.images), start=self.epochs.done)
        learner.compile(
            optimizer=self._optimizer(stage, steps=len(batches)),
            loss=keras.losses.CategoricalCrossentropy(
                label_smoothing=self.training.label_smoothing
            ),
            metrics=["accuracy", keras.metrics.F1Score(average="macro", name="macro_f1")],
            jit_compile=_jit(),
        )
        self.epochs.stage(number, steps=len(batches))
        learner.fit(
            batches,
            validation_data=(prepare(self.validation.images), self._targets(self.validation)),
            initial_epoch=self.epochs.done,
            epochs=self.epochs.done + stage.epochs,
            callbacks=[
                keras.callbacks.TerminateOnNaN(raise_error=True),
                self.best,
                self.epochs,
                keras.callbacks.EarlyStopping("val_macro_f1", mode="max", patience=stage.patience),
            ],
            verbose=0,
        )

    def _learner(self, stage: Stage) -> tuple[keras.Model, Callable[[Any], Any]]:
        if stage.trainable_from != "head":
            faces = keras.Input(self.network.input_shape[1:])
            changed = augmentation(self.training.augmentation)(faces)
            return keras.Model(faces, self.network(changed)), lambda images: images
        backbone, head = split_at_features(self.network)
        return head, lambda images: backbone.predict(images, batch_size=64, verbose=0)

    def _batches(self, inputs: Any, *, start: int) -> Batches:
        return Batches(
            inputs,
            self._targets(self.faces),
            weights=class_weights(
                self.faces.labels,
                classes=self.network.output_shape[-1],
                even=self.training.class_weights,
            ),
            batch_size=self.training.batch_size,
            lot=(self.training.seed, start),
        )

    def _targets(self, faces: Faces) -> Any:
        return one_hot(faces.labels, self.network.output_shape[-1])

    def _optimizer(self, stage: Stage, *, steps: int) -> keras.optimizers.Optimizer:
        total = steps * stage.epochs
        warmup = math.ceil(0.05 * total)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=stage.learning_rate / 10,
            warmup_target=stage.learning_rate,
            warmup_steps=warmup,
            decay_steps=max(1, total - warmup),
            alpha=0.01,
        )
        return keras.optimizers.AdamW(rate, weight_decay=self.training.weight_decay)


def _jit() -> str | bool:
    # XLA on a CPU trained EfficientNetB0 seven times slower than TensorFlow's own kernels (30
    # against 214 images/s) and compiled for longer.
    return False if keras.backend.backend() == "tensorflow" else "auto"


@contextmanager
def _finite_loss(key: str, stage: Stage) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        rate = f"learning_rate {stage.learning_rate}"
        raise UserError(f"{key}: the loss is no longer finite at {rate}; lower it") from None


def _refuse_non_finite(network: keras.Model, key: str) -> None:
    for variable in network.variables:
        if not np.isfinite(keras.ops.convert_to_numpy(variable.value)).all():
            raise UserError(f"{key}: {variable.path} is not finite; lower its learning_rate")
