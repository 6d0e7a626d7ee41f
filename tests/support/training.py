"""A training at toy size in a process of its own: prints its epochs and the digest of its weights.

``python -m tests.support.training KEY DECAY PRECISION`` in a folder with packed faces.
``DIE_AT=N`` kills it with SIGKILL ``DIE_AFTER`` seconds after its N-th epoch began;
``STARVE_AT=N`` leaves it no memory from then on. ``TEACHER=FOLDER`` distils the bundle in it.
``RECORDED=1`` trains as `unveil train` does, which prints nothing.
"""

import dataclasses
import hashlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import psutil

from unveil.config import params
from unveil.config.distillation import Distillation
from unveil.config.schema import Precision
from unveil.experiments import teachers
from unveil.inference.bundle_files import CARD
from unveil.networks import Transfer
from unveil.training import checkpoint, train

FACES = 32


def toy(
    key: str,
    *,
    decay: str = "cosine",
    rate: float | None = None,
    precision: Precision = "float32",
) -> params.Params:
    """The project's parameters with short stages, a tiny network and few faces."""
    loaded = params.load()
    entry = loaded.architectures[key]
    if isinstance(entry, Transfer):
        small = {"backbone": "mobilenet_v2.MobileNetV2", "weights": "none", "input_size": 32}
        loaded.architectures[key] = dataclasses.replace(entry, head=8, **small)
    else:
        loaded.architectures[key] = dataclasses.replace(entry, filters=(4, 8), convolutions=1)
    schedule = loaded.schedules[key]
    first, second = (
        dataclasses.replace(
            stage, epochs=3, patience=3, decay=decay, learning_rate=rate or stage.learning_rate
        )
        for stage in schedule.stages
    )
    second = dataclasses.replace(second, ema=0.5)
    if isinstance(entry, Transfer):
        second = dataclasses.replace(second, trainable_from="block_16_expand")
    loaded.schedules[key] = dataclasses.replace(
        schedule, stages=(first, second), train_images=FACES
    )
    drawn = dataclasses.replace(loaded.training.augmentation, erasing=0.5)
    training = dataclasses.replace(
        loaded.training, batch_size=8, mixup=0.2, augmentation=drawn, precision=precision
    )
    return dataclasses.replace(loaded, training=training)


def distilled(
    key: str, loaded: params.Params, teacher: Path, digest: str | None = None
) -> params.Params:
    """The parameters with a distillation of a bundle, pinned by the digest it has."""
    pinned = digest or hashlib.sha256((teacher / CARD).read_bytes()).hexdigest()
    settings = Distillation(teachers={str(teacher): pinned}, views=2, mix=0.5)
    schedule = dataclasses.replace(loaded.schedules[key], distillation=settings)
    return dataclasses.replace(loaded, schedules={**loaded.schedules, key: schedule})


def spread_answers(network: keras.Model, images: np.ndarray) -> None:
    """Let a network that learned little say something else of each face, by its last layer."""
    end = network.layers[-1]
    found = keras.Model(network.input, end.input).predict(images, verbose=0)
    kernel = end.get_weights()[0] / (found.std(0) + found.std())[:, np.newaxis]
    end.set_weights([kernel, -found.mean(0) @ kernel])


def digest(network: keras.Model) -> str:
    """The sha256 of all weights, in their order."""
    return hashlib.sha256(b"".join(one.tobytes() for one in network.get_weights())).hexdigest()


def at(epoch: int, act: Callable[[], None]) -> None:
    """Let something happen when an epoch, counted over both stages, begins."""
    from unveil.training.callbacks import SeedEachEpoch

    begin = SeedEachEpoch.on_epoch_begin

    def began(self, number, logs=None):
        begin(self, number, logs)
        if number == epoch:
            act()

    SeedEachEpoch.on_epoch_begin = began


def die() -> None:
    """Be killed some seconds from now."""
    threading.Timer(float(os.environ["DIE_AFTER"]), os.kill, (os.getpid(), signal.SIGKILL)).start()


def starve() -> None:
    """Get no more memory than there is now."""
    size = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def kept_apart(key: str, loaded: params.Params) -> None:
    """Train without MLflow, and leave nothing behind."""
    with checkpoint.opened(key, loaded) as kept:
        heard = []
        trained = train.train(key, loaded, kept, heard.append, teachers.teaching(key, loaded))
        kept.remove()
    for row in heard:
        print("epoch", int(row["epoch"]), row["loss"], row["val_loss"], row["val_macro_f1"])
    print("weights", digest(trained.network))


if __name__ == "__main__":
    key, decay, precision = sys.argv[1:]
    if "DIE_AT" in os.environ:
        at(int(os.environ["DIE_AT"]), die)
    loaded = toy(key, decay=decay, precision=precision)
    if "TEACHER" in os.environ:
        loaded = distilled(key, loaded, Path(os.environ["TEACHER"]))
    if "STARVE_AT" in os.environ:
        at(int(os.environ["STARVE_AT"]), starve)
        wide = dataclasses.replace(loaded.architectures[key], filters=(512, 8))
        loaded.architectures[key] = wide
    if "RECORDED" in os.environ:
        from unveil.experiments import tracked_training

        tracked_training.train(key, loaded)
    else:
        kept_apart(key, loaded)
