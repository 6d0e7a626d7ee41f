"""The course of a training: what a stage lets learn, how fast, and what is kept of each epoch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import unknown
from unveil.config.schema import Stage, Training
from unveil.data.dataset import Faces
from unveil.training.augmentation import augmentation
from unveil.training.batches import Batches, Lots, one_hot
from unveil.training.callbacks import BestWeights, Draws, Epochs, Norms, Patience, Record
from unveil.training.checkpoint import Checkpoints, State
from unveil.training.optimizer import AdamW

FEATURES = "features"


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
class Course:
    """One network on its way through the stages; every epoch is kept, then recorded."""

    network: keras.Model
    faces: Faces
    validation: Faces
    training: Training
    frozen_norm: bool
    best: BestWeights
    epochs: Epochs
    kept: Checkpoints
    record: Record

    def resume(self, state: State) -> None:
        """Put everything but the running stage's own state back, and record the epochs again."""
        self.network.set_weights(state.arrays["network"])
        self.best.score, self.best.weights = state.notes["best"], state.arrays["best"]
        self.epochs.rows.extend(state.notes["rows"])
        for row in self.epochs.rows:
            self.record(row)

    def run(self, stage: Stage, number: int, state: State | None) -> None:
        """Learn one stage, or what is left of it after ``state``."""
        set_trainable(self.network, stage.trainable_from, frozen_norm=self.frozen_norm)
        learner, prepare = self._learner(stage)
        inputs = prepare(self.faces.images)
        batches = self._batches(inputs, start=self.epochs.done)
        learner.compile(
            optimizer=self._optimizer(stage, steps=batches.steps),
            loss=keras.losses.CategoricalCrossentropy(
                label_smoothing=self.training.label_smoothing
            ),
            metrics=["accuracy", keras.metrics.F1Score(average="macro", name="macro_f1")],
            jit_compile=_jit(),
        )
        patience = Patience(stage, **(state.notes["patience"] if state else {}))
        if state is not None:
            _restore(learner, state.arrays["optimizer"])
        self.epochs.stage(number, steps=batches.steps)
        before = sum(row["stage"] < number for row in self.epochs.rows)
        learner.fit(
            batches,
            steps_per_epoch=batches.steps,
            shuffle=False,
            validation_data=Lots(
                prepare(self.validation.images),
                self._targets(self.validation),
                size=self.training.batch_size,
            ),
            initial_epoch=self.epochs.done,
            epochs=before + stage.epochs,
            callbacks=[
                keras.callbacks.TerminateOnNaN(raise_error=True),
                Draws(self.training.seed),
                self.best,
                *(self._averages(inputs) if stage.ema else []),
                self.epochs,
                patience,
                _Keep(self, number, patience),
            ],
            verbose=0,
        )

    def _averages(self, inputs: Any) -> list[keras.callbacks.Callback]:
        # Batches from the start, whichever epoch a resumed training begins with.
        norms = Norms(self._batches(inputs, start=0))
        return [keras.callbacks.SwapEMAWeights(), norms]

    def keep(self, epoch: int, learner: keras.Model, **notes: Any) -> None:
        """Write the checkpoint of an epoch, then record the epoch."""
        arrays = {
            "network": self.network.get_weights(),
            "best": self.best.weights,
            "optimizer": [keras.ops.convert_to_numpy(one) for one in learner.optimizer.variables],
        }
        state = {"best": self.best.score, "rows": self.epochs.rows, **notes}
        self.kept.save(epoch, State(arrays=arrays, notes=state))
        self.record(self.epochs.rows[-1])

    def _learner(self, stage: Stage) -> tuple[keras.Model, Callable[[Any], Any]]:
        if stage.trainable_from != "head":
            faces = keras.Input(self.network.input_shape[1:])
            changed = augmentation(self.training.augmentation)(faces)
            return keras.Model(faces, self.network(changed)), lambda images: images
        backbone, head = split_at_features(self.network)
        return head, lambda images: self._features(backbone, images)

    def _features(self, backbone: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Once for all epochs of the stage, in which the backbone does not learn.
        features = self.kept.scratch((len(images), *backbone.output_shape[1:]))
        size = self.training.batch_size
        for start in range(0, len(images), 64 * size):  # Keras copies what it is given at once
            part = slice(start, start + 64 * size)
            features[part] = backbone.predict(images[part], batch_size=size, verbose=0)
        return features

    def _batches(self, inputs: Any, *, start: int) -> Batches:
        return Batches(
            inputs,
            self._targets(self.faces),
            class_weights(
                self.faces.labels,
                classes=self.network.output_shape[-1],
                even=self.training.class_weights,
            ),
            batch_size=self.training.batch_size,
            lot=(self.training.seed, start),
            mixup=self.training.mixup,
        )

    def _targets(self, faces: Faces) -> Any:
        return one_hot(faces.labels, self.network.output_shape[-1])

    def _optimizer(self, stage: Stage, *, steps: int) -> keras.optimizers.Optimizer:
        rate = stage.learning_rate if stage.decay == "plateau" else _cosine(stage, steps)
        return AdamW(
            rate,
            decay=self.training.weight_decay,
            use_ema=stage.ema > 0,
            ema_momentum=stage.ema,
        )


class _Keep(keras.callbacks.Callback):  # type: ignore[misc]
    """The last callback of an epoch: all others have said what they have to say."""

    def __init__(self, course: Course, number: int, patience: Patience) -> None:
        super().__init__()
        self._course, self._number, self._patience = course, number, patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._course.keep(
            epoch,
            self.model,
            stage=self._number,
            ended=self.model.stop_training or epoch + 1 == self.params["epochs"],
            patience={"best": self._patience.best, "waited": self._patience.waited},
        )


def _cosine(stage: Stage, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    total = steps * stage.epochs
    warmup = math.ceil(0.05 * total)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=stage.learning_rate / 10,
        warmup_target=stage.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, total - warmup),
        alpha=0.01,
    )


def _restore(learner: keras.Model, values: list[NDArray[Any]]) -> None:
    # The rate of a plateau is one of these variables, the step of a cosine another.
    learner.optimizer.build(learner.trainable_variables)
    for variable, value in zip(learner.optimizer.variables, values, strict=True):
        variable.assign(value)


def _jit() -> str | bool:
    # XLA on a CPU trained EfficientNetB0 seven times slower than TensorFlow's own kernels (30
    # against 214 images/s) and compiled for longer; on a GPU it was not tried.
    return False if keras.backend.backend() == "tensorflow" else "auto"
