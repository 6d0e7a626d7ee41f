"""AdamW that evaluates the learning-rate schedule once per step, with a rate for each layer."""

from collections.abc import Sequence
from typing import Any

import keras


class AdamW(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101, algorithm 2).

    With TensorFlow its results equal those of ``keras.optimizers.AdamW`` bit for bit. Keras applies
    the decay in a separate loop, which adds the whole schedule to the graph once per weight:
    EfficientNetB0's graph took 39 s to build, and takes 28 s with this class (docs/experiments.md).

    ``factors`` multiply the learning rate, one for each trainable variable; empty for none.
    """

    def __init__(
        self, learning_rate: Any, *, decay: float, factors: Sequence[float] = (), **others: Any
    ) -> None:
        super().__init__(learning_rate, **others)
        self._decay = decay  # not `weight_decay`: the base class would then decay as well
        self._factors = factors

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Apply weight decay to one variable, then the Adam update."""
        rate = keras.ops.cast(learning_rate, variable.dtype)
        if self._factors:
            rate = rate * self._factors[self._get_variable_index(variable)]
        self.assign_sub(variable, variable * self._decay * rate)
        super().update_step(gradient, variable, rate)


def layer_rates(network: keras.Model, features: str, *, first: float) -> list[float]:
    """Return a factor of the learning rate for each trainable variable; ``[]`` if all are 1.

    ``first`` is the factor of the first layer with weights. Up to the layer named ``features``, the
    factor of each layer is that of the one before times the same ratio; after it, it is 1.
    """
    if first == 1:
        return []
    names = [layer.name for layer in network.layers]
    backbone = [layer for layer in network.layers[: names.index(features)] if layer.weights]
    factors = {
        id(variable): first ** (1 - place / len(backbone))
        for place, layer in enumerate(backbone)
        for variable in layer.weights
    }
    return [factors.get(id(variable), 1.0) for variable in network.trainable_variables]
