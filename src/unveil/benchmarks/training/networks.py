"""The networks that are measured, and the stage in which: random weights, the last stage."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unveil.config.params import Params
from unveil.config.schema import Stage, Training
from unveil.networks.transfer import Transfer

if TYPE_CHECKING:
    import keras


def built(params: Params, key: str) -> "keras.Model":
    """Build an architecture with random weights: learned ones are as quick, and not always here."""
    entry = params.architectures[key]
    if isinstance(entry, Transfer):
        entry = replace(entry, weights="none")
    return entry.build(params.data.image_size, len(params.classes))


def changed(params: Params, **changes: Any) -> Params:
    """Give the parameters with another word in ``training``."""
    training: Training = replace(params.training, **changes)  # type: ignore[type-var]
    return replace(params, training=training)


def stage(params: Params, key: str, *, epochs: int, number: int = -1) -> Stage:
    """Give a stage of an architecture that takes so many epochs, whatever is learned.

    Without an average of the weights: the usual way has none with statistics of its own.
    """
    chosen = params.schedules[key].stages[number]
    return replace(chosen, epochs=epochs, patience=epochs + 1, ema=0.0)  # type: ignore[type-var]
