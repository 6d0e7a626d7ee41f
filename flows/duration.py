"""Estimates how long a training takes: for the order of dispatch and for the time left."""

import csv
from contextlib import suppress

from unveil.common.paths import MODELS
from unveil.config import params

IMAGES = 28_000
"""The assumed size of the training split; it does not change the order of trainings."""

STARTUP, EVALUATION = 15.0, 25.0
"""Seconds on two cores before the first epoch, and of the evaluation."""


def training_seconds(key: str, images: int = IMAGES) -> float:
    """Estimate the seconds of all epochs on two cores: as the last time, else from the schedule."""
    history = MODELS / key / "history.csv"
    # A damaged history is ignored, as a missing one.
    with suppress(OSError, ValueError, KeyError, TypeError, csv.Error), history.open() as rows:
        return sum(float(row["seconds"]) for row in csv.DictReader(rows))
    loaded = params.load()
    network, schedule = loaded.architectures[key], loaded.schedules[key]
    size = getattr(network, "input_size", loaded.data.image_size)
    # A backbone at 48 pixels, or our own network of five blocks, took 20 ms per image on two cores.
    seconds = 0.02 * (size / 48) ** 2 * (1 if network.builder == "transfer" else 0.5)
    epochs = sum(stage.epochs for stage in schedule.stages)
    return seconds * epochs * (schedule.train_images or images)
