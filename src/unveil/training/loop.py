"""The training loop: trainable layers, optimizer and callbacks of each stage, checkpoints."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import unknown_choice
from unveil.config.schedule import Stage
from unveil.config.schema import STILL, Augmentation, Training
from unveil.dataset.arrays import Faces
from unveil.training.augmentation import augmentation
from unveil.training.batches import Batches, ValidationBatches, ViewBatches, one_hot
from unveil.training.callbacks import (
    BestWeights,
    EpochHistory,
    Patience,
    RecalibrateBatchNorm,
    Record,
    SeedEachEpoch,
)
from unveil.training.checkpoint import Checkpoints, State
from unveil.training.distillation import View
from unveil.training.optimizer import AdamW, layer_rates

FEATURES = "features"


def set_trainable(network: keras.Model, start: str, *, frozen_norm: bool) -> None:
    """Make layers trainable from ``start`` on: ``all``, ``head`` (after the features) or a layer.

    With ``frozen_norm`` the batch-norm layers of the backbone keep their pretrained statistics;
    those of the head are trained. Raises ``UserError`` for an unknown layer.
    """
    names = [layer.name for layer in network.layers]
    first = {"all": 0, "head": names.index(FEATURES) + 1}.get(start)
    if first is None:
        if start not in names:
            raise unknown_choice("layer in trainable_from", start, ["all", "head", *names])
        first = names.index(start)
    for index, layer in enumerate(network.layers):
        norm = isinstance(layer, keras.layers.BatchNormalization)
        frozen = frozen_norm and norm and index < names.index(FEATURES)
        layer.trainable = index >= first and not frozen


def split_at_features(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Split a network into backbone and head; both share their weights with the network."""
    features = network.get_layer(FEATURES).output
    backbone = keras.Model(network.input, features)
    return backbone, keras.Model(features, network.output)


def class_weights(
    labels: NDArray[np.int64], *, classes: int, balanced: bool
) -> NDArray[np.float32]:
    """Return sample weights ``(n,)`` of mean 1 that balance the classes; or all 1."""
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (classes * np.maximum(counts, 1)) if balanced else np.ones(classes)
    return weights[labels].astype(np.float32)


@dataclass(frozen=True)
class TrainingLoop:
    """Trains one network through its stages; checkpoints each epoch, then records it."""

    network: keras.Model
    faces: Faces
    validation: Faces
    training: Training
    frozen_norm: bool
    best: BestWeights
    epochs: EpochHistory
    checkpoints: Checkpoints
    record: Record
    views: Sequence[View] = ()

    def resume(self, state: State) -> None:
        """Restore everything but the state of the current stage; record past epochs again."""
        self.network.set_weights(state.arrays["network"])
        self.best.score, self.best.weights = state.notes["best"], state.arrays["best"]
        self.epochs.rows.extend(state.notes["rows"])
        for row in self.epochs.rows:
            self.record(row)

    def run(self, stage: Stage, number: int, state: State | None) -> None:
        """Train one stage, or the rest of it after ``state``."""
        set_trainable(self.network, stage.trainable_from, frozen_norm=self.frozen_norm)
        model, prepare = self._model(stage)
        inputs = prepare(self.faces.images)
        batches = self._batches(inputs, start=self.epochs.completed)
        model.compile(
            optimizer=self._optimizer(stage, steps=batches.steps),
            loss=keras.losses.CategoricalCrossentropy(
                label_smoothing=0 if self.views else self.training.label_smoothing
            ),
            metrics=["accuracy", keras.metrics.F1Score(average="macro", name="macro_f1")],
            jit_compile=_jit_compile(),
        )
        patience = Patience(stage, **(state.notes["patience"] if state else {}))
        if state is not None:
            _restore_optimizer(model, state.arrays["optimizer"])
        self.epochs.start_stage(number, steps=batches.steps)
        before = sum(row["stage"] < number for row in self.epochs.rows)
        model.fit(
            batches,
            steps_per_epoch=batches.steps,
            shuffle=False,
            validation_data=ValidationBatches(
                prepare(self.validation.images),
                self._targets(self.validation),
                size=self.training.batch_size,
            ),
            initial_epoch=self.epochs.completed,
            epochs=before + stage.epochs,
            callbacks=[
                keras.callbacks.TerminateOnNaN(raise_error=True),
                SeedEachEpoch(self.training.seed),
                self.best,
                *(self._averaging_callbacks(inputs) if stage.ema else []),
                self.epochs,
                patience,
                _SaveCheckpoint(self, number, patience),
            ],
            verbose=0,
        )

    def _averaging_callbacks(self, inputs: Any) -> list[keras.callbacks.Callback]:
        # Always the batches of epoch 0, also in a resumed run.
        norms = RecalibrateBatchNorm(self._batches(inputs, start=0))
        return [keras.callbacks.SwapEMAWeights(), norms]

    def save_checkpoint(self, epoch: int, model: keras.Model, **notes: Any) -> None:
        """Write the checkpoint of an epoch, then record its row."""
        arrays = {
            "network": self.network.get_weights(),
            "best": self.best.weights,
            "optimizer": [keras.ops.convert_to_numpy(one) for one in model.optimizer.variables],
        }
        state = {"best": self.best.score, "rows": self.epochs.rows, **notes}
        self.checkpoints.save(epoch, State(arrays=arrays, notes=state))
        self.record(self.epochs.rows[-1])

    def _model(self, stage: Stage) -> tuple[keras.Model, Callable[[Any], Any]]:
        if stage.trainable_from != "head":
            faces = keras.Input(self.network.input_shape[1:])
            augmented = augmentation(self._augmentation())(faces)
            return keras.Model(faces, self.network(augmented)), lambda images: images
        backbone, head = split_at_features(self.network)
        return head, lambda images: self._features(backbone, images)

    def _augmentation(self) -> Augmentation:
        own = self.training.augmentation
        # Views are augmented; the teachers' answers are those for either side.
        return replace(STILL, flip=own.flip) if self.views else own

    def _features(self, backbone: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        # Computed once per stage: the backbone is frozen.
        features = self.checkpoints.scratch_array((len(images), *backbone.output_shape[1:]))
        size = self.training.batch_size
        for start in range(0, len(images), 64 * size):  # Keras copies its input
            part = slice(start, start + 64 * size)
            features[part] = backbone.predict(images[part], batch_size=size, verbose=0)
        return features

    def _batches(self, inputs: Any, *, start: int) -> Batches:
        settings: dict[str, Any] = {
            "batch_size": self.training.batch_size,
            "seed_and_epoch": (self.training.seed, start),
        }
        if self.views:
            return ViewBatches(*self.views, **settings)
        weights = class_weights(
            self.faces.labels,
            classes=self.network.output_shape[-1],
            balanced=self.training.class_weights,
        )
        mixup = self.training.mixup
        return Batches(inputs, self._targets(self.faces), weights, mixup=mixup, **settings)

    def _targets(self, faces: Faces) -> Any:
        return one_hot(faces.labels, self.network.output_shape[-1])

    def _optimizer(self, stage: Stage, *, steps: int) -> keras.optimizers.Optimizer:
        rate = stage.learning_rate if stage.decay == "plateau" else _cosine_schedule(stage, steps)
        return AdamW(
            rate,
            decay=self.training.weight_decay,
            factors=layer_rates(self.network, FEATURES, first=stage.first_layer_rate),
            use_ema=stage.ema > 0,
            ema_momentum=stage.ema,
        )


class _SaveCheckpoint(keras.callbacks.Callback):  # type: ignore[misc]
    """Runs last, so that the checkpoint includes what the other callbacks changed."""

    def __init__(self, loop: TrainingLoop, number: int, patience: Patience) -> None:
        super().__init__()
        self._loop, self._number, self._patience = loop, number, patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._loop.save_checkpoint(
            epoch,
            self.model,
            stage=self._number,
            ended=self.model.stop_training or epoch + 1 == self.params["epochs"],
            patience={"best": self._patience.best, "waited": self._patience.waited},
        )


def _cosine_schedule(stage: Stage, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    total = steps * stage.epochs
    warmup = math.ceil(0.05 * total)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=stage.learning_rate / 10,
        warmup_target=stage.learning_rate,
        warmup_steps=warmup,
        decay_steps=max(1, total - warmup),
        alpha=0.01,
    )


def _restore_optimizer(model: keras.Model, values: list[NDArray[Any]]) -> None:
    # They include the learning rate (plateau) and the step counter (cosine).
    model.optimizer.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, values, strict=True):
        variable.assign(value)


def _jit_compile() -> str | bool:
    # On a CPU, XLA trained EfficientNetB0 seven times slower than TensorFlow's own kernels (30
    # against 214 images/s) and compiled for longer; not measured on a GPU.
    return False if keras.backend.backend() == "tensorflow" else "auto"
