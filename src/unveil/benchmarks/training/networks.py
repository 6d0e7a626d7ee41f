"""The networks and the training stage that are measured: random weights, by default last stage."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unveil.config.params import Params
from unveil.config.schedule import Stage
from unveil.config.schema import Training
from unveil.networks.backbones import Transfer

if TYPE_CHECKING:
    import keras


def build_network(params: Params, key: str) -> "keras.Model":
    """Build an architecture with random weights: as fast as pretrained ones, without a download."""
    entry = params.architectures[key]
    if isinstance(entry, Transfer):
        entry = replace(entry, weights="none")
    return entry.build(params.data.image_size, len(params.classes))


def with_training(params: Params, **changes: Any) -> Params:
    """Return the parameters with changes in ``training``."""
    training: Training = replace(params.training, **changes)
    return replace(params, training=training)


def stage(params: Params, key: str, *, epochs: int, number: int = -1) -> Stage:
    """Return a stage of an architecture that always runs ``epochs`` epochs.

    Without averaged weights, which the baseline does not have either.
    """
    chosen = params.schedules[key].stages[number]
    return replace(chosen, epochs=epochs, patience=epochs + 1, ema=0.0)
