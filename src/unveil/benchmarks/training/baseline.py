"""The baseline: the usual Keras training with an image folder, augmentation layers and ``fit``.

As in the guides of Keras and TensorFlow: ``image_dataset_from_directory`` with prefetching, and
``RandomFlip`` and other layers in front of the network. Network, optimizer, loss, batch size and
validation faces are the same; there are no checkpoints, records or seeds per epoch.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from unveil.benchmarks.training.networks import build_network, stage
from unveil.benchmarks.training.progress import EpochReporter
from unveil.benchmarks.training.temporary_project import PICTURES
from unveil.config.params import Params
from unveil.config.schedule import Stage
from unveil.config.schema import Augmentation
from unveil.training.loop import set_trainable


def learn(key: str, params: Params, epochs: int) -> None:
    """Train the last stage of an architecture, epoch by epoch."""
    keras.utils.clear_session()
    last, size = stage(params, key, epochs=epochs), params.data.image_size
    network = build_network(params, key)
    set_trainable(network, last.trainable_from, frozen_norm=params.architectures[key].frozen_norm)
    model = keras.Sequential(
        [keras.Input((size, size, 1)), *layers(params.training.augmentation), network]
    )
    model.compile(
        optimizer=_optimizer(last, params),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=params.training.label_smoothing),
        metrics=["accuracy"],
    )
    faces, checked = (_pictures(PICTURES / name, params) for name in ("train", "validation"))
    model.fit(faces, validation_data=checked, epochs=epochs, verbose=0, callbacks=[_Turns(epochs)])


def layers(amount: Augmentation) -> list[keras.layers.Layer]:
    """Return the Keras layers for the same augmentation."""
    turn, shift, zoom, edge = amount.rotation, amount.shift, amount.zoom, "nearest"
    made = keras.layers
    offered: list[tuple[object, Callable[[], keras.layers.Layer]]] = [
        (amount.flip, lambda: made.RandomFlip("horizontal")),
        (turn, lambda: made.RandomRotation(turn, fill_mode=edge)),
        (shift, lambda: made.RandomTranslation(shift, shift, fill_mode=edge)),
        (zoom, lambda: made.RandomZoom(zoom, zoom, fill_mode=edge)),
        (amount.contrast, lambda: made.RandomContrast(amount.contrast, value_range=(0, 255))),
        (amount.blur, lambda: made.RandomGaussianBlur((amount.blur, amount.blur), 5, 1.0)),
        (amount.erasing, lambda: made.RandomErasing((amount.erasing, amount.erasing))),
    ]
    return [layer() for wanted, layer in offered if wanted]


def _optimizer(stage: Stage, params: Params) -> keras.optimizers.Optimizer:
    return keras.optimizers.AdamW(stage.learning_rate, weight_decay=params.training.weight_decay)


def _pictures(folder: Path, params: Params) -> Any:
    size = params.data.image_size
    pictures = keras.utils.image_dataset_from_directory(
        folder,
        label_mode="categorical",
        class_names=list(params.classes),
        color_mode="grayscale",
        batch_size=params.training.batch_size,
        image_size=(size, size),
        seed=params.training.seed,
        verbose=False,
    )
    from tensorflow.data import AUTOTUNE

    return pictures.prefetch(AUTOTUNE)


class _Turns(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, epochs: int) -> None:
        super().__init__()
        self._reporter = EpochReporter(epochs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._reporter.report(time.perf_counter() - self._began)
