"""AdamW that asks for the rate of learning once a step."""

from typing import Any

import keras


class AdamW(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101, algorithm 2).

    Over TensorFlow it learns what Keras's own learns, to the bit. That one decays in a loop of its
    own, which puts the whole schedule into the graph once for every weight: EfficientNetB0's took
    39 s to build, and takes 28 s so (docs/experiments.md).
    """

    def __init__(self, learning_rate: Any, *, decay: float, **others: Any) -> None:
        super().__init__(learning_rate, **others)
        self._decay = decay  # not `weight_decay`, by which the base class would decay as well

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay one weight, then move it against its gradient."""
        rate = keras.ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, variable * self._decay * rate)
        super().update_step(gradient, variable, learning_rate)
