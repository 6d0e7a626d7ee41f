"""The schema of a training schedule, a part of a recipe in params.yaml."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unveil.common.types import Positive
from unveil.config.distillation import Distillation
from unveil.config.strictness import STRICT

Epochs = Annotated[int, Field(gt=0, le=10_000)]


@dataclass(frozen=True, config=STRICT)
class Stage:
    """One training stage; trains the layers from ``trainable_from`` (``all``, ``head``, a name) on.

    Early stopping after ``patience`` epochs without a better validation macro-F1. The learning rate
    follows a ``cosine`` decay, or on a ``plateau`` is halved after half the patience. ``ema`` is
    the decay of the exponential moving average of the weights, 0 for none; the averaged weights
    are validated and saved. The first layer of the backbone learns at ``first_layer_rate`` of the
    learning rate, the head at all of it, the layers between in equal ratios (discriminative
    fine-tuning, Howard & Ruder, 2018, arXiv:1801.06146, section 3.2).
    """

    trainable_from: str
    epochs: Epochs
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    patience: Epochs
    decay: Literal["cosine", "plateau"] = "cosine"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    first_layer_rate: Annotated[float, Field(gt=0, le=1)] = 1.0


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """The training schedule of one architecture in one recipe.

    ``network`` overrides keys of the architecture's entry; ``train_images`` limits the training
    split to a stratified subset, ``null`` takes all.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=2, max_length=2)]
    network: dict[str, str | int | float | bool] = Field(default_factory=dict)
    train_images: Positive | None = None
    distillation: Distillation | None = None
